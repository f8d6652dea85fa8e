//! Checkers: the promises that must hold whatever the network does.
//!
//! Each checker has a name, and an explanation for whoever sees it fire. `catalog` holds the checkers of the records,
//! `liveness` those of membership, `trust` those of sealed clusters; the others concern clients and limits.

mod beliefs;
mod catalog;
mod checker;
mod limits;
mod liveness;
mod measured;
mod per_life;
mod picks;
mod slack;
mod trust;
mod watch;

use hobnob_membership::Time;

use crate::workload::Answer;
use crate::world::NodeEvent;

pub use beliefs::Beliefs;
pub use catalog::disagreement;
pub use checker::{Checker, Failure, Scene};
pub(crate) use liveness::down_of_live_agent;
pub use measured::{Measured, MeasuredLimit};

/// The number of failures that are kept; later ones add nothing new.
const MAX_FAILURES: usize = 20;

/// Name and explanation of the failure that a cluster does not become live after everything is healed.
pub const CONVERGENCE: (&str, &str) = (
    "convergence",
    "after the last heal, all live nodes must hold the same records, byte for byte, and agree on who is alive, within the scenario's `heal_within`",
);

/// Name and explanation of the failure that two runs of a seed differ.
pub const DETERMINISM: (&str, &str) = (
    "determinism",
    "two runs of one seed must deliver the same bytes at the same times to the same nodes",
);

/// Name and explanation of the failure that the protocol panics.
pub const PANIC: (&str, &str) =
    ("panic", "no input, however broken, may make the protocol or a checker of its limits panic");

/// All checkers, and the failures that they found.
pub struct Checkers {
    checkers: Vec<Box<dyn Checker>>,
    failures: Vec<Failure>,
    scratch: Vec<String>,
}

impl Default for Checkers {
    fn default() -> Self {
        let checkers: Vec<Box<dyn Checker>> = vec![
            Box::new(catalog::Resurrection::default()),
            Box::new(catalog::Regression::default()),
            Box::new(catalog::Durability::default()),
            Box::new(liveness::FalseDown::default()),
            Box::new(liveness::Detection::default()),
            Box::new(liveness::HomeVerdicts::default()),
            Box::new(liveness::Reach::default()),
            Box::new(liveness::Exits),
            Box::new(liveness::Losses::default()),
            Box::new(liveness::Links::default()),
            Box::new(liveness::Joining::default()),
            Box::new(liveness::Isolation::default()),
            Box::new(liveness::Clusters),
            Box::new(liveness::Duplicates::default()),
            Box::new(picks::Picks),
            Box::new(watch::Watch::default()),
            Box::new(catalog::GcFloors),
            Box::new(limits::LimitsKept::default()),
            Box::new(catalog::OriginTombstones::default()),
            Box::new(catalog::Scopes::default()),
            Box::new(trust::Outsiders::default()),
            Box::new(trust::Generations::default()),
            Box::new(trust::Revocations::default()),
            Box::new(trust::Authorities::default()),
        ];
        Self { checkers, failures: Vec::new(), scratch: Vec::new() }
    }
}

impl Checkers {
    /// The name and explanation of every checker.
    #[must_use]
    pub fn catalogue() -> Vec<(&'static str, &'static str)> {
        let all = Self::default();
        let own = all.checkers.iter().map(|checker| (checker.name(), checker.explanation()));
        own.chain([CONVERGENCE, DETERMINISM, PANIC]).collect()
    }

    /// The failures found, in order.
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// Adds a failure that no checker found.
    pub fn fail(&mut self, checker: &'static str, at: Time, what: String) {
        if self.failures.len() < MAX_FAILURES {
            self.failures.push(Failure { checker, at_micros: at.as_micros(), what });
        }
    }

    /// All nodes know each other from the start.
    pub fn settled(&mut self, scene: &Scene<'_>) {
        self.checkers.iter_mut().for_each(|checker| checker.settled(scene));
    }

    /// A node reported an event.
    pub fn on_event(&mut self, scene: &Scene<'_>, event: &NodeEvent) {
        // A node that was revoked may believe what it likes.
        if !scene.world.is_revoked(scene.world.host(event.host).id) {
            self.each(scene, |checker, failures| checker.on_event(scene, event, failures));
        }
    }

    /// A client was answered.
    pub fn answered(&mut self, scene: &Scene<'_>, answer: &Answer) {
        self.each(scene, |checker, failures| checker.answered(scene, answer, failures));
    }

    /// A second has passed.
    pub fn window(&mut self, scene: &Scene<'_>) {
        self.each(scene, |checker, failures| checker.window(scene, failures));
    }

    /// Everything is healed, and all nodes agree.
    pub fn healed(&mut self, scene: &Scene<'_>) {
        self.each(scene, |checker, failures| checker.healed(scene, failures));
    }

    /// What was measured for the limits of the scenario.
    #[must_use]
    pub fn measured(&self) -> Measured {
        let mut measured = Measured::default();
        self.checkers.iter().for_each(|checker| checker.measured(&mut measured));
        measured
    }

    fn each(
        &mut self,
        scene: &Scene<'_>,
        mut check: impl FnMut(&mut dyn Checker, &mut Vec<String>),
    ) {
        for checker in &mut self.checkers {
            check(checker.as_mut(), &mut self.scratch);
            for what in self.scratch.drain(..) {
                if self.failures.len() < MAX_FAILURES {
                    let at_micros = scene.world.now().as_micros();
                    self.failures.push(Failure { checker: checker.name(), at_micros, what });
                }
            }
        }
    }
}
