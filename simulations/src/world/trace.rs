//! The trace of a run: a hash over every datagram, frame and TCP answer delivered and, on request, a line for each
//! event.

use std::fmt::Display;

use hobnob_membership::Time;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The level of detail of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Only the hash.
    #[default]
    Hash,
    /// Faults, and the events of nodes and clients.
    Events,
    /// Packets as well.
    Packets,
}

/// Receives the lines of a trace.
pub type Sink = Box<dyn FnMut(&str) + Send>;

/// The trace of one run.
#[derive(Default)]
pub struct Trace {
    hash: u64,
    deliveries: u64,
    detail: Detail,
    sink: Option<Sink>,
}

impl Trace {
    /// A hash over every datagram, frame and TCP answer delivered, its time and its receiver.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The number of datagrams, frames and TCP answers delivered.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// Passes lines of this detail to `sink` from now on.
    pub fn tell(&mut self, detail: Detail, sink: Sink) {
        self.detail = detail;
        self.sink = Some(sink);
    }

    /// Adds a delivery to the hash.
    pub(super) fn delivered(&mut self, at: Time, to: usize, bytes: &[u8]) {
        let seed = self.hash.rotate_left(7) ^ at.as_micros() ^ ((to as u64) << 48);
        self.hash = xxh3_64_with_seed(bytes, seed);
        self.deliveries += 1;
    }

    /// Whether lines of this detail are wanted. Others need not be made.
    #[must_use]
    pub fn wants(&self, detail: Detail) -> bool {
        self.sink.is_some() && self.detail >= detail
    }

    /// Writes a line.
    pub fn line(&mut self, at: Time, what: impl Display) {
        if let Some(sink) = &mut self.sink {
            sink(&format!("{at} {what}"));
        }
    }
}
