//! Checks that every member trusts both CA keys once an operator handed in their succession, and none before.

use std::collections::BTreeSet;

use hobnob_membership::{Event, Time};

use crate::checkers::checker::{Checker, Scene};
use crate::world::NodeEvent;

/// Counts the CA keys that the nodes trust.
#[derive(Default)]
pub(in crate::checkers) struct Authorities {
    disturbed_at: Time,
    reported: BTreeSet<usize>,
}

impl Checker for Authorities {
    fn name(&self) -> &'static str {
        "authorities"
    }

    fn explanation(&self) -> &'static str {
        "every undisturbed member must trust both CA keys of a succession within the scenario's `rotate_within`, and none may trust a second one before an operator handed it in"
    }

    fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent, failures: &mut Vec<String>) {
        let Event::KeysChanged = event.kind else { return };
        let is_early = scene.world.succeeded_at().is_none();
        if is_early && scene.world.authorities_of(event.host) > 1 {
            failures.push(format!("n{} trusts a CA key that nobody handed in", event.host));
        }
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let now = scene.world.now();
        if !scene.truth.is_calm(now) {
            self.disturbed_at = now;
            return;
        }
        let Some(succeeded_at) = scene.world.succeeded_at() else { return };
        if now.since(succeeded_at.max(self.disturbed_at)) < scene.limits.rotate_within.0 {
            return;
        }
        for (host, _) in scene.world.running() {
            let is_strange = scene.truth.is_stranger(scene.world.host(host).id);
            if !is_strange && scene.world.authorities_of(host) < 2 && self.reported.insert(host) {
                failures.push(format!("n{host} does not trust the CA key of {succeeded_at}"));
            }
        }
    }
}
