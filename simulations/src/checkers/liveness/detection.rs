//! Checks that a dead agent is declared down in time.

use std::collections::BTreeSet;

use hobnob_membership::view::MemberStatus;
use hobnob_membership::{NodeId, Time};

use crate::checkers::checker::{Checker, Scene};
use crate::truth::{Life, Truth};

/// Looks for dead agents that are still believed alive.
#[derive(Default)]
pub(in crate::checkers) struct Detection {
    disturbed_at: Time,
    reported: BTreeSet<(usize, NodeId)>,
}

impl Checker for Detection {
    fn name(&self) -> &'static str {
        "detection"
    }

    fn explanation(&self) -> &'static str {
        "a dead agent must be declared down by every undisturbed agent within the scenario's `detect_within`"
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let now = scene.world.now();
        if !scene.truth.is_calm(now) {
            self.disturbed_at = now;
            return;
        }
        let bound = scene.limits.detect_within.0;
        if now.since(self.disturbed_at) < bound {
            return;
        }
        for (id, life) in scene.truth.lives() {
            let (Life::Dead { since } | Life::Left { since }) = life else { continue };
            if now.since(since) < bound || scene.truth.is_duplicate(id) {
                continue;
            }
            for (host, _) in scene.world.running() {
                let Some((MemberStatus::Alive | MemberStatus::Suspect, at)) =
                    scene.beliefs.of(host, id)
                else {
                    continue;
                };
                if self.reported.insert((host, id)) {
                    let name = Truth::name(id);
                    failures.push(format!(
                        "n{host} believes since {at} that {name} is alive, which is gone since {since}"
                    ));
                }
            }
        }
    }
}
