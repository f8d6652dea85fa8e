//! The subject of a comparison: a cluster of some protocol in virtual time.

use std::time::Duration;

use hobnob_membership::Time;

/// A cluster of agents, named by number. All start at once and join through the first.
pub trait Subject {
    /// The name of the protocol.
    const NAME: &'static str;

    /// A cluster of `nodes` agents on links with a share of `loss`. Nothing has happened yet.
    fn new(nodes: usize, loss: f64, seed: u64) -> Self;

    /// Virtual time.
    fn now(&self) -> Time;

    /// Lets time pass.
    fn run_for(&mut self, time: Duration);

    /// Changes a record of an agent. `value` grows with each change.
    fn publish(&mut self, agent: usize, value: u16);

    /// The latest change of `origin` that an agent knows.
    fn known(&self, agent: usize, origin: usize) -> u16;

    /// Crashes an agent.
    fn crash(&mut self, agent: usize);

    /// Pauses an agent.
    fn pause(&mut self, agent: usize, time: Duration);

    /// Cuts the two halves apart.
    fn cut_halves(&mut self);

    /// Mends the cut.
    fn heal(&mut self);

    /// The number of members that an agent believes alive, itself included. 0 when it has crashed.
    fn active(&self, agent: usize) -> usize;

    /// Whether an agent believes another to be alive.
    fn believes_alive(&self, agent: usize, other: usize) -> bool;

    /// The number of times that a live agent was believed down so far, counted for each observer.
    fn false_downs(&self) -> u64;

    /// Bytes that all agents sent.
    fn bytes(&self) -> u64;

    /// Copies of changes that all agents received.
    fn copies(&self) -> u64;
}
