//! The arguments of the commands that read.

use clap::Args;

use hobnob_api::{DEFAULT_NAMESPACE, Query, WatchQuery};

use super::values;

const RESOLVE_HELP: &str = "\
Examples:
  hobnob resolve web
  hobnob resolve web --all --json
  hobnob resolve web --tag v2 --meta region=eu
  hobnob resolve web --selector 'tier in (gold,silver),!canary' --dc dc1

AGE is the time since the agent of the instance was last known to live. This agent counts from when it heard
that agent itself. It takes an agent that only others monitor for alive until they hold it down, so the age
of its instances may be up to some 3s too low.
Exits with 3 when no instance matches.";

const WATCH_HELP: &str = "\
Examples:
  hobnob watch web
  hobnob watch web --json | jq -r '.[].instances[] | .status + \" \" + .id'

Prints the instances now, then one line for each change: the instance as it is then. Changes of the same
few milliseconds may be told as one. With --json each line is one answer of the agent: an object
`instances` with all instances, or an object `changes` with the changed ones.
The status `gone` stands for an instance that was deregistered, or whose agent left.
Ends with exit code 1 when the agent stops.";

const SERVICES_HELP: &str = "\
Examples:
  hobnob services
  hobnob services --namespace default --json

EFFICIENCY is the fewest picks over the most picks that a healthy instance got from this agent since it
started. FAIRNESS is the same for picks over weight. 1 is even. A new instance, few picks or keyed picks
make both low; neither says anything about health. `-` stands before the first pick.
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

    /// Only instances of this datacenter
    #[arg(long = "dc", value_name = "DATACENTER")]
    pub(super) datacenter: Option<String>,
}

/// `hobnob resolve`.
#[derive(Debug, Args)]
#[command(after_help = RESOLVE_HELP)]
pub(crate) struct ResolveArgs {
    #[command(flatten)]
    service: ServiceArgs,

    /// Show instances that are not healthy, too
    #[arg(long)]
    all: bool,

    /// Only instances with this tag; may be repeated, or separated by commas: then only instances with all of them
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',')]
    tags: Vec<String>,

    /// Only instances with this metadata; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::key_value)]
    meta: Vec<(String, String)>,

    #[command(flatten)]
    scope: ScopeArgs,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `hobnob watch`.
#[derive(Debug, Args)]
#[command(after_help = WATCH_HELP)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    service: ServiceArgs,

    /// Print each answer of the agent as a JSON object on a line
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

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `hobnob members`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hobnob members\n  hobnob members --json")]
pub(crate) struct MembersArgs {
    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const EXPLAIN_HELP: &str = "\
Examples:
  hobnob explain web-1          is this instance offered, and why?
  hobnob explain a2             why is this member alive, suspect, down or left?
  hobnob explain a2 --json

The answer is this agent's own view; another agent may have a different one.
Exits with 3 when no member and no instance has that name. For the name of a service it lists instances.";

/// `hobnob explain`.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_HELP)]
pub(crate) struct ExplainArgs {
    /// The name or node id of a member, or the id of an instance
    #[arg(value_name = "MEMBER-OR-INSTANCE")]
    pub(crate) subject: String,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const FORCE_LEAVE_HELP: &str = "\
Examples:
  hobnob force-leave a2
  hobnob force-leave 58d1f0c2a9e7b364       by its node id, when several that are down have one name

For a host that does not come back. Without it, the instances of a dead member are shown as
`unknown` until they are forgotten. Refused while the member is alive or suspect (exit code 1).
If it comes back after all, it registers its instances again.
Exits with 3 when no member has that name.";

/// `hobnob force-leave`.
#[derive(Debug, Args)]
#[command(after_help = FORCE_LEAVE_HELP)]
pub(crate) struct ForceLeaveArgs {
    /// The name or the node id of the member
    pub(crate) member: String,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `hobnob info`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hobnob info\n  hobnob info --counters\n  hobnob info --json")]
pub(crate) struct InfoArgs {
    /// Show counters that are 0, too
    #[arg(long)]
    pub(crate) counters: bool,

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
            tags: args.tags.iter().cloned().collect(),
            meta: args.meta.iter().cloned().collect(),
            selector: args.scope.selector.clone(),
            datacenter: args.scope.datacenter.clone(),
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
