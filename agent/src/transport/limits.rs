//! The limits on the memory and the time that a peer can take, and the QUIC settings that follow from them.

use std::sync::Arc;
use std::time::Duration;

use quinn::{IdleTimeout, TransportConfig, VarInt};

/// A pace: so many a second, and so many at once after a rest.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// In a second, in the long run.
    pub per_second: u32,
    /// At once, after a rest.
    pub burst: u32,
}

impl Rate {
    /// The time between two of them, in the long run.
    pub(super) fn gap(self) -> Duration {
        Duration::from_secs(1) / self.per_second
    }
}

/// The most connections that peers opened, in any state, handshakes among them. Further ones are refused and counted.
pub const MAX_ACCEPTED: usize = 64;
/// The most of them that strangers opened. The others are for members.
pub const MAX_ACCEPTED_OF_STRANGERS: usize = 48;
/// The most connections that one host opened (with IPv6, one network of 64 bits). Loopback may have all of
/// [`MAX_ACCEPTED`].
pub const MAX_ACCEPTED_PER_HOST: usize = 16;
/// The pace of handshakes that strangers begin. Further ones are ignored and counted, and their peers try again.
pub const HANDSHAKES_OF_STRANGERS: Rate = Rate { per_second: 200, burst: 200 };
/// The pace of handshakes that members begin.
pub const HANDSHAKES_OF_MEMBERS: Rate = Rate { per_second: 400, burst: 400 };
/// The pace of handshakes that one host begins (with IPv6, one network of 64 bits). Loopback has no such limit.
pub const HANDSHAKES_PER_HOST: Rate = Rate { per_second: 20, burst: 64 };
/// The most hosts whose pace is remembered. While none of them has rested, further hosts are ignored and counted.
pub const MAX_HOSTS_PACED: usize = 4_096;
/// The pace of answers to attempts whose address is not proven, for strangers and for members each.
pub const RETRIES: Rate = Rate { per_second: 1_000, burst: 1_000 };
/// The most streams that we opened, in any state. Further ones fail at once, and are counted.
pub const MAX_OPENED: usize = 64;
/// The time that a handshake may take, on either side.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The time that a peer may take to open its stream after the handshake.
pub const FIRST_STREAM_TIMEOUT: Duration = Duration::from_secs(5);
/// The time after which a stream fails if no whole frame was read or written.
pub const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The most TCP probes under way. Further ones are dropped and counted.
pub const MAX_TCP_PROBES: usize = 64;
/// The time that a host may take to answer a TCP probe.
pub const TCP_PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// The most connections that peers hold to an agent. With few descriptors there are fewer. Further ones are refused and
/// counted, unless they are of monitors of the agent: those displace one that is none.
pub const MAX_HELD: usize = 64;
/// The time that a peer may take to say the preamble of a connection that it wants to hold, and again for its hello. Half as many connections as an
/// agent holds may take it at once; further ones are dropped and counted.
pub const PREAMBLE_TIMEOUT: Duration = Duration::from_secs(1);
/// The most connections to an agent of a sealed cluster on which one host (with IPv6, one network of 64 bits) has proved nothing
/// yet. Further ones are dropped and counted. Loopback has no such limit.
pub const MAX_UNPROVEN_PER_HOST: usize = 8;
/// The time that a member may take to tell its sync port.
pub const SYNC_PORT_TIMEOUT: Duration = Duration::from_secs(2);
/// The most connections that an agent holds to members. It watches five at a time. Further ones fail and are counted.
pub const MAX_HOLDS: usize = 16;
/// The time that a member may take to hold a connection, too.
pub const HOLD_TIMEOUT: Duration = Duration::from_secs(2);
/// The most attempts to reach members that are under way. Further ones are not made, and are counted.
pub const MAX_REACHES: usize = 64;
/// The time after which an attempt to reach a member has had no answer.
pub const REACH_TIMEOUT: Duration = Duration::from_secs(1);
/// A held connection on which nothing arrives for this long is probed by the kernel.
pub const KEEPALIVE: Duration = Duration::from_secs(60);
/// The time from one of these probes to the next.
pub const KEEPALIVE_PROBES_EVERY: Duration = Duration::from_secs(10);
/// After this many probes without an answer, the connection is over.
pub const KEEPALIVE_PROBES: u32 = 3;
/// The time that the driver has to call [`Quic::finish`](super::Quic::finish) after it was told that the peer has
/// finished; then the stream finishes by itself. It is also the time that the peer then has to acknowledge what we
/// wrote.
pub const LINGER: Duration = Duration::from_secs(5);

/// The most unread bytes of one stream: four of the largest frames.
const STREAM_RECEIVE_WINDOW_BYTES: u32 = 256 * 1024;
/// The most unread bytes of one connection.
const RECEIVE_WINDOW_BYTES: u32 = 1024 * 1024;
/// The most bytes written to a connection and not yet acknowledged. A frame counts as written once all of it is in this
/// window.
const SEND_WINDOW_BYTES: u64 = 256 * 1024;
/// The most handshake bytes that arrived out of order.
const CRYPTO_BUFFER_BYTES: usize = 16 * 1024;
/// The time after which a connection is lost if nothing arrives on it.
const IDLE_TIMEOUT_MS: u32 = 20_000;
/// The period of keep-alives. Only the side that opened the connection sends them.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The most connection attempts that wait to be accepted.
pub(super) const MAX_INCOMING: usize = 256;
/// The most bytes buffered for one waiting attempt.
pub(super) const INCOMING_BUFFER_BYTES: u64 = 64 * 1024;
/// The most bytes buffered for all waiting attempts.
pub(super) const INCOMING_BUFFER_TOTAL_BYTES: u64 = 4 * 1024 * 1024;
/// The time that a peer may take to return with the token of a Retry.
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
