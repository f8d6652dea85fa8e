//! The catalog: the records of every origin, replicated by deltas.
//!
//! Each origin numbers its writes 1, 2, 3 ... within an epoch, one version for each. A replica holds, for each key, the
//! newest version that it heard, and `known_to`: the version up to which it misses nothing. States of one origin are
//! ordered by epoch, then merged key by key; the higher version wins. They form a join semilattice, so any order,
//! repetition and route of deltas ends in the same state. No step depends on time.

mod delta;
mod digests;
mod origin;
mod origin_tombstone;
mod own;
mod range;
pub mod record;
pub mod registering;
mod replica;
mod room;
#[cfg(feature = "testing")]
pub(crate) mod sharing;
mod slots;
mod spans;
mod store;

pub use delta::{Delta, Entry, Head, Version, Want};
pub use digests::Scope;
pub use origin::Origin;
pub use origin_tombstone::OriginTombstone;
pub use own::WriteError;
pub(crate) use range::Range;
pub use replica::Replica;
pub use room::{Shortage, Standing};
pub use slots::Slot;
pub use store::{Applied, Catalog};
