//! Checks that no process is taken to have exited that has not.

use std::time::Duration;

use hobnob_membership::Event;
use hobnob_membership::view::MemberStatus;

use crate::checkers::checker::{Checker, Scene};
use crate::world::NodeEvent;

/// A node that said goodbye is not taken to have exited for this long: five seconds, less the time that goodbyes and verdicts
/// may be under way.
const GOODBYE_HOLDS: Duration = Duration::from_secs(4);

/// Checks every verdict that says that a process exited.
pub(in crate::checkers) struct Exits;

impl Checker for Exits {
    fn name(&self) -> &'static str {
        "exits"
    }

    fn explanation(&self) -> &'static str {
        "no verdict may say that a process exited that runs in the same epoch, or that said goodbye a short while ago, whatever the network does"
    }

    fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent, failures: &mut Vec<String>) {
        let Event::Member(change) = &event.kind else { return };
        let identity = change.member.identity;
        let id = identity.node_id;
        if change.member.status != MemberStatus::Down || scene.truth.is_duplicate(id) {
            return;
        }
        let belief = scene.world.node(event.host).and_then(|observer| observer.belief(id));
        let Some(belief) = belief.filter(|belief| belief.verdict.exited) else { return };
        let running = scene
            .world
            .host_of(id)
            .and_then(|host| scene.world.node(host))
            .map(|node| *node.identity());
        let lives = running
            .is_some_and(|running| running.node_id == id && running.epoch <= belief.verdict.epoch);
        let goodbye = scene.truth.goodbye(id).filter(|at| event.at.since(*at) < GOODBYE_HOLDS);
        let (observer, name) = (event.host, scene.world.name_of(id));
        if lives {
            failures.push(format!(
                "n{observer} believes that the process of {name} exited, which runs"
            ));
        } else if let Some(goodbye) = goodbye {
            failures.push(format!(
                "n{observer} believes that the process of {name} exited, which said goodbye at {goodbye}"
            ));
        }
    }
}
