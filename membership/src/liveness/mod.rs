//! Plane 1: which members live. SWIM membership, failure detection, joining, and duplicates of a node id.

pub mod detector;
pub(crate) mod duplicate;
pub(crate) mod members;
pub(crate) mod ring;
pub(crate) mod seeds;
pub(crate) mod swim;
