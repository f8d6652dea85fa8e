//! What nodes told their owners of each other.

use std::collections::BTreeMap;

use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Event, NodeId, Time};

use crate::world::Told;

/// What one node believes, in its present life.
#[derive(Clone, Debug, Default)]
struct Belief {
    life: u32,
    members: BTreeMap<NodeId, (MemberStatus, Time)>,
}

/// What every node believes of the others, as its events told it.
#[derive(Clone, Debug, Default)]
pub struct Beliefs {
    hosts: Vec<Belief>,
}

impl Beliefs {
    /// Takes note of an event.
    pub fn told(&mut self, told: &Told) {
        if self.hosts.len() <= told.host {
            self.hosts.resize_with(told.host + 1, Belief::default);
        }
        let belief = &mut self.hosts[told.host];
        if belief.life != told.life {
            *belief = Belief { life: told.life, members: BTreeMap::new() };
        }
        if let Event::Member(change) = &told.event {
            let member = &change.member;
            belief.members.insert(member.identity.node_id, (member.status, told.at));
        }
    }

    /// What the node on a host last told of another, and when.
    #[must_use]
    pub fn of(&self, host: usize, id: NodeId) -> Option<(MemberStatus, Time)> {
        self.hosts.get(host)?.members.get(&id).copied()
    }

    /// How many nodes on other hosts than those of `skip` last told that this one is down.
    #[must_use]
    pub fn down_votes(&self, id: NodeId, counts: impl Fn(usize) -> bool) -> usize {
        let hosts = self.hosts.iter().enumerate().filter(|(host, _)| counts(*host));
        hosts
            .filter(|(_, belief)| {
                belief.members.get(&id).is_some_and(|(status, _)| *status == MemberStatus::Down)
            })
            .count()
    }
}
