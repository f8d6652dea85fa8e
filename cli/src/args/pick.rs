//! The arguments of `hobnob pick` and `hobnob report`.

use std::time::Duration;

use clap::{Args, value_parser};

use hobnob_api::{CallReport, Outcome, PickQuery, Prefer, Strategy};

use super::catalog::{ScopeArgs, ServiceArgs};
use super::consistency::ConsistencyArgs;
use super::{TableArgs, choices, values};

const PICK_HELP: &str = "\
Examples:
  hobnob pick web
  hobnob pick web -n 10 --strategy weighted
  hobnob pick web --strategy consistent-hash --key user-42
  hobnob pick web --prefer zone --selector 'tier=gold,!canary'
  hobnob pick web --dc eu,us
  hobnob pick web --strict --max-age 2s
  hobnob pick web --consistency strong
  hobnob pick web -n 100000 --strategy random --summary
  curl http://$(hobnob pick web | cut -d' ' -f1)/

Prints `address:port  id`, one line a pick, and the token after it with --report.
When no healthy instance is left, those are picked that were healthy when their
agents were lost, with a warning; when there is none, those whose checks have
not run yet. --strict refuses both.
With --consistency strong only instances that the voters report are picked; see `hobnob voters`.
Exits with 3 when no instance can be offered.";

const REPORT_HELP: &str = "\
Examples:
  hobnob report 4294967296 --latency 12ms
  hobnob report 4294967296 --outcome failure --latency 2s

A token is that of `hobnob pick --report`. It is good for one report, within a minute.
Exits with 3 when no token was known.";

/// `hobnob pick`.
#[derive(Debug, Args)]
#[command(after_help = PICK_HELP)]
pub(crate) struct PickArgs {
    #[command(flatten)]
    service: ServiceArgs,

    /// The strategy [default: that of the service's registration, else round-robin]
    #[arg(long, value_parser = choices::strategy())]
    strategy: Option<Strategy>,

    /// The key that keyed strategies hash; it sticks to an instance while that is there
    #[arg(long)]
    key: Option<String>,

    /// Number of picks, from 1 to 1000000
    #[arg(short = 'n', long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: u32,

    #[command(flatten)]
    scope: ScopeArgs,

    /// The instances that come first; the others follow as far as these cannot take the calls
    #[arg(long, default_value_t = Prefer::default(), value_parser = choices::prefer())]
    prefer: Prefer,

    /// Pick healthy instances only, also when none is left
    #[arg(long)]
    pub(crate) strict: bool,

    /// Refuse instances whose age is above this, with exit code 3 when no other is found
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    max_age: Option<Duration>,

    #[command(flatten)]
    pub(crate) consistency: ConsistencyArgs,

    /// Announce a report of how the call went: prints a token for it
    #[arg(long, conflicts_with = "summary")]
    pub(crate) report: bool,

    /// Print how the picks spread over the instances instead of the picks
    #[arg(long)]
    pub(crate) summary: bool,

    #[command(flatten)]
    pub(crate) table: TableArgs,

    /// Print the answer of the agent as a JSON object, one for each 10000 picks
    #[arg(long)]
    pub(crate) json: bool,
}

/// `hobnob report`.
#[derive(Debug, Args)]
#[command(after_help = REPORT_HELP)]
pub(crate) struct ReportArgs {
    /// The tokens of the picks
    #[arg(required = true, value_name = "TOKEN", value_parser = values::token)]
    tokens: Vec<u64>,

    /// The outcome of the calls
    #[arg(long, default_value_t = Outcome::Success, value_parser = choices::outcome())]
    outcome: Outcome,

    /// The duration of each of them [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = values::latency)]
    latency: Option<Duration>,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl From<&PickArgs> for PickQuery {
    fn from(args: &PickArgs) -> Self {
        Self {
            service: args.service.service.clone(),
            namespace: args.service.namespace.clone(),
            strategy: args.strategy,
            key: args.key.clone(),
            count: args.count,
            selector: args.scope.selector.clone(),
            datacenter: (&args.scope.datacenters).into(),
            prefer: args.prefer,
            strict: args.strict,
            report: args.report,
            max_age_ms: args.max_age.map(values::millis),
            consistency: args.consistency.consistency,
            consistency_timeout_ms: args.consistency.timeout_ms(),
        }
    }
}

impl From<&ReportArgs> for Vec<CallReport> {
    fn from(args: &ReportArgs) -> Self {
        let latency = args.latency.unwrap_or_default().as_micros();
        let latency_us = u64::try_from(latency).unwrap_or(u64::MAX);
        let outcome = args.outcome;
        args.tokens.iter().map(|token| CallReport { token: *token, outcome, latency_us }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;
    use hobnob_api::Datacenters;

    fn pick(line: &str) -> Result<PickQuery, clap::Error> {
        match Cli::try_parse_from(["hobnob", "pick"].into_iter().chain(line.split(' ')))?.command {
            Command::Pick(args) => Ok((&args).into()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_pick_is_one_of_any_unless_asked_otherwise() {
        let query = pick("web").unwrap();
        assert_eq!((query.strategy, query.count, query.key), (None, 1, None));
        assert_eq!((query.selector, query.report), (None, false));
        assert_eq!((query.prefer, query.datacenter), (Prefer::Datacenter, Datacenters::All));
        let query = pick("web -n 10 --strategy weighted --dc dc2 --prefer zone --report").unwrap();
        assert_eq!((query.count, query.strategy), (10, Some(Strategy::Weighted)));
        assert_eq!((query.datacenter, query.prefer), (Datacenters::one("dc2"), Prefer::Zone));
        assert!(query.report && !query.strict);
        assert!(pick("web --strict").unwrap().strict);
    }

    #[test]
    fn a_count_has_a_range() {
        assert!(pick("web -n 0").is_err());
        assert!(pick("web -n 1000001").is_err());
    }

    #[test]
    fn a_report_is_for_every_token() {
        let words = "hobnob report 7 8 --outcome failure --latency 1500us";
        let Command::Report(args) = Cli::try_parse_from(words.split(' ')).unwrap().command else {
            panic!("a report")
        };
        let reports: Vec<CallReport> = (&args).into();
        let report = |token| CallReport { token, outcome: Outcome::Failure, latency_us: 1_500 };
        assert_eq!(reports, [report(7), report(8)]);
    }
}
