//! Followed changes, and when agents learned of them.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::Time;

/// A followed change.
#[derive(Clone, Copy, Debug)]
pub(super) struct FollowedChange {
    /// When it was made.
    pub(super) at: Time,
    /// The number of agents that know it, or a later change of the same instance.
    pub(super) knowing: usize,
    /// Time until half of the agents knew it.
    pub(super) half: Option<Duration>,
    /// Time until all did.
    pub(super) all: Option<Duration>,
}

/// The followed changes. The port of an instance counts its changes from 1, so a later one stands for all before it.
#[derive(Debug)]
pub(super) struct Followed {
    agents: usize,
    changes: Vec<FollowedChange>,
    /// By origin and id.
    instances: Vec<BTreeMap<String, FollowedInstance>>,
    missing: usize,
}

#[derive(Debug)]
struct FollowedInstance {
    changes: Vec<u32>,
    known: Vec<u16>,
}

impl Followed {
    /// No changes yet, in a cluster of `agents` agents.
    pub(super) fn new(agents: usize) -> Self {
        let instances = (0..agents).map(|_| BTreeMap::new()).collect();
        Self { agents, changes: Vec::new(), instances, missing: 0 }
    }

    /// Begins to follow a change. Returns the port that marks it.
    pub(super) fn begin(&mut self, at: Time, origin: usize, id: &str) -> u16 {
        let agents = self.agents;
        let new = || FollowedInstance { changes: Vec::new(), known: vec![0; agents] };
        let instance = self.instances[origin].entry(id.to_owned()).or_insert_with(new);
        instance.changes.push(self.changes.len() as u32);
        self.changes.push(FollowedChange { at, knowing: 0, half: None, all: None });
        self.missing += 1;
        instance.changes.len() as u16
    }

    /// Notes that an agent knows an instance with this port.
    pub(super) fn knows(&mut self, at: Time, agent: usize, origin: usize, id: &str, port: u16) {
        let Some(instance) = self.instances[origin].get_mut(id) else { return };
        let known = usize::from(instance.known[agent]);
        let port = usize::from(port);
        if port <= known || port > instance.changes.len() {
            return;
        }
        instance.known[agent] = port as u16;
        for number in &instance.changes[known..port] {
            let change = &mut self.changes[*number as usize];
            change.knowing += 1;
            let took = at - change.at;
            if change.knowing * 2 >= self.agents {
                change.half.get_or_insert(took);
            }
            if change.knowing == self.agents {
                change.all = Some(took);
                self.missing -= 1;
            }
        }
    }

    /// All changes, in order.
    pub(super) fn changes(&self) -> &[FollowedChange] {
        &self.changes
    }

    /// The number of changes that are not known to all.
    pub(super) fn missing(&self) -> usize {
        self.missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_change_stands_for_those_before() {
        let mut followed = Followed::new(2);
        let at = Time::from_millis;
        assert_eq!(followed.begin(at(0), 1, "i0"), 1);
        assert_eq!(followed.begin(at(1), 1, "i0"), 2);
        followed.knows(at(1), 1, 1, "i0", 1);
        followed.knows(at(2), 1, 1, "i0", 2);
        assert_eq!(followed.missing(), 2);
        followed.knows(at(5), 0, 1, "i0", 2);
        followed.knows(at(6), 0, 1, "i0", 1);
        assert_eq!(followed.missing(), 0);
        let all: Vec<_> = followed.changes().iter().map(|change| change.all).collect();
        assert_eq!(all, [Some(Duration::from_millis(5)), Some(Duration::from_millis(4))]);
    }
}
