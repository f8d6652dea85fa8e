//! The arguments of the commands that read the catalog.

use std::time::Duration;

use clap::Args;

use hobnob_api::{DEFAULT_NAMESPACE, Datacenters, Query, Wait};

use super::TableArgs;
use super::consistency::ConsistencyArgs;
use super::values::{self, Since};

/// The longest wait of an agent that is told none.
const DEFAULT_WAIT: Duration = Duration::from_secs(60);

const RESOLVE_HELP: &str = "\
Examples:
  hobnob resolve web
  hobnob resolve web --all --json
  hobnob resolve web --tag v2 --meta region=eu
  hobnob resolve web --selector 'tier in (gold,silver),!canary' --dc eu
  hobnob resolve web --dc eu,us
  hobnob resolve web --strict --max-age 2s
  hobnob resolve web --json --wait 1796041926000017
  hobnob resolve web --consistency strong --consistency-timeout 5s

AGE is the time since the agent of the instance was last known to live. This
agent counts from when it heard that agent itself. It takes an agent that only
others monitor for alive until they hold it down, so the age of its instances
may be up to some 3s too low.
When no healthy instance is left, those are shown that were healthy when their
agents were lost, with a warning; when there is none, those whose checks have
not run yet. A pick chooses among the same.
With --consistency strong the voters of each datacenter that is asked about say what is registered; whether it works
stays what this agent believes. Exits with 1 when no majority of them answers: see `hobnob voters`.
Exits with 3 when no instance matches.";

const SERVICES_HELP: &str = "\
Examples:
  hobnob services
  hobnob services --namespace default --json
  hobnob services --local      what is registered with this agent, and by whom?
  hobnob services --picks

With --picks: EFFICIENCY is the fewest picks over the most picks that a healthy instance got
from this agent since it started. FAIRNESS is the same for picks over weight.
1 is even. A new instance, few picks or keyed picks make both low; neither
says anything about health. `-` stands before the first pick.
With --local each instance of this agent has a line: its checks with the output
of those that do not pass, maintenance and drain, since when it is registered in
this form, and the process or the file that it comes from. --json has all.
Exits with 3 when the namespace that was asked for has no service.";

/// The arguments that name a service.
#[derive(Debug, Args)]
pub(super) struct ServiceArgs {
    /// The name of the service
    pub(super) service: String,

    /// The namespace of the service
    #[arg(long, default_value = DEFAULT_NAMESPACE)]
    pub(super) namespace: String,
}

/// The arguments that select instances of a service.
#[derive(Debug, Args)]
pub(super) struct ScopeArgs {
    /// Only instances that this label selector matches, as in Kubernetes: metadata are labels, a tag is a label
    /// without a value
    #[arg(long, value_name = "SELECTOR")]
    pub(super) selector: Option<String>,

    #[command(flatten)]
    pub(super) datacenters: DatacenterArgs,
}

/// The argument that selects datacenters.
#[derive(Debug, Args)]
pub(super) struct DatacenterArgs {
    /// Only of these datacenters, separated by commas; `*` for all [default: all]
    #[arg(long = "dc", value_name = "DATACENTERS", value_parser = values::datacenters)]
    datacenters: Option<Datacenters>,
}

impl From<&DatacenterArgs> for Datacenters {
    fn from(args: &DatacenterArgs) -> Self {
        args.datacenters.clone().unwrap_or_default()
    }
}

/// `hobnob resolve`.
#[derive(Debug, Args)]
#[command(after_help = RESOLVE_HELP)]
pub(crate) struct ResolveArgs {
    #[command(flatten)]
    service: ServiceArgs,

    /// Show instances that are not offered, too
    #[arg(long, conflicts_with = "strict")]
    all: bool,

    /// Show healthy instances only, also when none is left
    #[arg(long)]
    strict: bool,

    /// Only instances with this tag; may be repeated, or separated by commas: then only instances with all of them
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',')]
    tags: Vec<String>,

    /// Only instances with this metadata; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::key_value)]
    meta: Vec<(String, String)>,

    #[command(flatten)]
    scope: ScopeArgs,

    #[command(flatten)]
    pub(crate) consistency: ConsistencyArgs,

    #[command(flatten)]
    pub(crate) table: TableArgs,

    /// Refuse instances whose AGE is above this, with exit code 3 when none is left
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    max_age: Option<Duration>,

    /// Answer only when the service has changed since this revision, of an earlier answer
    #[arg(long, value_name = "[RUN:]REVISION", value_parser = values::since)]
    wait: Option<Since>,

    /// The longest wait, up to 5m; then the answer is that of now, and says that nothing changed [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = values::duration, requires = "wait")]
    wait_timeout: Option<Duration>,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl ResolveArgs {
    /// The time for which the agent is to wait for a change.
    pub(crate) fn waits_for(&self) -> Duration {
        let longest = self.wait_timeout.unwrap_or(DEFAULT_WAIT);
        self.wait.as_ref().map_or(Duration::ZERO, |_| longest)
    }
}

/// `hobnob services`.
#[derive(Debug, Args)]
#[command(after_help = SERVICES_HELP)]
pub(crate) struct ServicesArgs {
    /// Only services of this namespace
    #[arg(long)]
    pub(crate) namespace: Option<String>,

    /// List the instances that are registered with this agent, with everything that it knows of them
    #[arg(long)]
    pub(crate) local: bool,

    /// Show how even the picks of this agent were
    #[arg(long)]
    pub(crate) picks: bool,

    #[command(flatten)]
    pub(crate) table: TableArgs,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl From<&ResolveArgs> for Query {
    fn from(args: &ResolveArgs) -> Self {
        Self {
            service: args.service.service.clone(),
            namespace: args.service.namespace.clone(),
            all: args.all,
            strict: args.strict,
            tags: args.tags.iter().cloned().collect(),
            meta: args.meta.iter().cloned().collect(),
            selector: args.scope.selector.clone(),
            datacenter: (&args.scope.datacenters).into(),
            max_age_ms: args.max_age.map(values::millis),
            wait: args.wait.clone().map(|Since { run, revision: since }| Wait {
                since,
                run,
                timeout_ms: args.wait_timeout.map(values::millis),
            }),
            consistency: args.consistency.consistency,
            consistency_timeout_ms: args.consistency.timeout_ms(),
        }
    }
}
