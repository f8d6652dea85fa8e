//! The filter of the agent's log.

use serde::{Deserialize, Serialize};

use super::is_default;

/// The filter of an agent's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLevel {
    /// The filter now.
    pub filter: String,
    /// The filter that the agent was started with.
    pub at_start: String,
    /// Milliseconds until that one is back; absent when nothing is to change.
    #[serde(default, skip_serializing_if = "is_default")]
    pub back_in_ms: Option<u64>,
}
