//! The counters of the transport.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of the QUIC endpoint since it was bound.
#[derive(Debug, Default)]
pub struct QuicCounters {
    /// Connections that peers opened and that passed the handshake.
    pub(super) connections_accepted: Counter,
    /// Connections that were refused because too many were open, in all or from one host.
    pub(super) connections_refused: Counter,
    /// Attempts to connect that were ignored because they came too fast, in all or from one host.
    pub(super) attempts_ignored: Counter,
    /// Attempts to connect whose peers were asked to prove their addresses.
    pub(super) retries_sent: Counter,
    /// Connections that peers began and that did not pass the handshake.
    pub(super) handshakes_failed: Counter,
    /// Connections on which the peer opened no stream in time.
    pub(super) connections_unused: Counter,
    /// Frames of peers, or of our own, that were empty or too long.
    pub(super) frames_invalid: Counter,
    /// Streams on which the driver sent more frames than may be in flight.
    pub(super) sends_overflowed: Counter,
    /// Streams that ended neither by being finished nor by our own reset.
    pub(super) streams_failed: Counter,
}

impl QuicCounters {
    /// All counters now, by name.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("quic_connections_accepted", self.connections_accepted.get()),
            ("quic_connections_refused", self.connections_refused.get()),
            ("quic_attempts_ignored", self.attempts_ignored.get()),
            ("quic_retries_sent", self.retries_sent.get()),
            ("quic_handshakes_failed", self.handshakes_failed.get()),
            ("quic_connections_unused", self.connections_unused.get()),
            ("quic_frames_invalid", self.frames_invalid.get()),
            ("quic_sends_overflowed", self.sends_overflowed.get()),
            ("quic_streams_failed", self.streams_failed.get()),
        ]
    }
}

/// The counters of TCP on the gossip port since it was bound: probes, held connections, and attempts to reach a member.
#[derive(Debug, Default)]
pub struct TcpCounters {
    /// Connections that peers opened and that ended without a byte: their TCP probes, and their attempts to reach us.
    pub(super) taken: Counter,
    /// Connections that could not be accepted.
    pub(super) failed: Counter,
    /// Our TCP probes that were not made, because too many were under way.
    pub(super) dropped: Counter,
    /// Connections of peers that were given a place.
    pub(super) holds_taken: Counter,
    /// Connections of peers that found no place.
    pub(super) holds_refused: Counter,
    /// Connections of peers that gave their place to a monitor or to a later connection of the same node, and those of revoked nodes.
    pub(super) holds_displaced: Counter,
    /// Connections of peers that were dropped at once, because too many others had said nothing yet.
    pub(super) holds_crowded: Counter,
    /// Connections of peers that said nothing in time.
    pub(super) holds_silent: Counter,
    /// Connections of peers whose hello proved no generation that this agent holds.
    pub(super) holds_unproven: Counter,
    /// Connections of peers that asked for our sync port.
    pub(super) sync_ports_told: Counter,
    /// Connections of peers that said something else than a preamble for this node, or anything after it.
    pub(super) holds_invalid: Counter,
    /// Connections that we did not make, because we had too many.
    pub(super) holds_dropped: Counter,
    /// Our attempts to reach a member that were not made, because too many were under way.
    pub(super) reaches_dropped: Counter,
    /// Connections to members that this host could not make: no route, no descriptor, no memory.
    pub(super) local_errors: Counter,
}

impl TcpCounters {
    /// All counters now, by name.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("tcp_probes_taken", self.taken.get()),
            ("tcp_probes_failed", self.failed.get()),
            ("tcp_probes_dropped", self.dropped.get()),
            ("holds_taken", self.holds_taken.get()),
            ("holds_refused", self.holds_refused.get()),
            ("holds_displaced", self.holds_displaced.get()),
            ("holds_crowded", self.holds_crowded.get()),
            ("holds_silent", self.holds_silent.get()),
            ("holds_unproven", self.holds_unproven.get()),
            ("sync_ports_told", self.sync_ports_told.get()),
            ("holds_invalid", self.holds_invalid.get()),
            ("holds_dropped", self.holds_dropped.get()),
            ("reaches_dropped", self.reaches_dropped.get()),
            ("tcp_local_errors", self.local_errors.get()),
        ]
    }
}
