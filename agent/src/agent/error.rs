//! The errors of a start.

use std::io;

use hobnob_membership::catalog;
use hobnob_membership::record::RecordError;

use crate::config::{ConfigError, LookupError};
use crate::doors::dns::DnsError;
use crate::doors::http::HttpError;
use crate::doors::unix::error::SocketError;
use crate::security::SecurityError;
use crate::storage::WriteError;
use crate::transport::BindError;

/// An agent could not be started. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration breaks a rule.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An interface or a host name leads to no address.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The agent's description of itself breaks a rule.
    #[error("the agent's {0}")]
    Node(#[from] RecordError),
    /// The data directory holds more than one agent may register.
    #[error("the registrations in the data directory cannot all be taken back: {0}")]
    Registrations(catalog::WriteError),
    /// The agent cannot be a member of its cluster, or its data directory cannot be used.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// The data directory cannot be written.
    #[error(transparent)]
    Storage(#[from] WriteError),
    /// A socket to other agents cannot be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The unix socket cannot be opened.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The query socket cannot be opened.
    #[error(transparent)]
    QuerySocket(SocketError),
    /// The HTTP door cannot be opened.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The DNS door cannot be opened.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// The system gives no threads.
    #[error("the threads that answer clients cannot be started: {0}")]
    Threads(io::Error),
}

impl StartError {
    /// Whether the same start can never succeed, whatever the state of the system.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Config(_) | Self::Node(_) => true,
            Self::Security(error) => error.is_usage(),
            Self::Socket(error) | Self::QuerySocket(error) => error.is_usage(),
            _ => false,
        }
    }
}
