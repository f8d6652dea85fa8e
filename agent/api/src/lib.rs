//! The local API of a Hobnob agent: its requests and answers, both codecs, and a client.
//!
//! This crate is what a program needs to ask the agent beside it, and no more: it knows neither the protocol between
//! agents nor the agent's own parts. [`client::Client`] speaks the binary codec over the unix socket.

pub mod address;
pub mod client;
pub mod codec;
mod error;
pub mod names;
mod node_id;
mod types;

pub use error::{ApiError, ErrorCode, ErrorKind};
pub use node_id::{NodeId, NodeIdError};
pub use types::*;
