//! No live and reachable agent is called down.

use hobnob_membership::Event;
use hobnob_membership::view::MemberStatus;

use super::{Checker, Scene};
use crate::scenario::FalseDowns;
use crate::truth::{Life, Truth};
use crate::world::{Told, host_of};

/// Looks at every verdict.
pub(super) struct FalseDown;

impl Checker for FalseDown {
    fn name(&self) -> &'static str {
        "false-down"
    }

    fn explanation(&self) -> &'static str {
        "a live agent must not be called down under faults that are milder than the scenario's limit (`false_downs`): it was not cut off, paused or slow, and neither was anybody who might wrongly accuse it"
    }

    fn told(&mut self, scene: &Scene<'_>, told: &Told, failures: &mut Vec<String>) {
        let Event::Member(change) = &told.event else { return };
        let id = change.member.identity.node_id;
        if change.member.status != MemberStatus::Down || scene.truth.is_doubled(id) {
            return;
        }
        let Some(Life::Up { since }) = scene.truth.life(id) else { return };
        let excused = match scene.limits.false_downs {
            FalseDowns::Allowed => true,
            FalseDowns::Excused => {
                scene.truth.is_excused(host_of(id), told.at)
                    || scene.truth.is_excused(told.host, told.at)
            }
            // Its last life did end.
            FalseDowns::Never => {
                told.at.since(since) < scene.limits.grace.0 && since.as_micros() > 0
            }
        };
        if !excused {
            failures.push(format!(
                "n{} calls {} down, which is alive and reachable",
                told.host,
                Truth::name(id)
            ));
        }
    }
}
