//! Checks that every member has the generation that the operator ordered last, and no other ones.

use std::collections::BTreeSet;
use std::time::Duration;

use hobnob_membership::{Event, Time};

use crate::checkers::checker::{Checker, Scene};
use crate::checkers::measured::Measured;
use crate::scenario::Limit;
use crate::world::{NodeEvent, Ordered};

/// Compares what the nodes hold with what was ordered.
#[derive(Default)]
pub(in crate::checkers) struct Generations {
    disturbed_at: Time,
    /// Hosts, and the times of the orders that they have taken.
    holders: BTreeSet<(usize, Time)>,
    /// Hosts, and the times of the orders that they took too late.
    reported: BTreeSet<(usize, Time)>,
    /// The longest time from an order in a calm cluster until a node held the generation.
    longest: Option<Duration>,
}

impl Generations {
    /// The newest generation but for those that were lost with the disk of the only host that ever had them.
    fn newest_kept<'a>(&self, scene: &Scene<'a>) -> Option<&'a Ordered> {
        let world = scene.world;
        let is_kept = |order: &&Ordered| {
            let mut took = self.holders.iter().filter(|(_, at)| *at == order.at);
            let only = took.next().filter(|_| took.next().is_none());
            let holds = |host| world.held_by(host).contains(&order.generation);
            only.is_none_or(|(host, _)| world.node(*host).is_none() || holds(*host))
        };
        let kept = world.ordered().iter().filter(is_kept);
        kept.reduce(|a, b| if b.generation.replaces(&a.generation) { b } else { a })
    }
}

impl Checker for Generations {
    fn name(&self) -> &'static str {
        "generations"
    }

    fn explanation(&self) -> &'static str {
        "every undisturbed member must hold the newest generation within the scenario's `rotate_within`, and none may hold one that no operator ordered"
    }

    fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent, failures: &mut Vec<String>) {
        let Event::KeysChanged = event.kind else { return };
        let held = scene.world.held_by(event.host);
        let id = scene.world.host(event.host).id;
        if scene.truth.is_stranger(id) {
            return;
        }
        let ordered = scene.world.ordered();
        let is_ordered = |held| ordered.iter().any(|ordered| ordered.generation == held);
        if let Some(held) = held.iter().find(|held| !is_ordered(**held)) {
            let host = event.host;
            failures.push(format!("n{host} holds generation {held:?}, which no operator ordered"));
        }
        let Some(newest) = scene.world.newest().filter(|newest| newest.at > Time::ZERO) else {
            return;
        };
        if !held.contains(&newest.generation) || !self.holders.insert((event.host, newest.at)) {
            return;
        }
        if scene.truth.is_calm(event.at) && self.disturbed_at < newest.at {
            let took = event.at.since(newest.at);
            self.longest = self.longest.max(Some(took));
            if took > scene.limits.rotate_within.0 && self.reported.insert((event.host, newest.at))
            {
                let (host, generation) = (event.host, newest.generation);
                failures.push(format!("n{host} has generation {generation:?} after {took:?}"));
            }
        }
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let now = scene.world.now();
        if !scene.truth.is_calm(now) {
            self.disturbed_at = now;
            return;
        }
        let Some(newest) = self.newest_kept(scene).filter(|newest| newest.at > Time::ZERO) else {
            return;
        };
        let passed = now.since(newest.at.max(self.disturbed_at));
        if passed < scene.limits.rotate_within.0 {
            return;
        }
        for (host, _) in scene.world.running() {
            if scene.truth.is_stranger(scene.world.host(host).id)
                || scene.world.held_by(host).contains(&newest.generation)
            {
                continue;
            }
            if self.reported.insert((host, newest.at)) {
                let (generation, at) = (newest.generation, newest.at);
                failures.push(format!("n{host} lacks generation {generation:?}, ordered at {at}"));
            }
        }
    }

    fn measured(&self, measured: &mut Measured) {
        measured.note_time(Limit::RotateWithin, self.longest);
    }
}
