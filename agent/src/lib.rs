//! The Hobnob agent: sockets, health checks, storage and the local API around the protocol.
//!
//! [`Agent::start`] runs an agent inside a tokio runtime; [`hobnob_api::client::Client`] talks to one over its unix socket.
//!
//! ```text
//!  UDP, QUIC --> driver (owns hobnob_membership::Node) --> services (read by everybody)
//!                  ^   ^                                      |
//!    checks -------+   +-- registrar (owns the data dir)      v
//!                             ^--------------------------- doors <-- unix socket
//! ```

pub mod access_keys;
mod actor;
mod agent;
mod budget;
mod caller;
pub mod checks;
mod clock;
mod config;
mod consistency;
pub mod definitions;
mod descriptors;
mod doors;
mod driver;
mod elsewhere;
mod history;
mod info;
mod log_filter;
pub mod log_writer;
pub mod metrics;
mod orders;
mod progress;
mod queries;
mod registrations;
mod regular_file;
mod reloading;
pub mod secret_file;
mod security;
mod seeding;
mod services;
pub mod storage;
#[cfg(test)]
mod testing;
mod translate;
pub mod transport;

pub use agent::{Agent, Monitor, PartEnded, StartError};
pub use config::{
    AddressUse, AgentConfig, ConfigError, ConfigFile, DnsConfig, DnsDomain, DnsDomainError,
    FoundAddress, HttpTls, KnownKey, Leaf, LookupError, Problem, ProxyTable, SocketMode,
    SocketModeError, StartedWith, TokenProblem, TokenSource, TokenText, nearest,
};
#[doc(hidden)]
pub use doors::dns::DnsSample;
pub use doors::http::HttpError;
pub use doors::unix::error::SocketError;
pub use hobnob_membership::{DatacenterId, Gateway, Protocol};
pub use log_filter::LogFilter;
pub use progress::{LOOP_PATIENCE, Part, PartProgress, Progress, STORAGE_PATIENCE};
pub use reloading::Reloader;
pub use security::{SecurityError, system_random};
