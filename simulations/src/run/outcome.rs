//! What is asked of a run, and how it went.

use hobnob_membership::Time;
use serde::Serialize;

use super::recording::Recording;
use crate::checkers::Failure;
use crate::scenario::Scenario;
use crate::world::{Detail, Sink};

/// What is wanted of a run beside its result.
#[derive(Default)]
pub struct RunOptions {
    /// Keep what a report shows.
    pub recording: bool,
    /// Stop when something is broken.
    pub stop_at_failure: bool,
    /// Tells every line of the trace.
    pub trace: Option<(Detail, Sink)>,
    /// Called each simulated second with the time and the end of the faults.
    pub progress: Option<Box<dyn FnMut(Time, Time)>>,
}

/// How a run went.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The scenario.
    pub scenario: String,
    /// How many hosts.
    pub nodes: usize,
    /// The seed.
    pub seed: u64,
    /// A hash of everything that was delivered, in hexadecimal digits.
    pub trace_hash: String,
    /// What was broken.
    pub failures: Vec<Failure>,
    /// Simulated seconds.
    pub simulated_seconds: f64,
    /// How long it took until all agreed after the last heal, in milliseconds.
    pub healed_after_ms: Option<u64>,
    /// How much was delivered.
    pub deliveries: u64,
    /// Bytes a second that a host sent, on average.
    pub bytes_per_second_per_node: f64,
    /// How often a live agent was called down, excused or not.
    pub downs_of_live_agents: u64,
    /// Writes and reads of clients.
    pub client_actions: usize,
    /// What a report shows.
    #[serde(skip)]
    pub recording: Option<Recording>,
}

impl Outcome {
    /// A run of which nothing is left but what broke it.
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
            client_actions: 0,
            recording: None,
        }
    }

    /// Whether nothing was broken.
    #[must_use]
    pub fn is_green(&self) -> bool {
        self.failures.is_empty()
    }
}
