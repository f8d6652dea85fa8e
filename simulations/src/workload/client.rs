//! What a client asks, and what it is told.

use std::fmt;

use hobnob_membership::record::{Health, Text};
use hobnob_membership::{NodeId, Time};

use crate::truth::Stamp;
use crate::world::WriteOutcome;

/// What a client asks its agent to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientRequest {
    /// Register an instance, with this stamp.
    Register(Text, Stamp),
    /// Set the health of an instance.
    SetHealth(Text, Health),
    /// Deregister an instance.
    Deregister(Text),
    /// Ask for the healthy instances of a service; how many there were.
    Query(String, usize),
    /// Pick one; which it was.
    Pick(String, Option<Text>),
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCall {
    /// When.
    pub at: Time,
    /// By which host's agent.
    pub host: usize,
    /// What it asked.
    pub request: ClientRequest,
    /// What became of a write; `None` for a read.
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
        /// Who answered.
        host: usize,
        /// What was found.
        found: Vec<(NodeId, Text)>,
    },
    /// An instance to call.
    Pick {
        /// Who answered.
        host: usize,
        /// The instance; `None` when there is none.
        picked: Option<(NodeId, Text)>,
    },
}
