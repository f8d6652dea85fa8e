//! The arguments of changes that wait until other agents have applied them.

use std::time::Duration;

use clap::Args;
use hobnob_api::{Ack, Ackers, DEFAULT_ACK_TIMEOUT_MS};

use super::values::{self, millis};

/// The wait for other agents.
#[derive(Debug, Args)]
pub(crate) struct AckArgs {
    /// Wait until other agents have applied it, so that their clients see it: a number of them, `all`, those of the own
    /// `datacenter`, or those of `datacenter:NAME`. Exits with 1 when some have not in time
    #[arg(long, value_name = "AGENTS", value_parser = values::ackers)]
    ack: Option<Ackers>,

    /// The longest wait for them, at most a minute [default: 2s]
    #[arg(long, value_name = "DURATION", requires = "ack", value_parser = values::ack_timeout)]
    ack_timeout: Option<Duration>,
}

impl AckArgs {
    /// The question to the agent.
    pub(crate) fn to_ack(&self) -> Option<Ack> {
        let timeout_ms = self.ack_timeout.map_or(DEFAULT_ACK_TIMEOUT_MS, millis);
        self.ack.clone().map(|by| Ack { by, timeout_ms })
    }

    /// How long the agent may wait before it answers.
    pub(crate) fn waits(&self) -> Duration {
        self.to_ack().map_or(Duration::ZERO, |ack| Duration::from_millis(ack.timeout_ms))
    }
}
