//! The arguments of `hobnob top` and `hobnob doctor`.

use std::time::Duration;

use clap::Args;

use super::values;

const TOP_HELP: &str = "\
Examples:
  hobnob top
  hobnob top --interval 250ms
  hobnob top --once               one frame as text, for a script or a report
  hobnob top --once --columns 160 --rows 50
  hobnob top --json | jq .rates    one look as an object

Shows what this agent knows: members, services, its own rates, and what changed since the start of this command.
Rates are differences of the agent's counters between two looks. Times of day are UTC.

Keys:
  tab       the next pane; shift-tab the one before
  up, down  move; also j and k, page up, page down, home, end
  s, r      sort by the next column; reverse the order
  /         filter members and services; escape drops the filter
  a         show members that are gone, or hide them
  ?         help
  q         quit

It connects again when the agent restarts. It ends with its terminal.";

/// `hobnob top`.
#[derive(Debug, Args)]
#[command(after_help = TOP_HELP)]
pub(crate) struct TopArgs {
    /// The time between two looks, from 100ms to 1m
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = values::interval)]
    pub(crate) interval: Duration,

    /// Print one look as a JSON object, and end; it takes --interval, one second at most
    #[arg(long, conflicts_with = "once")]
    pub(crate) json: bool,

    /// Print one frame as text, and end
    #[arg(long)]
    pub(crate) once: bool,

    /// The columns of the frame of --once [default: those of the terminal, else 80]
    #[arg(long, value_name = "COUNT", requires = "once", value_parser = clap::value_parser!(u16).range(40..=500))]
    pub(crate) columns: Option<u16>,

    /// The rows of the frame of --once [default: those of the terminal, else 24]
    #[arg(long, value_name = "COUNT", requires = "once", value_parser = clap::value_parser!(u16).range(12..=300))]
    pub(crate) rows: Option<u16>,
}

const DOCTOR_HELP: &str = "\
Examples:
  hobnob doctor
  hobnob doctor --members 16
  hobnob doctor --json | jq -r '.findings[] | select(.status != \"ok\") | .advice'

Looks at this host, at its agent, and at a few members that the agent asks for an echo, all at once and for a few
seconds at most. Each line is one finding: ok, warn or fail, and what to do when it is not ok.
Without a running agent, it says what keeps one from starting. It changes nothing.
Exits with 0 when nothing failed, and with 1 when something did.";

/// `hobnob doctor`.
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_HELP)]
pub(crate) struct DoctorArgs {
    /// The most members that the agent asks for an echo, from 1 to 16
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) members: u8,

    /// Print the findings as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
