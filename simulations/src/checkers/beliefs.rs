//! What nodes told their owners of each other.

use std::collections::BTreeMap;

use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Event, NodeId, Time};

use super::per_life::PerLife;
use crate::world::Told;

/// What every node believes of the others, as its events told it.
#[derive(Clone, Debug, Default)]
pub struct Beliefs {
    hosts: PerLife<BTreeMap<NodeId, (MemberStatus, Time)>>,
}

impl Beliefs {
    /// Takes note of an event.
    pub fn told(&mut self, told: &Told) {
        let members = self.hosts.of(told.host, told.life);
        if let Event::Member(change) = &told.event {
            let member = &change.member;
            members.insert(member.identity.node_id, (member.status, told.at));
        }
    }

    /// What the node on a host last told of another, and when.
    #[must_use]
    pub fn of(&self, host: usize, id: NodeId) -> Option<(MemberStatus, Time)> {
        self.hosts.get(host)?.get(&id).copied()
    }
}
