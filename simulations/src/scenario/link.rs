//! Links as a scenario file describes them: only what differs from a faultless local network.

use serde::{Deserialize, Serialize};

use super::Span;
use crate::network::{Burst, Conditions, Latency};

/// The conditions that differ on a link. Shares are from 0 to 1; [`Conditions`] describes each field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkSpec {
    /// One-way latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencySpec>,
    /// Share of datagrams lost independently.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Loss in bursts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<BurstSpec>,
    /// Share of datagrams delivered twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<f64>,
    /// Share of datagrams delivered again later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<f64>,
    /// The longest delay of a replay; 30 s by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_within: Option<Span>,
    /// Share of datagrams that later ones overtake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder: Option<f64>,
    /// Share of datagrams cut short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncate: Option<f64>,
    /// Share of datagrams with flipped bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<f64>,
    /// Bytes a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
    /// The longest datagram that passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<usize>,
    /// Share of stream frames at which the stream breaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_reset: Option<f64>,
    /// Share of stream frames that are held back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_stall: Option<f64>,
    /// The longest time that a frame is held back; 5 s by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall_for: Option<Span>,
}

/// A latency: uniform between two bounds, or log-normal around a median.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum LatencySpec {
    /// Uniform.
    Uniform {
        /// The shortest.
        min: Span,
        /// The longest.
        max: Span,
    },
    /// Log-normal.
    LogNormal {
        /// The median.
        median: Span,
        /// The spread.
        sigma: f64,
    },
}

/// Loss in bursts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BurstSpec {
    /// The chance that a burst begins, per packet.
    pub begin: f64,
    /// The chance that it ends, per packet.
    pub end: f64,
    /// The share of packets lost within a burst.
    pub loss: f64,
}

impl LinkSpec {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The conditions `base`, with what is given here in place of it.
    #[must_use]
    pub fn over(&self, base: Conditions) -> Conditions {
        let latency = self.latency.map(|latency| match latency {
            LatencySpec::Uniform { min, max } => Latency::Uniform { min: min.0, max: max.0 },
            LatencySpec::LogNormal { median, sigma } => {
                Latency::LogNormal { median: median.0, sigma }
            }
        });
        let burst = self.burst.map(|b| Burst { begin: b.begin, end: b.end, loss: b.loss });
        Conditions {
            latency: latency.unwrap_or(base.latency),
            loss: self.loss.unwrap_or(base.loss),
            burst: burst.or(base.burst),
            duplicate: self.duplicate.unwrap_or(base.duplicate),
            replay: self.replay.unwrap_or(base.replay),
            replay_within: self.replay_within.map_or(base.replay_within, |span| span.0),
            reorder: self.reorder.unwrap_or(base.reorder),
            truncate: self.truncate.unwrap_or(base.truncate),
            corrupt: self.corrupt.unwrap_or(base.corrupt),
            bandwidth: self.bandwidth.or(base.bandwidth),
            mtu: self.mtu.unwrap_or(base.mtu),
            stream_reset: self.stream_reset.unwrap_or(base.stream_reset),
            stream_stall: self.stream_stall.unwrap_or(base.stream_stall),
            stall_for: self.stall_for.map_or(base.stall_for, |span| span.0),
        }
    }
}
