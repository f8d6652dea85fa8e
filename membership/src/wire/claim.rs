//! The claim of an agent to its node id, sent to a possible duplicate.

use crate::base::identity::{Epoch, Identity};
use crate::codec::block;

/// One run of an agent. Of two lives under one node id, the greater gives way.
///
/// A life that gave way before does so again, so that a restart of the other agent does not swap the two. Otherwise the
/// life that started last gives way: the copy of a data directory starts in a later epoch than the original, whatever
/// the clocks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life {
    /// Whether this life gave way to a duplicate before.
    pub yielded: bool,
    /// The epoch in which this life started.
    pub started: Epoch,
    /// The hash of the instance key in the data directory. A copied data directory has the same key.
    pub key: u64,
    /// A random number drawn at the start, so that no two lives are equal.
    pub number: u64,
}
block!(Life { yielded, started, key, number });

/// The claim of an agent to its node id. The nonce of the other agent, sent back, proves that the sender lives now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The identity of the sender.
    pub identity: Identity,
    /// The life of the sender.
    pub life: Life,
    /// Whether the sender gave way, and only asks whether the other agent is still there.
    pub silent: bool,
    /// The nonce that an answer must carry back.
    pub nonce: u64,
    /// The nonce of the claim that this answers; 0 when it answers none.
    pub echo: u64,
}
block!(Claim { identity, life, silent, nonce, echo });
