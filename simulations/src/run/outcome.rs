//! Options of a run, and its outcome.

use std::collections::BTreeMap;

use hobnob_membership::Time;
use serde::Serialize;

use super::recording::Recording;
use crate::checkers::{Failure, MeasuredLimit};
use crate::scenario::Scenario;
use crate::world::{Detail, Sink};

/// The extras that a caller wants of a run beside its outcome.
#[derive(Default)]
pub struct RunOptions {
    /// Record what a report shows.
    pub recording: bool,
    /// Stop at the first failure.
    pub stop_at_failure: bool,
    /// Receives the lines of the trace.
    pub trace: Option<(Detail, Sink)>,
    /// Called each simulated second with the time and the end of the faults.
    pub progress: Option<Box<dyn FnMut(Time, Time)>>,
}

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The scenario.
    pub scenario: String,
    /// The number of hosts.
    pub nodes: usize,
    /// The seed.
    pub seed: u64,
    /// A hash of every datagram, frame and TCP answer delivered, in hexadecimal.
    pub trace_hash: String,
    /// The promises that were broken.
    pub failures: Vec<Failure>,
    /// Simulated seconds.
    pub simulated_seconds: f64,
    /// Milliseconds from the last heal until all agreed.
    pub healed_after_ms: Option<u64>,
    /// The number of deliveries.
    pub deliveries: u64,
    /// Bytes a second that a host sent, on average.
    pub bytes_per_second_per_node: f64,
    /// The number of times that a live agent was declared down, excused or not.
    pub downs_of_live_agents: u64,
    /// Those of them that were excused, by the excuse.
    pub excused_downs: BTreeMap<&'static str, u64>,
    /// Each limit of the scenario, beside what was measured for it.
    pub limits: Vec<MeasuredLimit>,
    /// The number of client calls.
    pub client_actions: usize,
    /// The recording for a report.
    #[serde(skip)]
    pub recording: Option<Recording>,
}

impl Outcome {
    /// The outcome of a run that left nothing but this failure.
    #[must_use]
    pub fn broken(scenario: &Scenario, seed: u64, failure: Failure) -> Self {
        Self {
            scenario: scenario.name.clone(),
            nodes: scenario.nodes,
            seed,
            trace_hash: String::new(),
            failures: vec![failure],
            simulated_seconds: 0.0,
            healed_after_ms: None,
            deliveries: 0,
            bytes_per_second_per_node: 0.0,
            downs_of_live_agents: 0,
            excused_downs: BTreeMap::new(),
            limits: Vec::new(),
            client_actions: 0,
            recording: None,
        }
    }

    /// Whether every promise was kept.
    #[must_use]
    pub fn is_green(&self) -> bool {
        self.failures.is_empty()
    }
}
