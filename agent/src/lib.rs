//! The Hobnob agent: sockets, health checks, storage and the local API around the protocol.
//!
//! [`Agent::start`] runs an agent inside a tokio runtime; [`api::client::Client`] talks to one over its unix socket.
//!
//! ```text
//!  UDP, QUIC --> driver (owns hobnob_membership::Node) --> registry (read by everybody)
//!                  ^                                          |
//!  checks --> registrar (owns the data directory)             v
//!                  ^----------------- API connections <-- unix socket
//! ```

mod advice;
mod agent;
pub mod api;
pub mod checks;
mod clock;
mod config;
mod driver;
mod explain;
mod force_leave;
mod info;
mod join;
pub mod names;
mod parameters;
mod registrar;
mod registry;
pub mod storage;
pub mod transport;

pub use agent::{Agent, StartError};
pub use config::AgentConfig;
pub use join::{DEFAULT_GOSSIP_PORT, JoinAddressError};
