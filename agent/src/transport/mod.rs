//! The sockets between agents: gossip datagrams over UDP, streams over QUIC, TCP probes, and held TCP connections.
//!
//! Each stream of the protocol is one bidirectional QUIC stream on a connection of its own, so a peer that stops
//! reading delays no other stream. A frame is preceded by its length, a big-endian `u32` from 1 to
//! [`MAX_FRAME_BYTES`](hobnob_membership::limits::MAX_FRAME_BYTES). [`limits`] bounds the memory and the time that a
//! hostile peer can take.

mod admission;
mod counters;
mod frames;
mod gossip_udp;
mod holds;
pub mod limits;
mod network;
mod outbox;
mod pace;
mod quic;
mod session;
mod tcp_probe;
mod tcp_source;
#[cfg(test)]
mod tests;
mod tls;

pub use counters::{QuicCounters, TcpCounters};
pub(crate) use holds::{HoldEvent, HoldKeys, HoldSettings};
pub use network::BindError;
pub(crate) use network::Network;
pub use quic::{Quic, QuicError};
pub use session::StreamEvent;
pub use tcp_probe::TcpProbes;
