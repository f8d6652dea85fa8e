//! Checks that members that are lost together are told as one event.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::{Event, Time, is_probably_a_cut};

use crate::checkers::checker::{Checker, Scene};
use crate::checkers::per_life::PerLife;
use crate::truth::Life;
use crate::world::NodeEvent;

/// The event comes this long after the last loss at most.
const TOLD_WITHIN: Duration = Duration::from_secs(3);

/// Remembers the events of each host, and the mass deaths that were looked into.
#[derive(Default)]
pub(in crate::checkers) struct Losses {
    disturbed_at: Time,
    told: PerLife<Vec<(Time, usize)>>,
    checked: BTreeMap<Time, usize>,
}

impl Checker for Losses {
    fn name(&self) -> &'static str {
        "losses"
    }

    fn explanation(&self) -> &'static str {
        "when a fifth of all agents or more die at once, every undisturbed agent must tell of them as one event, within three seconds after the scenario's `detect_within`"
    }

    fn on_event(&mut self, _scene: &Scene<'_>, event: &NodeEvent, _failures: &mut Vec<String>) {
        let told = self.told.of(event.host, event.life);
        if let Event::LostTogether { nodes, .. } = &event.kind {
            told.push((event.at, nodes.len()));
        }
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let now = scene.world.now();
        if !scene.truth.is_calm(now) {
            self.disturbed_at = now;
            return;
        }
        let mut deaths = BTreeMap::<Time, usize>::new();
        for (_, life) in scene.truth.lives() {
            if let Life::Dead { since } = life {
                *deaths.entry(since).or_default() += 1;
            }
        }
        let running = scene.world.running().count();
        let bound = scene.limits.detect_within.0 + TOLD_WITHIN;
        for (died, count) in &deaths {
            let (died, count) = (*died, *count);
            let is_due = died >= self.disturbed_at && now.since(died) >= bound;
            // Deaths shortly before or after may be told together with these.
            let near = deaths.keys().filter(|at| at.since(died).max(died.since(**at)) < bound);
            if !is_due || near.count() > 1 || !is_probably_a_cut(count, running + count) {
                continue;
            }
            if self.checked.insert(died, count).is_some() {
                continue;
            }
            for (host, _) in scene.world.running().filter(|(_, node)| node.is_connected()) {
                let told = self.told.get(host).into_iter().flatten();
                let since: Vec<usize> =
                    told.filter(|(at, _)| *at >= died).map(|(_, nodes)| *nodes).collect();
                if since != [count] {
                    failures.push(format!(
                        "n{host} tells of groups of {since:?} lost members after {count} died at once at {died}"
                    ));
                }
            }
        }
    }
}
