//! A claim to a node id, told to another agent that lives under the same one.

use crate::base::identity::{Epoch, Identity};
use crate::codec::block;

/// One run of an agent, as agents under one node id compare them: the greater gives way.
///
/// Who gave way before does so again, so that a restart of the other turns nothing round. Else who started last gives
/// way: the copy of a data directory starts in a later epoch than the original, whatever the clocks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life {
    /// Whether it gave way to another before.
    pub yielded: bool,
    /// The epoch in which it started.
    pub started: Epoch,
    /// The hash of the instance key in its data directory. A copy has the same.
    pub key: u64,
    /// Drawn at its start: no two lives are equal.
    pub number: u64,
}
block!(Life { yielded, started, key, number });

/// Says that a life goes by a node id, and proves that it lives now by sending back the other's nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who sends this.
    pub identity: Identity,
    /// In which life.
    pub life: Life,
    /// Whether it gave way, and does nothing but ask whether the other is still there.
    pub silent: bool,
    /// What the answer must carry back.
    pub nonce: u64,
    /// The nonce of the claim that this answers; 0 when it answers none.
    pub echo: u64,
}
block!(Claim { identity, life, silent, nonce, echo });
