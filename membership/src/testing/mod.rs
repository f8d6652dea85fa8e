//! What tests, benches and fuzzing share: a small network, bounds, the corpus, and protocol bugs that can be switched on.
//!
//! All but the bugs is there with the feature `testing`, which no production binary has.

#[cfg(feature = "testing")]
pub mod bounds;
#[cfg(feature = "testing")]
pub mod corpus;
pub(crate) mod mutants;
#[cfg(feature = "testing")]
mod network;

#[cfg(feature = "testing")]
pub use network::{
    Arrival, Link, Network, config, health, identity, node, node_as, node_of, record,
};
