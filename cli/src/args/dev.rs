//! The arguments of `hobnob dev`.

use std::time::Duration;

use clap::{Args, value_parser};

use super::values;

const AFTER_HELP: &str = "\
Examples:
  hobnob dev
  hobnob dev --agents 5
  hobnob dev --for 10s          for scripts: exits with 1 when not everything is healthy by then

Everything listens on loopback and lies in a temporary folder, which is removed at the end.
HOBNOB_LOG=debug makes the agents log into a file of that folder.";

/// `hobnob dev`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct DevArgs {
    /// Number of agents, from 1 to 16
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = value_parser!(u8).range(1..=16))]
    pub(crate) agents: u8,

    /// End after this long instead of waiting for Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = values::duration)]
    pub(crate) run_for: Option<Duration>,

    /// The log filter of the agents, which log into a file of the temporary folder [default: no log]
    #[arg(long, value_name = "FILTER", value_parser = values::log_filter)]
    #[arg(env = "HOBNOB_LOG", hide_env_values = true)]
    pub(crate) log: Option<String>,
}
