//! Checks that clusters that meet do not mix.

use hobnob_membership::Event;

use crate::checkers::checker::{Checker, Scene};
use crate::world::NodeEvent;

/// Checks every member and instance that a node reports.
pub(in crate::checkers) struct Clusters;

impl Checker for Clusters {
    fn name(&self) -> &'static str {
        "clusters"
    }

    fn explanation(&self) -> &'static str {
        "a node must never report a member or an instance of another cluster"
    }

    fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent, failures: &mut Vec<String>) {
        let id = match &event.kind {
            Event::Member(change) => change.member.identity.node_id,
            Event::Instance(change) => change.instance.origin,
            _ => return,
        };
        let own = scene.world.host(event.host).id;
        if scene.truth.is_stranger(id) != scene.truth.is_stranger(own) {
            let (host, name) = (event.host, scene.world.name_of(id));
            failures.push(format!("n{host} reports {name}, which belongs to another cluster"));
        }
    }
}
