//! Calls to real servers on loopback, found through an agent that answers from a script.

mod circuits;
mod connections;
mod failover;
mod limits;
mod support;
