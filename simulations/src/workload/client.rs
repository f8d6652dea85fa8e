//! Calls of clients, and their results.

use std::fmt;

use hobnob_membership::record::{Health, Text};
use hobnob_membership::{NodeId, Time};

use crate::truth::Stamp;
use crate::world::WriteOutcome;

/// A request of a client to its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientRequest {
    /// Register an instance with this stamp.
    Register(Text, Stamp),
    /// Set the health of an instance.
    SetHealth(Text, Health),
    /// Deregister an instance.
    Deregister(Text),
    /// Query the healthy instances of a service; the number found.
    Query(String, usize),
    /// Pick an instance of a service; the one picked.
    Pick(String, Option<Text>),
}

/// A call of a client and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCall {
    /// When.
    pub at: Time,
    /// The host of the agent.
    pub host: usize,
    /// The request.
    pub request: ClientRequest,
    /// The outcome of a write; `None` for a read.
    pub outcome: Option<WriteOutcome>,
}

impl fmt::Display for ClientCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.request {
            ClientRequest::Register(id, stamp) => write!(f, "registers {id} as number {stamp}")?,
            ClientRequest::SetHealth(id, health) => write!(f, "sets {id} to {health:?}")?,
            ClientRequest::Deregister(id) => write!(f, "deregisters {id}")?,
            ClientRequest::Query(service, found) => write!(f, "finds {found} of {service}")?,
            ClientRequest::Pick(service, Some(id)) => write!(f, "picks {id} of {service}")?,
            ClientRequest::Pick(service, None) => write!(f, "finds none of {service} to pick")?,
        }
        self.outcome.map_or(Ok(()), |outcome| write!(f, ": {outcome:?}"))
    }
}

/// The answer to a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The healthy instances of a service.
    Query {
        /// The host that answered.
        host: usize,
        /// The instances found.
        found: Vec<(NodeId, Text)>,
    },
    /// A picked instance.
    Pick {
        /// The host that answered.
        host: usize,
        /// The instance; `None` when there is none.
        picked: Option<(NodeId, Text)>,
    },
}
