//! What can be measured: a cluster of some protocol, in virtual time.

use std::time::Duration;

use hobnob_membership::Time;

/// A cluster of agents, named by number, all started at once and joining through the first.
pub trait Subject {
    /// The name of the protocol.
    const NAME: &'static str;

    /// A cluster of so many agents on links that lose so much, in which nothing has happened yet.
    fn new(nodes: usize, loss: f64, seed: u64) -> Self;

    /// Virtual time.
    fn now(&self) -> Time;

    /// Lets time pass.
    fn run_for(&mut self, time: Duration);

    /// An agent changes a record of its own; `value` grows from change to change.
    fn publish(&mut self, agent: usize, value: u16);

    /// The latest change of `origin` that an agent knows.
    fn known(&self, agent: usize, origin: usize) -> u16;

    /// An agent stops without a word.
    fn crash(&mut self, agent: usize);

    /// An agent does nothing for a while.
    fn pause(&mut self, agent: usize, time: Duration);

    /// Cuts the two halves apart.
    fn cut_halves(&mut self);

    /// Puts them together again.
    fn heal(&mut self);

    /// How many members an agent believes alive, itself included; 0 when it has stopped.
    fn active(&self, agent: usize) -> usize;

    /// Whether an agent believes another to be alive.
    fn believes_alive(&self, agent: usize, other: usize) -> bool;

    /// How often so far somebody called a live agent down.
    fn false_downs(&self) -> u64;

    /// Bytes that all agents sent.
    fn bytes(&self) -> u64;

    /// Copies of changes that agents received.
    fn copies(&self) -> u64;
}
