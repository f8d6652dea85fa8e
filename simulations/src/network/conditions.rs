//! What a link does to what passes over it.

use std::time::Duration;

use super::Latency;

/// Loss that comes in bursts: a link is good or bad, and changes from one to the other with every packet by chance
/// (Gilbert, "Capacity of a burst-noise channel", 1960; Elliott, 1963).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// The chance that a good link turns bad, per packet.
    pub begin: f64,
    /// The chance that a bad link turns good, per packet.
    pub end: f64,
    /// The share of packets that a bad link loses.
    pub loss: f64,
}

/// Everything that a link does. All shares are from 0 to 1, of datagrams unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// How long a packet takes.
    pub latency: Latency,
    /// Lost, each by its own chance. Streams repeat what is lost, and are slowed.
    pub loss: f64,
    /// Lost in bursts.
    pub burst: Option<Burst>,
    /// Delivered twice.
    pub duplicate: f64,
    /// Delivered again much later, up to [`Conditions::replay_within`].
    pub replay: f64,
    /// The latest that a replayed datagram comes.
    pub replay_within: Duration,
    /// Held back for up to ten typical latencies, so that later ones overtake.
    pub reorder: f64,
    /// Cut short at a random length.
    pub truncate: f64,
    /// Delivered with flipped bits.
    pub corrupt: f64,
    /// Bytes a second, for datagrams and streams together. What would wait for more than a quarter of a second is
    /// dropped when it is a datagram.
    pub bandwidth: Option<u64>,
    /// Datagrams longer than this vanish.
    pub mtu: usize,
    /// Stream frames, of all, at which the stream breaks.
    pub stream_reset: f64,
    /// Stream frames, of all, that are held back for up to [`Conditions::stall_for`].
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
    /// The share of datagrams that do not arrive as they were sent, in the long run.
    #[must_use]
    pub fn effective_loss(&self) -> f64 {
        let burst = self.burst.map_or(0.0, |burst| {
            let bad = burst.begin / (burst.begin + burst.end).max(f64::MIN_POSITIVE);
            bad * burst.loss
        });
        1.0 - (1.0 - self.loss) * (1.0 - burst) * (1.0 - self.truncate) * (1.0 - self.corrupt)
    }
}
