//! Every bound on what a peer can make us hold or wait for, by name, and the QUIC settings that follow from them.

use std::sync::Arc;
use std::time::Duration;

use quinn::{IdleTimeout, TransportConfig, VarInt};

/// Connections that peers opened, in any state. More are refused and counted.
pub const MAX_ACCEPTED: usize = 64;
/// Connections that one host opened (of IPv6, one network of 64 bits); loopback may have all of [`MAX_ACCEPTED`].
pub const MAX_ACCEPTED_PER_HOST: usize = 16;
/// Streams that we opened, in any state. More fail at once, and are counted.
pub const MAX_OPENED: usize = 64;
/// How long a handshake may take, on either side.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer that has connected may take to open its stream.
pub const FIRST_STREAM_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a stream may go without a whole frame read or written before it fails.
pub const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// TCP probes of peers under way. Further ones are not made, and counted.
pub const MAX_TCP_PROBES: usize = 64;
/// How long a host may take to answer a TCP probe.
pub const TCP_PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long we wait for [`Quic::finish`](super::Quic::finish) once the peer has finished and been told so, before we
/// finish by ourselves; and then for the peer to acknowledge what we wrote.
pub const LINGER: Duration = Duration::from_secs(5);

/// Unread bytes that we take on one stream: four of the largest frames.
const STREAM_RECEIVE_WINDOW_BYTES: u32 = 256 * 1024;
/// Unread bytes that we take on one connection.
const RECEIVE_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes written to a connection and not yet acknowledged. A frame counts as written once it has its place here.
const SEND_WINDOW_BYTES: u64 = 256 * 1024;
/// Handshake bytes that came out of order.
const CRYPTO_BUFFER_BYTES: usize = 16 * 1024;
/// A connection over which nothing comes for so long is lost.
const IDLE_TIMEOUT_MS: u32 = 20_000;
/// The dialling side keeps the connection alive; the accepting side lets it go.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Connection attempts that wait to be looked at.
pub(super) const MAX_INCOMING: usize = 256;
/// Bytes buffered for one such attempt, and for all of them.
pub(super) const INCOMING_BUFFER_BYTES: u64 = 64 * 1024;
pub(super) const INCOMING_BUFFER_TOTAL_BYTES: u64 = 4 * 1024 * 1024;
/// How long a peer may take to come back with the token of a Retry.
pub(super) const RETRY_TOKEN_LIFETIME: Duration = Duration::from_secs(10);

/// The settings of a connection that a peer opened: it may open one stream.
pub(super) fn accepting() -> Arc<TransportConfig> {
    let mut config = common();
    config.max_concurrent_bidi_streams(VarInt::from_u32(1));
    Arc::new(config)
}

/// The settings of a connection that we opened: the peer may open nothing.
pub(super) fn dialling() -> Arc<TransportConfig> {
    let mut config = common();
    config.max_concurrent_bidi_streams(VarInt::from_u32(0)).keep_alive_interval(Some(KEEP_ALIVE));
    Arc::new(config)
}

fn common() -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_RECEIVE_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .crypto_buffer_size(CRYPTO_BUFFER_BYTES)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .keep_alive_interval(None);
    config
}
