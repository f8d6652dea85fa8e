//! Checks that a node that starts soon holds the records of all others.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::{NodeId, Time};

use crate::checkers::checker::{Checker, Scene};
use crate::checkers::measured::Measured;
use crate::scenario::Limit;
use crate::truth::Life;

/// Checks every node each second, if the scenario limits the time.
#[derive(Default)]
pub(in crate::checkers) struct Joining {
    /// The longest time for which two nodes ran, and one held no records of the other.
    longest: Option<Duration>,
    /// The digests of the records of nodes that held some of all others that ran.
    whole: BTreeMap<usize, u64>,
    /// The nodes that ran at the last look, and since when.
    running: Vec<(usize, Time)>,
}

impl Checker for Joining {
    fn name(&self) -> &'static str {
        "joining"
    }

    fn explanation(&self) -> &'static str {
        "where the scenario gives `limits.join_within`, a node that has run for longer must hold the records of all others that have"
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let now = scene.world.now();
        let Some(within) = scene.limits.join_within else { return };
        let started = |id: NodeId| match scene.truth.life(id) {
            Some(Life::Up { since }) => Some(since),
            _ => None,
        };
        let running: Vec<(usize, Time)> = scene
            .world
            .running()
            .filter_map(|(host, _)| Some((host, started(scene.world.host(host).id)?)))
            .collect();
        if running.len() > 1 {
            self.longest = self.longest.max(Some(Duration::ZERO));
        }
        if running != self.running {
            self.whole.clear();
            self.running.clone_from(&running);
        }
        for (host, since) in &running {
            let Some(node) = scene.world.node(*host) else { continue };
            let digest = node.catalog().digest();
            // With the same records as when it held some of all of these, it holds them still.
            if self.whole.get(host) == Some(&digest) {
                continue;
            }
            let mut lacks = 0;
            let mut missing = 0;
            for (other, other_since) in &running {
                let id = scene.world.host(*other).id;
                if node.catalog().origin(id).is_some_and(|origin| origin.current().is_some()) {
                    continue;
                }
                lacks += 1;
                let passed = now.since(*since.max(other_since));
                self.longest = self.longest.max(Some(passed));
                missing += usize::from(passed > within.0);
            }
            if lacks == 0 {
                self.whole.insert(*host, digest);
            } else {
                self.whole.remove(host);
            }
            if missing > 0 {
                failures.push(format!(
                    "n{host} holds no records of {missing} hosts that have run, as it has, for more than {within}"
                ));
            }
        }
    }

    fn measured(&self, measured: &mut Measured) {
        measured.note_time(Limit::JoinWithin, self.longest);
    }
}
