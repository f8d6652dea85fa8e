//! The interface of a checker, its view of a run, and its findings.

use std::fmt;

use hobnob_membership::{Node, Time};
use serde::Serialize;

use super::beliefs::Beliefs;
use super::measured::Measured;
use crate::scenario::Limits;
use crate::truth::Truth;
use crate::workload::Answer;
use crate::world::{NodeEvent, World};

/// Hosts whose whole catalogs are checked in one window. Larger clusters take turns.
const CATALOGS_PER_WINDOW: usize = 100;
/// Larger clusters have the whole catalogs and each record of some hosts checked, and of the others the digests alone.
const MAX_CHECKED_WHOLE: usize = 1_000;
/// The number of these hosts.
const SAMPLED: usize = 200;

/// Every so many hosts the whole catalog of one is checked: of every one but in very large clusters.
fn sampling(hosts: usize) -> usize {
    if hosts > MAX_CHECKED_WHOLE { hosts.div_ceil(SAMPLED) } else { 1 }
}

/// Whether the records of a host are checked one by one: those of all hosts, or in a very large cluster of some, evenly spread.
pub(super) fn is_sampled(host: usize, scene: &Scene<'_>) -> bool {
    host.is_multiple_of(sampling(scene.world.len()))
}

/// Whether it is a host's turn to have its whole catalog checked.
pub(super) fn is_turn_of(host: usize, scene: &Scene<'_>) -> bool {
    let hosts = scene.world.len();
    let every = sampling(hosts);
    let turns = (hosts / every).div_ceil(CATALOGS_PER_WINDOW).max(1);
    let window = scene.world.now().as_micros() / 1_000_000;
    is_sampled(host, scene) && host / every % turns == usize::try_from(window).unwrap_or(0) % turns
}

/// The view that a checker has of a run.
pub struct Scene<'a> {
    /// The hosts, with their nodes.
    pub world: &'a World,
    /// The ground truth.
    pub truth: &'a Truth,
    /// The reports of nodes about each other.
    pub beliefs: &'a Beliefs,
    /// The limits of the scenario.
    pub limits: &'a Limits,
    /// The end of the faults; `None` while they last.
    pub healing_since: Option<Time>,
}

impl<'a> Scene<'a> {
    /// The running hosts whose records are checked one by one.
    pub(super) fn sample(&self) -> impl Iterator<Item = (usize, &'a Node)> {
        self.world.running().filter(|(host, _)| is_sampled(*host, self))
    }
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The checker that found it.
    pub checker: &'static str,
    /// When, in microseconds of virtual time.
    pub at_micros: u64,
    /// The finding.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Time::from_micros(self.at_micros);
        write!(f, "{} at {at}: {}", self.checker, self.what)
    }
}

/// A promise that must always hold.
pub trait Checker: Send {
    /// Its name.
    fn name(&self) -> &'static str;

    /// The rule that must hold, for a reader who sees it fire.
    fn explanation(&self) -> &'static str;

    /// All nodes know each other from the start, and reported nothing of that.
    fn settled(&mut self, _scene: &Scene<'_>) {}

    /// A node reported an event.
    fn on_event(&mut self, _scene: &Scene<'_>, _event: &NodeEvent, _failures: &mut Vec<String>) {}

    /// A client was answered.
    fn answered(&mut self, _scene: &Scene<'_>, _answer: &Answer, _failures: &mut Vec<String>) {}

    /// A second has passed.
    fn window(&mut self, _scene: &Scene<'_>, _failures: &mut Vec<String>) {}

    /// Everything is healed, and all nodes agree.
    fn healed(&mut self, _scene: &Scene<'_>, _failures: &mut Vec<String>) {}

    /// The run is over. Checkers of limits note what they measured.
    fn measured(&self, _measured: &mut Measured) {}
}
