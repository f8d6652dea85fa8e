//! Drains, as operators ask for them.

use serde::{Deserialize, Serialize};

use super::is_default;

/// The time of a drain unless a request says otherwise, in milliseconds.
pub const DEFAULT_DRAIN_MS: u64 = 30_000;
/// The longest drain, in milliseconds.
pub const MAX_DRAIN_MS: u64 = 86_400_000;
/// The wait for agents after a drain unless a request says otherwise, in milliseconds.
pub const DEFAULT_DRAIN_ACK_TIMEOUT_MS: u64 = 10_000;

/// Asks for an instance to be drained, or to be given its share back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// The instance's id.
    pub id: String,
    /// Milliseconds in which its share of the calls falls to nothing: 0 to 86,400,000.
    #[serde(default = "default_for_ms", skip_serializing_if = "is_default_for_ms")]
    pub for_ms: u64,
    /// Whether to stop the drain, and give the instance its share back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stop: bool,
    /// The percentage of the other living agents that are to have applied the end of the drain before the answer: 1 to 100. Without
    /// it, the answer comes once the drain has begun.
    #[serde(default, skip_serializing_if = "is_default")]
    pub acked_percent: Option<u32>,
    /// The longest wait for them after the end, in milliseconds: 1 to 60,000.
    #[serde(default = "default_ack_timeout_ms", skip_serializing_if = "is_default_ack_timeout_ms")]
    pub ack_timeout_ms: u64,
}

impl DrainRequest {
    /// A drain with the default times that is not waited for.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            for_ms: DEFAULT_DRAIN_MS,
            stop: false,
            acked_percent: None,
            ack_timeout_ms: DEFAULT_DRAIN_ACK_TIMEOUT_MS,
        }
    }
}

fn default_for_ms() -> u64 {
    DEFAULT_DRAIN_MS
}

fn is_default_for_ms(value: &u64) -> bool {
    *value == DEFAULT_DRAIN_MS
}

fn default_ack_timeout_ms() -> u64 {
    DEFAULT_DRAIN_ACK_TIMEOUT_MS
}

fn is_default_ack_timeout_ms(value: &u64) -> bool {
    *value == DEFAULT_DRAIN_ACK_TIMEOUT_MS
}
