//! Calls to real servers on loopback, found through an agent that answers from a script.

#![expect(clippy::unwrap_used, reason = "what cannot be set up or parsed has failed its test")]

mod blame;
mod circuits;
mod connections;
mod failover;
mod limits;
mod support;
mod told;
