//! Operations: what a node asks for, and how it ends.

use crate::base::identity::{Epoch, NodeId};
use crate::base::time::Time;

use super::chain::{Configuration, Seat};
use super::entry::Entry;

/// Names an operation of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// An operation under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) id: OpId,
    pub(crate) until: Time,
}

/// The reason why an operation was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No voters are known.
    NoVoters,
    /// No majority of the voters answered in time.
    NoQuorum {
        /// The voters that did.
        answered: Vec<NodeId>,
        /// The voters that did not.
        silent: Vec<NodeId>,
    },
    /// A majority answered, and did not agree in time, since others wrote.
    Contended,
    /// A later life of the origin has written, or another key under its node id, or an operator ended it.
    Fenced(Epoch),
    /// Too few voters have room for further registers.
    Full,
    /// The voters hold more registers of the service than a reader takes.
    TooLarge,
    /// Too many operations of this node are under way.
    Busy,
    /// The request is out of range.
    Invalid(&'static str),
    /// Another change was made first, to this configuration.
    Superseded(Configuration),
    /// One of the voters accepted another first configuration.
    Taken(Option<Configuration>),
    /// The named node cannot tell whether it accepted a first configuration before, and no operator vouched that there was none.
    Forgetful(NodeId),
}

impl Failure {
    /// The failure of an operation that too few voters answered.
    pub(crate) fn no_quorum(answered: Vec<Seat>, silent: Vec<Seat>) -> Self {
        let nodes = |seats: Vec<Seat>| {
            let mut nodes: Vec<NodeId> = seats.into_iter().map(|seat| seat.node).collect();
            nodes.dedup();
            nodes
        };
        Self::NoQuorum { answered: nodes(answered), silent: nodes(silent) }
    }
}

/// The outcome of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A majority has the write on disk.
    Written,
    /// The write, or the change of voters, was not confirmed. It may take effect.
    Unknown(Failure),
    /// The instances of the service that are registered.
    Read(Vec<Entry>),
    /// The read has no answer.
    Unread(Failure),
    /// The voters are those that were asked for.
    Changed(Configuration),
    /// The voters were not changed by this operation.
    Unchanged(Failure),
}
