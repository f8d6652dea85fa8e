//! Checks that a dead agent is declared down in time.

use std::collections::BTreeSet;
use std::time::Duration;

use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Event, NodeId, Time};

use crate::checkers::checker::{Checker, Scene};
use crate::checkers::measured::Measured;
use crate::checkers::per_life::PerLife;
use crate::scenario::Limit;
use crate::truth::Life;
use crate::world::NodeEvent;

/// Looks for dead agents that are still believed alive.
#[derive(Default)]
pub(in crate::checkers) struct Detection {
    disturbed_at: Time,
    reported: BTreeSet<(usize, NodeId)>,
    /// Members that each host holds down.
    down: PerLife<BTreeSet<NodeId>>,
    /// The longest time for which an undisturbed host held a dead agent for alive.
    longest: Option<Duration>,
}

impl Checker for Detection {
    fn name(&self) -> &'static str {
        "detection"
    }

    fn explanation(&self) -> &'static str {
        "a dead agent must be declared down by every undisturbed agent within the scenario's `detect_within`"
    }

    /// Measures each verdict on an agent that died in a calm cluster. The windows find those that never come.
    fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent, failures: &mut Vec<String>) {
        let Event::Member(change) = &event.kind else { return };
        let id = change.member.identity.node_id;
        let down = self.down.of(event.host, event.life);
        if change.member.status != MemberStatus::Down {
            down.remove(&id);
            return;
        }
        let is_news = down.insert(id);
        let Some(Life::Dead { since }) = scene.truth.life(id).filter(|_| is_news) else { return };
        let took = event.at.since(since);
        let calm = scene.truth.is_calm(event.at) && self.disturbed_at < since;
        if !calm || scene.truth.is_duplicate(id) {
            return;
        }
        self.longest = self.longest.max(Some(took));
        if took > scene.limits.detect_within.0 && self.reported.insert((event.host, id)) {
            let name = scene.world.name_of(id);
            failures.push(format!("n{} declares {name} down {took:?} after its end", event.host));
        }
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let now = scene.world.now();
        if !scene.truth.is_calm(now) {
            self.disturbed_at = now;
            return;
        }
        let bound = scene.limits.detect_within.0;
        for (id, life) in scene.truth.lives() {
            let (Life::Dead { since } | Life::Left { since }) = life else { continue };
            if scene.truth.is_duplicate(id) {
                continue;
            }
            // Agents that were disturbed have the whole time once more.
            let passed = now.since(since.max(self.disturbed_at));
            for (host, _) in scene.world.running() {
                let Some((MemberStatus::Alive | MemberStatus::Suspect, at)) =
                    scene.beliefs.of(host, id)
                else {
                    continue;
                };
                self.longest = self.longest.max(Some(passed));
                if passed >= bound && self.reported.insert((host, id)) {
                    let name = scene.world.name_of(id);
                    failures.push(format!(
                        "n{host} believes since {at} that {name} is alive, which is gone since {since}"
                    ));
                }
            }
        }
    }

    fn measured(&self, measured: &mut Measured) {
        measured.note_time(Limit::DetectWithin, self.longest);
    }
}
