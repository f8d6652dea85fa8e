//! Strong reads and writes in virtual time: the room that production runs, on a network that loses, delays, doubles and cuts, with
//! disks that are lost and rolled back, clocks that jump and voters that change. Every operation is recorded, and every history is
//! judged.
//!
//! What is drawn keeps to the assumption of the proof: of the voters at most one at a time has a disk that was lost or rolled back,
//! until it has recovered.

mod clients;
mod dice;
mod disk;
mod faults;
mod founding;
pub mod history;
mod world;

use history::History;
use world::World;

/// Services of a run. Each has a history of its own.
pub const SERVICES: usize = 2;

/// The outcome of one seed.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The history of each service.
    pub histories: Vec<History>,
    /// Changes of voters that were made.
    pub changes: usize,
    /// Crashes, and among them those that lost or rolled back a disk.
    pub crashes: usize,
    /// See `crashes`.
    pub losses: usize,
    /// Writes that voters refused because of a later life.
    pub fenced: usize,
    /// Reads that a majority answered, and that did not settle in time.
    pub contended: usize,
    /// Whether two configurations had one number.
    pub is_forked: bool,
    /// Whether the first voters were never made.
    pub unfounded: bool,
    /// Messages between nodes.
    pub messages: usize,
    /// A hash of all messages.
    pub fingerprint: u64,
}

/// What the histories of a run show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The services whose histories are not linearizable; all of them if two configurations had one number.
    pub broken: Vec<usize>,
    /// The services whose histories take too long to judge.
    pub unjudged: Vec<usize>,
}

impl Outcome {
    /// Judges the histories.
    #[must_use]
    pub fn judge(&self) -> Judgement {
        let mut judgement = Judgement::default();
        for (service, history) in self.histories.iter().enumerate() {
            match history.is_linearizable() {
                _ if self.is_forked => judgement.broken.push(service),
                Some(true) => {}
                Some(false) => judgement.broken.push(service),
                None => judgement.unjudged.push(service),
            }
        }
        judgement
    }
}

/// Runs one seed.
#[must_use]
pub fn run_seed(seed: u64) -> Outcome {
    World::new(seed).run()
}

/// What many seeds gave together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Histories, of ten operations or more each.
    pub histories: usize,
    /// Their operations.
    pub operations: usize,
    /// Those that were done.
    pub succeeded: usize,
    /// Those that were under way while another one on the same service was.
    pub overlapping: usize,
    /// Changes of voters.
    pub changes: usize,
    /// Crashes.
    pub crashes: usize,
    /// Disks that were lost or rolled back.
    pub losses: usize,
    /// Runs in which the first voters were never made.
    pub unfounded: usize,
}

impl Totals {
    /// Adds a seed.
    pub fn add(&mut self, outcome: &Outcome) {
        for history in outcome.histories.iter().filter(|history| history.0.len() >= 10) {
            self.histories += 1;
            self.operations += history.0.len();
            self.succeeded += history.succeeded();
            self.overlapping += history.overlapping();
        }
        self.changes += outcome.changes;
        self.crashes += outcome.crashes;
        self.losses += outcome.losses;
        self.unfounded += usize::from(outcome.unfounded);
    }

    /// The share of the operations that were done, in per cent.
    #[must_use]
    pub fn succeeded_percent(&self) -> usize {
        100 * self.succeeded / self.operations.max(1)
    }

    /// The share of the operations that overlapped another one, in per cent.
    #[must_use]
    pub fn overlapping_percent(&self) -> usize {
        100 * self.overlapping / self.operations.max(1)
    }
}
