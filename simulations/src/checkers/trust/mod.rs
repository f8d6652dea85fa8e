//! Checkers of sealed clusters: who may speak, and which keys count.

mod authorities;
mod generations;
mod outsiders;
mod revocations;

pub(super) use authorities::Authorities;
pub(super) use generations::Generations;
pub(super) use outsiders::Outsiders;
pub(super) use revocations::Revocations;
