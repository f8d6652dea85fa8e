//! The local API: its vocabulary, its two codecs, a client, and the server behind the unix socket.

pub mod client;
pub mod codec;
mod connection;
pub(crate) mod handler;
mod offer;
mod pickers;
pub(crate) mod server;
pub(crate) mod types;

pub use server::SocketError;
pub use types::*;
