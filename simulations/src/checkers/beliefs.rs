//! The reports of nodes about each other.

use std::collections::{BTreeMap, BTreeSet};

use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Event, NodeId, Time};

use super::per_life::PerLife;
use crate::world::{NodeEvent, World};

/// The status that each node last reported of each member.
#[derive(Clone, Debug, Default)]
pub struct Beliefs {
    hosts: PerLife<Reported>,
    /// Nodes that knew each other from the start, and since when. Nothing was reported of that.
    settled: BTreeSet<NodeId>,
    settled_at: Time,
}

#[derive(Clone, Debug, Default)]
struct Reported {
    members: BTreeMap<NodeId, (MemberStatus, Time)>,
    is_settled: bool,
}

impl Beliefs {
    /// Takes note of an event.
    pub fn on_event(&mut self, event: &NodeEvent) {
        let reported = self.hosts.of(event.host, event.life);
        if let Event::Member(change) = &event.kind {
            let member = &change.member;
            reported.members.insert(member.identity.node_id, (member.status, event.at));
        }
    }

    /// Takes note that all running nodes know each other from now on, and hold each other alive.
    pub fn settle(&mut self, world: &World) {
        self.settled = world.running().map(|(host, _)| world.host(host).id).collect();
        self.settled_at = world.now();
        for (host, _) in world.running() {
            self.hosts.of(host, world.host(host).lives()).is_settled = true;
        }
    }

    /// The latest report of a host's node about a member, and its time.
    #[must_use]
    pub fn of(&self, host: usize, id: NodeId) -> Option<(MemberStatus, Time)> {
        let reported = self.hosts.get(host)?;
        let settled = || {
            let is_known = reported.is_settled && self.settled.contains(&id);
            is_known.then_some((MemberStatus::Alive, self.settled_at))
        };
        reported.members.get(&id).copied().or_else(settled)
    }
}
