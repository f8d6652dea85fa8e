//! The arguments of `hobnob check`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use hobnob_api::CheckStatus;

const AFTER_HELP: &str = "\
Examples:
  hobnob check pass web-1
  hobnob check warn web-1 --note 'the queue is long'
  hobnob check fail web-1 --check lease --note 'shutting down'

The instance has a check that `hobnob register ... --check-ttl 30s` made. Without a report in that
time the check is critical. Exits with 3 when this agent has no such instance or check.";

/// `hobnob check`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct CheckReportArgs {
    /// How the service is: pass, warn or fail
    status: Word,

    /// The id of the instance
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: String,

    /// The check, when the instance has several by reports
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) check: Option<String>,

    /// A line about it, which `explain` shows
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) note: String,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Word {
    Pass,
    Warn,
    Fail,
}

impl CheckReportArgs {
    /// The status that is reported.
    pub(crate) fn status(&self) -> CheckStatus {
        match self.status {
            Word::Pass => CheckStatus::Passing,
            Word::Warn => CheckStatus::Warning,
            Word::Fail => CheckStatus::Critical,
        }
    }
}
