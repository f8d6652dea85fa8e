//! The Hobnob agent: sockets, health checks, storage and the local API around the protocol.

pub mod api;
mod config;

pub use config::AgentConfig;
