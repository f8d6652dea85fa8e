//! Links as a scenario file describes them: only what differs from a local network without faults.

use serde::{Deserialize, Serialize};

use super::Span;
use crate::network::{Burst, Conditions, Latency};

/// What differs on a link. Shares are from 0 to 1; see [`Conditions`] for what each does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkSpec {
    /// The latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencySpec>,
    /// Independent loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Loss in bursts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<BurstSpec>,
    /// Duplication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<f64>,
    /// Late replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<f64>,
    /// The latest that a replay comes; 30 s when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_within: Option<Span>,
    /// Reordering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder: Option<f64>,
    /// Truncation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncate: Option<f64>,
    /// Corruption.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<f64>,
    /// Bytes a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
    /// The longest datagram that passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<usize>,
    /// Stream frames at which the stream breaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_reset: Option<f64>,
    /// Stream frames that are held back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_stall: Option<f64>,
    /// The longest that one is held back; 5 s when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall_for: Option<Span>,
}

/// A latency, uniform between two bounds or log-normal around a median.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum LatencySpec {
    /// Uniform.
    Uniform {
        /// The least.
        min: Span,
        /// The most.
        max: Span,
    },
    /// Log-normal.
    LogNormal {
        /// Half are faster.
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
    /// What is lost within one.
    pub loss: f64,
}

impl LinkSpec {
    /// A link like `base`, but for what is written here.
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
