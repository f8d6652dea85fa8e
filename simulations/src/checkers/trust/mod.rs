//! Checkers of sealed clusters: who may speak, and which keys count.

mod generations;
mod outsiders;
mod revocations;

pub(super) use generations::Generations;
pub(super) use outsiders::Outsiders;
pub(super) use revocations::Revocations;
