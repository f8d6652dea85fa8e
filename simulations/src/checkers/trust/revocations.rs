//! Checks that a node that was revoked is out of every view, and stays out.

use std::collections::BTreeSet;
use std::time::Duration;

use hobnob_membership::view::{InstanceStatus, MemberStatus};
use hobnob_membership::{Event, NodeId, Time};

use crate::checkers::checker::{Checker, Scene};
use crate::checkers::measured::Measured;
use crate::scenario::Limit;
use crate::world::NodeEvent;

/// Looks for nodes that were revoked in the views of members.
#[derive(Default)]
pub(in crate::checkers) struct Revocations {
    disturbed_at: Time,
    out: BTreeSet<(usize, u32, NodeId)>,
    reported: BTreeSet<(usize, NodeId)>,
    /// The longest time from a revocation in a calm cluster until a member held the node for revoked.
    longest: Option<Duration>,
}

const PRESENT: [MemberStatus; 2] = [MemberStatus::Alive, MemberStatus::Suspect];

impl Checker for Revocations {
    fn name(&self) -> &'static str {
        "revocations"
    }

    fn explanation(&self) -> &'static str {
        "a revoked node must be out of the view of every undisturbed member within the scenario's `revoke_within`, with its instances, and must never return to a view that it left"
    }

    fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent, failures: &mut Vec<String>) {
        let Event::Member(change) = &event.kind else { return };
        let id = change.member.identity.node_id;
        let Some(at) = scene.truth.revoked_at(id) else { return };
        let place = (event.host, event.life, id);
        match change.member.status {
            MemberStatus::Revoked => {
                let is_news = self.out.insert(place);
                if is_news && scene.truth.is_calm(event.at) && self.disturbed_at < at {
                    let took = event.at.since(at);
                    self.longest = self.longest.max(Some(took));
                    if took > scene.limits.revoke_within.0 && self.reported.insert((event.host, id))
                    {
                        let name = scene.world.name_of(id);
                        failures.push(format!("n{} shuts {name} out after {took:?}", event.host));
                    }
                }
            }
            status if PRESENT.contains(&status) && self.out.contains(&place) => {
                let name = scene.world.name_of(id);
                failures.push(format!("{name} is back in the view of n{}", event.host));
            }
            _ => {}
        }
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let now = scene.world.now();
        if !scene.truth.is_calm(now) {
            self.disturbed_at = now;
            return;
        }
        for (id, at) in scene.truth.all_revoked() {
            let passed = now.since(at.max(self.disturbed_at));
            if passed < scene.limits.revoke_within.0 {
                continue;
            }
            for (host, node) in scene.world.running() {
                let belief = scene.beliefs.of(host, id);
                let is_there = belief.is_some_and(|(status, _)| PRESENT.contains(&status));
                let offers = || {
                    node.instances().any(|instance| {
                        instance.origin == id && instance.status == InstanceStatus::Healthy
                    })
                };
                if (is_there || offers()) && self.reported.insert((host, id)) {
                    let name = scene.world.name_of(id);
                    failures.push(format!("n{host} still shows {name}, which was revoked at {at}"));
                }
            }
        }
    }

    fn measured(&self, measured: &mut Measured) {
        measured.note_time(Limit::RevokeWithin, self.longest);
    }
}
