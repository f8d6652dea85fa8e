//! A small network, bounds and the corpus, shared by tests, benches and fuzzing.
//!
//! The feature `testing` adds this module. No production binary has it.

pub mod bounds;
pub mod corpus;
mod network;

pub use network::{
    Arrival, Link, Network, config, health, identity, node, node_as, node_of, record,
};
