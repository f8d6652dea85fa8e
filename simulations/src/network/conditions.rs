//! The conditions of a link.

use std::time::Duration;

use super::Latency;

/// Loss in bursts. A link is good or bad, and changes state by chance with each packet (Gilbert, "Capacity of a
/// burst-noise channel", 1960; Elliott, 1963).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// The chance that a good link turns bad, per packet.
    pub begin: f64,
    /// The chance that a bad link turns good, per packet.
    pub end: f64,
    /// The share of packets that a bad link loses.
    pub loss: f64,
}

/// The conditions of a link. A share is from 0 to 1; it counts datagrams unless its field names streams.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// One-way latency.
    pub latency: Latency,
    /// Lost independently. Streams retransmit lost packets, which slows them.
    pub loss: f64,
    /// Lost in bursts.
    pub burst: Option<Burst>,
    /// Delivered twice.
    pub duplicate: f64,
    /// Delivered again later, up to [`Conditions::replay_within`].
    pub replay: f64,
    /// The longest delay of a replayed datagram.
    pub replay_within: Duration,
    /// Held back for up to ten typical latencies, so that later datagrams overtake.
    pub reorder: f64,
    /// Cut short at a random length.
    pub truncate: f64,
    /// Delivered with flipped bits.
    pub corrupt: f64,
    /// Bytes a second, of datagrams and streams together. A datagram that would wait for more than 250 ms is dropped.
    pub bandwidth: Option<u64>,
    /// The longest datagram that passes; longer ones vanish.
    pub mtu: usize,
    /// Share of stream frames at which the stream breaks.
    pub stream_reset: f64,
    /// Share of stream frames that are held back, for up to [`Conditions::stall_for`].
    pub stream_stall: f64,
    /// The longest stall.
    pub stall_for: Duration,
}

impl Default for Conditions {
    /// A local network without faults.
    fn default() -> Self {
        Self {
            latency: Latency::default(),
            loss: 0.0,
            burst: None,
            duplicate: 0.0,
            replay: 0.0,
            replay_within: Duration::from_secs(30),
            reorder: 0.0,
            truncate: 0.0,
            corrupt: 0.0,
            bandwidth: None,
            mtu: 1_500,
            stream_reset: 0.0,
            stream_stall: 0.0,
            stall_for: Duration::from_secs(5),
        }
    }
}

impl Conditions {
    /// The long-run share of datagrams that do not arrive as sent.
    #[must_use]
    pub fn effective_loss(&self) -> f64 {
        let burst = self.burst.map_or(0.0, |burst| {
            let bad = burst.begin / (burst.begin + burst.end).max(f64::MIN_POSITIVE);
            bad * burst.loss
        });
        1.0 - (1.0 - self.loss) * (1.0 - burst) * (1.0 - self.truncate) * (1.0 - self.corrupt)
    }
}
