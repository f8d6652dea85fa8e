//! Checks that no live and reachable agent is declared down.

use std::time::Duration;

use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Event, NodeId};

use crate::checkers::checker::{Checker, Scene};
use crate::scenario::FalseDowns;
use crate::truth::{Excuse, Life, Truth};
use crate::world::{NodeEvent, host_of};

/// On slower paths the answer to a TCP probe may come too late.
const HARMLESS_LATENCY: Duration = Duration::from_millis(40);

/// Checks every verdict.
pub(in crate::checkers) struct FalseDown;

impl Checker for FalseDown {
    fn name(&self) -> &'static str {
        "false-down"
    }

    fn explanation(&self) -> &'static str {
        "a live agent must not be declared down unless the scenario's `false_downs` excuses it. With `excused`, these are excuses: the agent or its observer is cut off, slow or paused for long; or it is paused for a short time while packets are lost or other faults are in force"
    }

    fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent, failures: &mut Vec<String>) {
        if let Some((id, None)) = down_of_live_agent(scene, event) {
            failures.push(format!(
                "n{} declares {} down, which is alive and reachable",
                event.host,
                Truth::name(id)
            ));
        }
    }
}

/// The live agent that an event declares down, and the excuse for that if there is one.
pub(crate) fn down_of_live_agent(
    scene: &Scene<'_>,
    event: &NodeEvent,
) -> Option<(NodeId, Option<Excuse>)> {
    let Event::Member(change) = &event.kind else { return None };
    let id = change.member.identity.node_id;
    let Some(Life::Up { since }) = scene.truth.life(id) else { return None };
    if change.member.status != MemberStatus::Down {
        return None;
    }
    if scene.truth.is_duplicate(id) {
        return Some((id, Some(Excuse::Duplicate)));
    }
    let excuse = match scene.limits.false_downs {
        FalseDowns::Allowed => Some(Excuse::Allowed),
        FalseDowns::Excused => {
            let stalled = scene.truth.only_short_pauses(event.at) && is_well_linked(scene, id);
            let excuse = |host| scene.truth.excuse_of(host, event.at).filter(|_| !stalled);
            let excuses = [excuse(host_of(id)), excuse(event.host)];
            excuses.into_iter().flatten().min()
        }
        // Within the grace after a restart, a verdict may still concern the previous life.
        FalseDowns::Never => {
            let lately = event.at.since(since) < scene.limits.grace.0 && since.as_micros() > 0;
            lately.then_some(Excuse::Grace)
        }
    };
    Some((id, excuse))
}

/// Whether all links of this host are lossless, uncapped and fast enough for TCP probes.
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
