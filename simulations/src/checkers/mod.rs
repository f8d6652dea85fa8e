//! What must always hold, whatever the network does: each checker has a name, and an explanation for when it fires.

mod agreement;
mod beliefs;
mod clusters;
mod detection;
mod duplicates;
mod durability;
mod false_down;
mod floors;
mod isolation;
mod joining;
mod limits;
mod origin_tombstones;
mod per_life;
mod picks;
mod regression;
mod resurrection;
mod watch;

use std::fmt;

use hobnob_membership::Time;
use serde::Serialize;

use crate::scenario::Limits;
use crate::truth::Truth;
use crate::workload::Answer;
use crate::world::{Told, World};

pub use agreement::disagreement;
pub use beliefs::Beliefs;

/// Failures that are kept; those after the first few tell nothing new.
const MAX_FAILURES: usize = 20;

/// Hosts whose whole catalogs are looked at in one window; when there are more they take turns.
const CATALOGS_PER_WINDOW: usize = 100;

/// Whether it is the turn of a host to have its whole catalog looked at.
fn is_turn_of(host: usize, scene: &Scene<'_>) -> bool {
    let turns = scene.world.len().div_ceil(CATALOGS_PER_WINDOW).max(1);
    let window = scene.world.now().as_micros() / 1_000_000;
    host % turns == usize::try_from(window).unwrap_or(0) % turns
}

/// What a checker looks at.
pub struct Scene<'a> {
    /// The hosts, with their nodes.
    pub world: &'a World,
    /// What is really so.
    pub truth: &'a Truth,
    /// What nodes told of each other.
    pub beliefs: &'a Beliefs,
    /// What the protocol promises here.
    pub limits: &'a Limits,
    /// When faults ended; `None` while they last.
    pub healing_since: Option<Time>,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The checker that found it.
    pub checker: &'static str,
    /// When, in microseconds of virtual time.
    pub at_micros: u64,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Time::from_micros(self.at_micros);
        write!(f, "{} at {at}: {}", self.checker, self.what)
    }
}

/// Something that must always hold.
pub trait Checker: Send {
    /// Its name.
    fn name(&self) -> &'static str;

    /// What it means when it fires.
    fn explanation(&self) -> &'static str;

    /// A node told its owner something.
    fn told(&mut self, _scene: &Scene<'_>, _told: &Told, _failures: &mut Vec<String>) {}

    /// A client was answered.
    fn answered(&mut self, _scene: &Scene<'_>, _answer: &Answer, _failures: &mut Vec<String>) {}

    /// A second has passed.
    fn window(&mut self, _scene: &Scene<'_>, _failures: &mut Vec<String>) {}

    /// All is healed, and all agree.
    fn healed(&mut self, _scene: &Scene<'_>, _failures: &mut Vec<String>) {}
}

/// The name of what fires when the cluster does not become live after everything is healed.
pub const CONVERGENCE: (&str, &str) = (
    "convergence",
    "after the last heal, all live nodes must hold the same records, byte for byte, and agree on who is alive, within the scenario's `heal_within`",
);

/// The name of what fires when two runs of a seed differ.
pub const DETERMINISM: (&str, &str) = (
    "determinism",
    "two runs of one seed must deliver the same bytes at the same times to the same nodes",
);

/// The name of what fires when the protocol panics.
pub const PANIC: (&str, &str) =
    ("panic", "no input, however broken, may make the protocol or its limits checks panic");

/// All checkers together, and what they found.
pub struct Checkers {
    checkers: Vec<Box<dyn Checker>>,
    failures: Vec<Failure>,
    scratch: Vec<String>,
}

impl Default for Checkers {
    fn default() -> Self {
        let checkers: Vec<Box<dyn Checker>> = vec![
            Box::new(resurrection::Resurrection::default()),
            Box::new(regression::Regression::default()),
            Box::new(durability::Durability::default()),
            Box::new(false_down::FalseDown),
            Box::new(detection::Detection::default()),
            Box::new(joining::Joining),
            Box::new(isolation::Isolation::default()),
            Box::new(clusters::Clusters),
            Box::new(duplicates::Duplicates::default()),
            Box::new(picks::Picks),
            Box::new(watch::Watch::default()),
            Box::new(floors::Floors),
            Box::new(limits::LimitsKept::default()),
            Box::new(origin_tombstones::OriginTombstones::default()),
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

    /// What was found, the first first.
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// Notes a failure that is found elsewhere.
    pub fn fail(&mut self, checker: &'static str, at: Time, what: String) {
        if self.failures.len() < MAX_FAILURES {
            self.failures.push(Failure { checker, at_micros: at.as_micros(), what });
        }
    }

    /// A node told its owner something.
    pub fn told(&mut self, scene: &Scene<'_>, told: &Told) {
        self.each(scene, |checker, failures| checker.told(scene, told, failures));
    }

    /// A client was answered.
    pub fn answered(&mut self, scene: &Scene<'_>, answer: &Answer) {
        self.each(scene, |checker, failures| checker.answered(scene, answer, failures));
    }

    /// A second has passed.
    pub fn window(&mut self, scene: &Scene<'_>) {
        self.each(scene, |checker, failures| checker.window(scene, failures));
    }

    /// All is healed, and all agree.
    pub fn healed(&mut self, scene: &Scene<'_>) {
        self.each(scene, |checker, failures| checker.healed(scene, failures));
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
