//! The arguments of `hobnob pick` and `hobnob report`.

use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};

use hobnob_api::{CallOutcome, CallReport, PickQuery, Prefer, Strategy};

use super::query::{ScopeArgs, ServiceArgs};
use super::values;

const PICK_HELP: &str = "\
Examples:
  hobnob pick web
  hobnob pick web -n 10 --strategy weighted
  hobnob pick web --strategy consistent-hash --key user-42
  hobnob pick web --prefer zone --selector 'tier=gold,!canary'
  hobnob pick web -n 100000 --strategy random --summary
  curl http://$(hobnob pick web | cut -d' ' -f1)/

Prints `address:port  id`, one line a pick, and the token after it with --report.
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

    /// How to choose [default: what the service was registered with, else round-robin]
    #[arg(long, value_enum)]
    strategy: Option<StrategyArg>,

    /// What keyed strategies hash: a key sticks to an instance while it is there
    #[arg(long)]
    key: Option<String>,

    /// How many picks, from 1 to 1000000
    #[arg(short = 'n', long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: u32,

    #[command(flatten)]
    scope: ScopeArgs,

    /// Which instances first: the others follow as far as these are not healthy enough
    #[arg(long, value_enum, default_value_t = PreferArg::Any)]
    prefer: PreferArg,

    /// Promise a report of how the call went: prints a token for it
    #[arg(long, conflicts_with = "summary")]
    pub(crate) report: bool,

    /// Print how the picks spread over the instances instead of the picks
    #[arg(long)]
    pub(crate) summary: bool,

    /// Print one JSON object a pick: the instance
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

    /// How the calls ended
    #[arg(long, value_enum, default_value_t = OutcomeArg::Success)]
    outcome: OutcomeArg,

    /// How long each of them took [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = values::latency)]
    latency: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StrategyArg {
    /// Each in turn
    RoundRobin,
    /// Each in turn, as often as its weight says
    Weighted,
    /// Any, in proportion to its weight
    WeightedRandom,
    /// Any
    Random,
    /// The one with fewer calls in flight, of two drawn at random
    LeastConnections,
    /// The one with the lower latency times calls in flight, of two drawn at random; needs reports
    PeakEwma,
    /// The fastest of a few that is not among the most loaded; needs reports
    HotCold,
    /// The one that --key hashes to (Maglev)
    ConsistentHash,
    /// The same, but none above 1.25 times its share of the calls in flight
    BoundedHash,
    /// The one that --key hashes to; one that goes moves next to no other's keys
    Rendezvous,
    /// The one that --key hashes to on the classic ring
    Ring,
}

impl From<StrategyArg> for Strategy {
    fn from(strategy: StrategyArg) -> Self {
        match strategy {
            StrategyArg::RoundRobin => Self::RoundRobin,
            StrategyArg::Weighted => Self::Weighted,
            StrategyArg::WeightedRandom => Self::WeightedRandom,
            StrategyArg::Random => Self::Random,
            StrategyArg::LeastConnections => Self::LeastConnections,
            StrategyArg::PeakEwma => Self::PeakEwma,
            StrategyArg::HotCold => Self::HotCold,
            StrategyArg::ConsistentHash => Self::ConsistentHash,
            StrategyArg::BoundedHash => Self::BoundedHash,
            StrategyArg::Rendezvous => Self::Rendezvous,
            StrategyArg::Ring => Self::Ring,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PreferArg {
    /// All alike
    Any,
    /// Those in the agent's zone, then those in its datacenter
    Zone,
    /// Those in the agent's datacenter
    Datacenter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OutcomeArg {
    /// The instance answered
    Success,
    /// No connection, no answer in time, or an answer that says so
    Failure,
    /// The caller gave up for its own reasons
    Cancelled,
}

impl From<&PickArgs> for PickQuery {
    fn from(args: &PickArgs) -> Self {
        Self {
            service: args.service.service.clone(),
            namespace: args.service.namespace.clone(),
            strategy: args.strategy.map(Strategy::from),
            key: args.key.clone(),
            count: args.count,
            selector: args.scope.selector.clone(),
            datacenter: args.scope.datacenter.clone(),
            prefer: match args.prefer {
                PreferArg::Any => Prefer::Any,
                PreferArg::Zone => Prefer::Zone,
                PreferArg::Datacenter => Prefer::Datacenter,
            },
            report: args.report,
        }
    }
}

impl From<&ReportArgs> for Vec<CallReport> {
    fn from(args: &ReportArgs) -> Self {
        let latency = args.latency.unwrap_or_default().as_micros();
        let latency_us = u64::try_from(latency).unwrap_or(u64::MAX);
        let outcome = match args.outcome {
            OutcomeArg::Success => CallOutcome::Success,
            OutcomeArg::Failure => CallOutcome::Failure,
            OutcomeArg::Cancelled => CallOutcome::Cancelled,
        };
        args.tokens.iter().map(|token| CallReport { token: *token, outcome, latency_us }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

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
        assert_eq!((query.prefer, query.selector, query.report), (Prefer::Any, None, false));
        let query = pick("web -n 10 --strategy weighted --dc dc2 --prefer zone --report").unwrap();
        assert_eq!((query.count, query.strategy), (10, Some(Strategy::Weighted)));
        assert_eq!((query.datacenter.as_deref(), query.prefer), (Some("dc2"), Prefer::Zone));
        assert!(query.report);
    }

    #[test]
    fn every_strategy_of_the_api_has_a_name_here() {
        for strategy in StrategyArg::value_variants() {
            let name = strategy.to_possible_value().unwrap().get_name().to_owned();
            let json = serde_json::to_value(Strategy::from(*strategy)).unwrap();
            assert_eq!(json, serde_json::Value::from(name));
        }
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
        let report = |token| CallReport { token, outcome: CallOutcome::Failure, latency_us: 1_500 };
        assert_eq!(reports, [report(7), report(8)]);
    }
}
