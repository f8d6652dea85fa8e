//! The consistency of an answer: what it may miss of that which others registered. `docs/CONSISTENCY.md` has examples.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The wait for voters unless a request says otherwise, in milliseconds.
pub const DEFAULT_CONSISTENCY_TIMEOUT_MS: u64 = 2_000;
/// The longest wait for voters, in milliseconds.
pub const MAX_CONSISTENCY_TIMEOUT_MS: u64 = 60_000;

/// The consistency of a read or a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// A read costs no network, and may miss what others registered just now. A write spreads after its answer.
    #[default]
    Eventual,
    /// A read shows every registration that was done before it began, and nobody reads less later. A write is done when a majority of
    /// the voters has it on disk.
    Strong,
}

impl Consistency {
    /// The name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eventual => "eventual",
            Self::Strong => "strong",
        }
    }
}

/// The wait for voters that a request asks for with this many milliseconds.
#[must_use]
pub fn consistency_timeout(timeout_ms: Option<u64>) -> Duration {
    Duration::from_millis(timeout_ms.unwrap_or(DEFAULT_CONSISTENCY_TIMEOUT_MS))
}
