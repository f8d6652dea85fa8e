//! The arguments of the commands that read.

use clap::{Args, ValueEnum, value_parser};

use hobnob_agent::api::{DEFAULT_NAMESPACE, PickQuery, Query, Strategy, WatchQuery};

use super::values;

const RESOLVE_HELP: &str = "\
Examples:
  hobnob resolve web
  hobnob resolve web --all --json
  hobnob resolve web --tag v2 --meta region=eu

Exits with 3 when no instance matches.";

const PICK_HELP: &str = "\
Examples:
  hobnob pick web
  hobnob pick web -n 10 --strategy weighted
  hobnob pick web --strategy consistent-hash --key user-42
  curl http://$(hobnob pick web | cut -d' ' -f1)/

Prints `address:port  id`, one line a pick. Exits with 3 when no instance can be offered.";

const WATCH_HELP: &str = "\
Examples:
  hobnob watch web
  hobnob watch web --json | while read -r instance; do echo \"$instance\"; done

Prints the instances now, then one line a change.
The status `gone` stands for a deregistered instance.";

const SERVICES_HELP: &str = "\
Examples:
  hobnob services
  hobnob services --namespace default --json";

/// Which service.
#[derive(Debug, Args)]
struct ServiceArgs {
    /// The name of the service
    service: String,

    /// The namespace of the service
    #[arg(long, default_value = DEFAULT_NAMESPACE)]
    namespace: String,
}

/// `hobnob resolve`.
#[derive(Debug, Args)]
#[command(after_help = RESOLVE_HELP)]
pub(crate) struct ResolveArgs {
    #[command(flatten)]
    service: ServiceArgs,

    /// Also the instances that are not healthy
    #[arg(long)]
    all: bool,

    /// Only instances with this tag; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,

    /// Only instances with this metadata; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::key_value)]
    meta: Vec<(String, String)>,

    /// Print a JSON array of instances
    #[arg(long)]
    pub(crate) json: bool,
}

/// `hobnob pick`.
#[derive(Debug, Args)]
#[command(after_help = PICK_HELP)]
pub(crate) struct PickArgs {
    #[command(flatten)]
    service: ServiceArgs,

    /// How to choose
    #[arg(long, value_enum, default_value_t = StrategyArg::RoundRobin)]
    strategy: StrategyArg,

    /// What consistent hashing hashes: a key sticks to an instance while it is there
    #[arg(long, required_if_eq("strategy", "consistent-hash"))]
    key: Option<String>,

    /// How many picks, from 1 to 100000
    #[arg(short = 'n', long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=100_000))]
    count: u32,

    /// Print one JSON object a pick: the instance
    #[arg(long)]
    pub(crate) json: bool,
}

/// `hobnob watch`.
#[derive(Debug, Args)]
#[command(after_help = WATCH_HELP)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    service: ServiceArgs,

    /// Print one JSON object a line: an instance as it is now
    #[arg(long)]
    pub(crate) json: bool,
}

/// `hobnob services`.
#[derive(Debug, Args)]
#[command(after_help = SERVICES_HELP)]
pub(crate) struct ServicesArgs {
    /// Only services of this namespace
    #[arg(long)]
    pub(crate) namespace: Option<String>,

    /// Print a JSON array of services
    #[arg(long)]
    pub(crate) json: bool,
}

/// `hobnob members`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hobnob members\n  hobnob members --json")]
pub(crate) struct MembersArgs {
    /// Print a JSON array of members
    #[arg(long)]
    pub(crate) json: bool,
}

/// `hobnob info`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hobnob info\n  hobnob info --json")]
pub(crate) struct InfoArgs {
    /// Print a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StrategyArg {
    /// Each in turn
    RoundRobin,
    /// In proportion to the weights
    Weighted,
    /// The one with fewer calls in flight, of two drawn at random
    LeastConnections,
    /// The one that --key hashes to
    ConsistentHash,
}

impl From<StrategyArg> for Strategy {
    fn from(strategy: StrategyArg) -> Self {
        match strategy {
            StrategyArg::RoundRobin => Self::RoundRobin,
            StrategyArg::Weighted => Self::Weighted,
            StrategyArg::LeastConnections => Self::LeastConnections,
            StrategyArg::ConsistentHash => Self::ConsistentHash,
        }
    }
}

impl From<&ResolveArgs> for Query {
    fn from(args: &ResolveArgs) -> Self {
        Self {
            service: args.service.service.clone(),
            namespace: args.service.namespace.clone(),
            all: args.all,
            tags: args.tags.iter().cloned().collect(),
            meta: args.meta.iter().cloned().collect(),
        }
    }
}

impl From<&PickArgs> for PickQuery {
    fn from(args: &PickArgs) -> Self {
        Self {
            service: args.service.service.clone(),
            namespace: args.service.namespace.clone(),
            strategy: args.strategy.into(),
            key: args.key.clone(),
            count: args.count,
        }
    }
}

impl From<&WatchArgs> for WatchQuery {
    fn from(args: &WatchArgs) -> Self {
        Self {
            service: args.service.service.clone(),
            namespace: args.service.namespace.clone(),
            since: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::args::{Cli, Command};
    use clap::Parser;
    use hobnob_agent::api::{PickQuery, Strategy};

    fn pick(line: &str) -> Result<PickQuery, clap::Error> {
        match Cli::try_parse_from(["hobnob", "pick"].into_iter().chain(line.split(' ')))?.command {
            Command::Pick(args) => Ok((&args).into()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_pick_is_one_in_turn_unless_asked_otherwise() {
        let query = pick("web").unwrap();
        assert_eq!((query.strategy, query.count, query.key), (Strategy::RoundRobin, 1, None));
        assert_eq!(
            pick("web --strategy least-connections").unwrap().strategy,
            Strategy::LeastConnections
        );
        assert_eq!(pick("web -n 10 --strategy weighted").unwrap().count, 10);
    }

    #[test]
    fn consistent_hashing_needs_a_key() {
        let error = pick("web --strategy consistent-hash").unwrap_err();
        assert!(error.to_string().contains("--key"), "{error}");
        let query = pick("web --strategy consistent-hash --key user-42").unwrap();
        assert_eq!(
            (query.strategy, query.key.as_deref()),
            (Strategy::ConsistentHash, Some("user-42"))
        );
    }

    #[test]
    fn a_count_has_a_range() {
        assert!(pick("web -n 0").is_err());
        assert!(pick("web -n 100001").is_err());
    }
}
