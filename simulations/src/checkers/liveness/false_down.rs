//! No live and reachable agent is called down.

use std::time::Duration;

use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Event, NodeId};

use crate::checkers::checker::{Checker, Scene};
use crate::scenario::FalseDowns;
use crate::truth::{Life, Truth};
use crate::world::{NodeEvent, host_of};

/// On slower paths a touch may be answered after those who look have seen enough.
const HARMLESS_LATENCY: Duration = Duration::from_millis(40);

/// Looks at every verdict.
pub(in crate::checkers) struct FalseDown;

impl Checker for FalseDown {
    fn name(&self) -> &'static str {
        "false-down"
    }

    fn explanation(&self) -> &'static str {
        "a live agent must not be called down under faults that are milder than the scenario's limit (`false_downs`): it was not cut off, slow or paused for long, and neither was anybody who might wrongly accuse it; where packets are lost, or other faults are about, a short pause is an excuse, too"
    }

    fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent, failures: &mut Vec<String>) {
        let Event::Member(change) = &event.kind else { return };
        let id = change.member.identity.node_id;
        if change.member.status != MemberStatus::Down || scene.truth.is_duplicate(id) {
            return;
        }
        let Some(Life::Up { since }) = scene.truth.life(id) else { return };
        let excused = match scene.limits.false_downs {
            FalseDowns::Allowed => true,
            FalseDowns::Excused => {
                let excused = |host| scene.truth.is_excused(host, event.at);
                let stalled = scene.truth.only_short_pauses(event.at) && is_well_linked(scene, id);
                !stalled && (excused(host_of(id)) || excused(event.host))
            }
            // Its last life did end.
            FalseDowns::Never => {
                event.at.since(since) < scene.limits.grace.0 && since.as_micros() > 0
            }
        };
        if !excused {
            failures.push(format!(
                "n{} calls {} down, which is alive and reachable",
                event.host,
                Truth::name(id)
            ));
        }
    }
}

/// Whether whoever touches its host is answered in time.
fn is_well_linked(scene: &Scene<'_>, id: NodeId) -> bool {
    let (links, host) = (scene.world.links(), host_of(id));
    let clean = |from, to| {
        let conditions = links.conditions(from, to);
        conditions.effective_loss() == 0.0
            && conditions.bandwidth.is_none()
            && conditions.latency.typical() <= HARMLESS_LATENCY
    };
    (0..scene.world.len()).all(|other| clean(host, other) && clean(other, host))
}
