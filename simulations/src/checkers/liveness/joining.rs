//! Checks that a node that starts soon holds the records of all others.

use hobnob_membership::Time;

use crate::checkers::checker::{Checker, Scene};
use crate::truth::Life;

/// Checks every node each second.
pub(in crate::checkers) struct Joining;

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
        let long_since = |since: Time| now.since(since) > within.0;
        let runs = |host: usize| {
            let life = scene.truth.life(scene.world.host(host).id);
            matches!(life, Some(Life::Up { since }) if long_since(since))
        };
        let settled: Vec<_> = scene.world.running().filter(|(host, _)| runs(*host)).collect();
        for (host, node) in &settled {
            let served = |id| node.catalog().origin(id).and_then(|origin| origin.current());
            let ids = settled.iter().map(|(host, _)| scene.world.host(*host).id);
            let missing = ids.filter(|id| served(*id).is_none()).count();
            if missing > 0 {
                failures.push(format!(
                    "n{host} holds no records of {missing} of {} hosts, all of which started more than {} ago",
                    settled.len(),
                    humantime::format_duration(within.0)
                ));
            }
        }
    }
}
