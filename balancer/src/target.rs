//! What a balancer balances over.

use std::sync::Arc;

/// The most targets that one balancer holds; tables keep their indices in 16 bits.
pub const MAX_TARGETS: usize = 65_535;

/// The largest weight; a weight outside `1..=MAX_WEIGHT` is clamped into it.
pub const MAX_WEIGHT: u32 = 65_535;

/// Something to balance over, with a payload of any type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<T> {
    /// The stable identity. It names the target across updates and must be the same on every agent, because keyed
    /// strategies hash it.
    pub id: Arc<str>,
    /// The share of the load relative to the other targets, `1..=65535`.
    pub weight: u32,
    /// What a pick hands out: an address, a connection pool, anything.
    pub item: T,
}
