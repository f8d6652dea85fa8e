//! The arguments of reads and writes that may be strong.

use std::time::Duration;

use clap::Args;
use hobnob_api::{Consistency, consistency_timeout};

use super::choices;
use super::values::{self, millis};

/// The consistency of a read or a write.
#[derive(Debug, Args)]
pub(crate) struct ConsistencyArgs {
    /// What it may miss
    #[arg(long, value_name = "LEVEL", default_value = "eventual", value_parser = choices::consistency())]
    pub(crate) consistency: Consistency,

    /// The longest wait for voters with --consistency strong, at most a minute [default: 2s]
    #[arg(long, value_name = "DURATION", requires = "consistency", value_parser = values::ack_timeout)]
    consistency_timeout: Option<Duration>,
}

impl ConsistencyArgs {
    /// The wait for voters, as a request has it.
    pub(crate) fn timeout_ms(&self) -> Option<u64> {
        self.consistency_timeout.filter(|_| self.is_strong()).map(millis)
    }

    fn is_strong(&self) -> bool {
        self.consistency == Consistency::Strong
    }

    /// How long the agent may wait for voters before it answers.
    pub(crate) fn waits(&self) -> Duration {
        if self.is_strong() { consistency_timeout(self.timeout_ms()) } else { Duration::ZERO }
    }
}
