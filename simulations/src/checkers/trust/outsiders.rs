//! Checks that nobody without a membership changes anything, and no member what only an operator may.

use hobnob_membership::Event;
use hobnob_membership::view::InstanceStatus;

use crate::checkers::checker::{Checker, Scene};
use crate::world::NodeEvent;

/// Collects the breaches that the world saw, and looks for members and instances of nobody.
#[derive(Default)]
pub(in crate::checkers) struct Outsiders {
    told: usize,
}

impl Checker for Outsiders {
    fn name(&self) -> &'static str {
        "outsiders"
    }

    fn explanation(&self) -> &'static str {
        "no node may open, answer or let in what an outsider makes, changes or sends again, nor take an order of a member without the role; every member and instance in a view is a host's, and every instance is of a service that the token of its node allows"
    }

    fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent, failures: &mut Vec<String>) {
        if let Event::Instance(change) = &event.kind
            && change.instance.status != InstanceStatus::Gone
            && scene.world.is_restricted(change.instance.origin)
        {
            let (host, origin) = (event.host, scene.world.name_of(change.instance.origin));
            let service = &change.instance.service.service;
            failures.push(format!("n{host} shows {service} of {origin}, whose token forbids it"));
        }
        let id = match &event.kind {
            Event::Member(change) => change.member.identity.node_id,
            Event::Instance(change) => change.instance.origin,
            _ => return,
        };
        if scene.world.host_of(id).is_none() {
            failures.push(format!("n{} reports {}", event.host, scene.world.name_of(id)));
        }
    }

    fn window(&mut self, scene: &Scene<'_>, failures: &mut Vec<String>) {
        let breaches = scene.world.breaches();
        failures.extend(breaches[self.told..].iter().cloned());
        self.told = breaches.len();
    }
}
