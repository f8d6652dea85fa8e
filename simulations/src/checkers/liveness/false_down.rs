//! Checks that no live and reachable agent is declared down.

use std::time::Duration;

use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Event, NodeId, Time};

use crate::checkers::checker::{Checker, Scene};
use crate::checkers::measured::Measured;
use crate::scenario::{FalseDowns, Limit, LimitValue};
use crate::truth::{Excuse, Life};
use crate::world::NodeEvent;

/// On slower paths the answer to a TCP probe may come too late.
const HARMLESS_LATENCY: Duration = Duration::from_millis(40);

/// Checks every verdict.
#[derive(Default)]
pub(in crate::checkers) struct FalseDown {
    measured: Measured,
}

impl Checker for FalseDown {
    fn name(&self) -> &'static str {
        "false-down"
    }

    fn explanation(&self) -> &'static str {
        "a live agent must not be declared down unless the scenario's `false_downs` excuses it. With `excused`, these are excuses: the agent or its observer is cut off, slow or paused for long; or it is paused for a short time while packets are lost or other faults are in force"
    }

    fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent, failures: &mut Vec<String>) {
        let Some((id, up_since)) = live_agent(scene, event) else { return };
        let excuse = |limit| excuse(scene, event, id, up_since, limit);
        let tightest = [FalseDowns::Never, FalseDowns::Excused, FalseDowns::Allowed]
            .into_iter()
            .find(|limit| excuse(*limit).is_some());
        if let Some(tightest) = tightest {
            self.measured.note(Limit::FalseDowns, LimitValue::FalseDowns(tightest));
        }
        match excuse(scene.limits.false_downs) {
            Some((_, ago)) => self.measured.note(Limit::Grace, LimitValue::Time(ago)),
            None => failures.push(format!(
                "n{} declares {} down, which is alive and reachable",
                event.host,
                scene.world.name_of(id)
            )),
        }
    }

    fn measured(&self, measured: &mut Measured) {
        measured.note(Limit::FalseDowns, LimitValue::FalseDowns(FalseDowns::Never));
        measured.note(Limit::Grace, LimitValue::Time(Duration::ZERO));
        measured.merge(&self.measured);
    }
}

/// The live agent that an event declares down, and the excuse for that if there is one.
pub(crate) fn down_of_live_agent(
    scene: &Scene<'_>,
    event: &NodeEvent,
) -> Option<(NodeId, Option<Excuse>)> {
    let (id, up_since) = live_agent(scene, event)?;
    let excuse = excuse(scene, event, id, up_since, scene.limits.false_downs);
    Some((id, excuse.map(|(excuse, _)| excuse)))
}

/// The live agent that an event declares down, and since when it lives.
fn live_agent(scene: &Scene<'_>, event: &NodeEvent) -> Option<(NodeId, Time)> {
    let Event::Member(change) = &event.kind else { return None };
    let id = change.member.identity.node_id;
    let Some(Life::Up { since }) = scene.truth.life(id) else { return None };
    (change.member.status == MemberStatus::Down).then_some((id, since))
}

/// The excuse that a limit accepts for this verdict, and the time since its reason ended.
fn excuse(
    scene: &Scene<'_>,
    event: &NodeEvent,
    id: NodeId,
    up_since: Time,
    limit: FalseDowns,
) -> Option<(Excuse, Duration)> {
    if scene.truth.is_duplicate(id) {
        return Some((Excuse::Duplicate, Duration::ZERO));
    }
    match limit {
        FalseDowns::Allowed => Some((Excuse::Allowed, Duration::ZERO)),
        FalseDowns::Excused => {
            // Short pauses are no excuse by themselves.
            let shaken = scene.truth.shaken_ago(event.at);
            let shaken = if is_well_linked(scene, id) { shaken? } else { Duration::ZERO };
            let of = |host| scene.truth.excuse_of(host, event.at);
            let excuses = [scene.world.host_of(id).and_then(of), of(event.host)];
            let (excuse, ago) = excuses.into_iter().flatten().min()?;
            Some((excuse, ago.max(shaken)))
        }
        // Within the grace after a restart, a verdict may still concern the previous life.
        FalseDowns::Never => {
            let ago = event.at.since(up_since);
            let lately = ago < scene.limits.grace.0 && up_since.as_micros() > 0;
            lately.then_some((Excuse::Grace, ago))
        }
    }
}

/// Whether all links of this host are lossless, uncapped and fast enough for TCP probes.
fn is_well_linked(scene: &Scene<'_>, id: NodeId) -> bool {
    let Some(host) = scene.world.host_of(id) else { return true };
    scene.world.links().all_links_of(host, |conditions| {
        conditions.effective_loss() == 0.0
            && conditions.bandwidth.is_none()
            && conditions.latency.typical() <= HARMLESS_LATENCY
    })
}
