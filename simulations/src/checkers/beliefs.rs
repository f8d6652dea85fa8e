//! The reports of nodes about each other.

use std::collections::BTreeMap;

use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Event, NodeId, Time};

use super::per_life::PerLife;
use crate::world::NodeEvent;

/// The status that each node last reported of each member.
#[derive(Clone, Debug, Default)]
pub struct Beliefs {
    hosts: PerLife<BTreeMap<NodeId, (MemberStatus, Time)>>,
}

impl Beliefs {
    /// Takes note of an event.
    pub fn on_event(&mut self, event: &NodeEvent) {
        let members = self.hosts.of(event.host, event.life);
        if let Event::Member(change) = &event.kind {
            let member = &change.member;
            members.insert(member.identity.node_id, (member.status, event.at));
        }
    }

    /// The latest report of a host's node about a member, and its time.
    #[must_use]
    pub fn of(&self, host: usize, id: NodeId) -> Option<(MemberStatus, Time)> {
        self.hosts.get(host)?.get(&id).copied()
    }
}
