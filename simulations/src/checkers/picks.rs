//! Checks that a pick offers only what its own node believes to be healthy.

use hobnob_membership::view::InstanceStatus;

use crate::checkers::checker::{Checker, Scene};
use crate::workload::Answer;

/// Compares each pick with the beliefs of its own node at that moment.
pub(super) struct Picks;

impl Checker for Picks {
    fn name(&self) -> &'static str {
        "picks"
    }

    fn explanation(&self) -> &'static str {
        "a picked instance must be one that the picking node believes to be healthy at that moment"
    }

    fn answered(&mut self, scene: &Scene<'_>, answer: &Answer, failures: &mut Vec<String>) {
        let Answer::Pick { host, picked: Some((origin, id)) } = answer else { return };
        let Some(node) = scene.world.node(*host) else { return };
        let held = node.instances().find(|held| held.origin == *origin && held.id == *id);
        let status = held.map_or(InstanceStatus::Gone, |held| held.status);
        if status != InstanceStatus::Healthy {
            let name = scene.world.name_of(*origin);
            failures
                .push(format!("n{host} picks {id} at {name}, which it believes to be {status:?}"));
        }
    }
}
