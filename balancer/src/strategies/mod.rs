//! How to choose among the targets.

mod candidates;
pub(crate) mod hot_cold;
pub(crate) mod least_connections;
pub(crate) mod peak_ewma;
mod strategy;
mod turns;

pub use self::strategy::{Strategy, UnknownStrategy};
pub(crate) use self::{
    candidates::Candidates,
    hot_cold::Threshold,
    least_connections::Comparison,
    turns::{Lease, Rotation},
};
