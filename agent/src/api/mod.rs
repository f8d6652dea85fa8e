//! The local API: its vocabulary, its two codecs, and a client.

pub mod client;
pub mod codec;
mod types;

pub use types::*;
