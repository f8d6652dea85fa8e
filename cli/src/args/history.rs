//! The arguments of `hobnob history`.

use std::time::Duration;

use clap::Args;
use hobnob_api::{HistoryQuery, MAX_HISTORY_EVENTS};

use super::{TableArgs, values};

const HISTORY_HELP: &str = "\
Examples:
  hobnob history                what happened here lately?
  hobnob history web --since 1h
  hobnob history web-1 -n 20    an instance, by its id
  hobnob history a2 --json      a member, by its name

It tells what this agent saw and did, when, by its own clock. Another agent saw
other things, or the same at other times. It survives restarts. BY names the
process behind a change by user, process id and program, else the file, the
check or the member. What repeats often stands in one line, with its count.
Exits with 3 when nothing matched.";

/// `hobnob history`.
#[derive(Debug, Args)]
#[command(after_help = HISTORY_HELP)]
pub(crate) struct HistoryArgs {
    /// Only events of this service, of the instance with this id, or of this member; also a datacenter
    #[arg(value_name = "SERVICE|INSTANCE|MEMBER")]
    pub(crate) subject: Option<String>,

    /// Only events of so long ago at most, such as 30m or 2d
    #[arg(long, value_name = "DURATION", value_parser = values::time_back)]
    since: Option<Duration>,

    /// Only the newest so many
    #[arg(
        short = 'n',
        long = "limit",
        value_name = "N",
        default_value = "100",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_HISTORY_EVENTS))
    )]
    limit: u32,

    #[command(flatten)]
    pub(crate) table: TableArgs,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl From<&HistoryArgs> for HistoryQuery {
    fn from(args: &HistoryArgs) -> Self {
        Self {
            subject: args.subject.clone(),
            since_ms: args.since.map(values::millis),
            limit: Some(args.limit),
        }
    }
}
