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

AGE is how long ago the agent of the instance was last known to live, as far as this agent can tell:
since it was last heard here, or, while others watch it and do not call it down, at most some 3s.
Exits with 3 when no instance matches.";

const WATCH_HELP: &str = "\
Examples:
  hobnob watch web
  hobnob watch web --json | while read -r instance; do echo \"$instance\"; done

Prints the instances now, then one line a change: the instance as it is then. What comes and goes
within a few milliseconds may be told as one change.
The status `gone` stands for an instance that was deregistered, or whose agent left.
Ends with exit code 1 when the agent stops.";

const SERVICES_HELP: &str = "\
Examples:
  hobnob services
  hobnob services --namespace default --json

EFFICIENCY and FAIRNESS tell how the picks of this agent, since it started, spread over the healthy
instances: the fewest over the most, of the picks and of the picks by weight. 1 is even; a newcomer,
few picks or keyed picks make it low. Neither says anything about health. `-` before the first pick.
Exits with 3 when the namespace that was asked for has no service.";

/// Which service.
#[derive(Debug, Args)]
pub(super) struct ServiceArgs {
    /// The name of the service
    pub(super) service: String,

    /// The namespace of the service
    #[arg(long, default_value = DEFAULT_NAMESPACE)]
    pub(super) namespace: String,
}

/// Which of its instances.
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

    /// Also the instances that are not healthy
    #[arg(long)]
    all: bool,

    /// Only instances with this tag; may be repeated, or separated by commas, and then each has all of them
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',')]
    tags: Vec<String>,

    /// Only instances with this metadata; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::key_value)]
    meta: Vec<(String, String)>,

    #[command(flatten)]
    scope: ScopeArgs,

    /// Print a JSON array of instances
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

const EXPLAIN_HELP: &str = "\
Examples:
  hobnob explain web-1          is this instance offered, and why, or why not?
  hobnob explain a2             why is this member alive, suspect, down or left?
  hobnob explain a2 --json

Answers from this agent's memory: another agent may believe something else.
Exits with 3 when nothing here goes by that name, or a service does: its instances are named then.";

/// `hobnob explain`.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_HELP)]
pub(crate) struct ExplainArgs {
    /// The name or node id of a member, or the id of an instance
    #[arg(value_name = "MEMBER-OR-INSTANCE")]
    pub(crate) subject: String,

    /// Print a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const FORCE_LEAVE_HELP: &str = "\
Examples:
  hobnob force-leave a2
  hobnob force-leave 58d1f0c2a9e7b364       by its node id, when several that are down go by one name

For a host that does not come back. Without it, the instances of a dead member are shown as
`unknown` until they are forgotten. Refused while the member is alive or suspect (exit code 1).
If it comes back after all, it registers its instances again.
Exits with 3 when no member goes by that name.";

/// `hobnob force-leave`.
#[derive(Debug, Args)]
#[command(after_help = FORCE_LEAVE_HELP)]
pub(crate) struct ForceLeaveArgs {
    /// The name or the node id of the member
    pub(crate) member: String,

    /// Print a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `hobnob info`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hobnob info\n  hobnob info --counters\n  hobnob info --json")]
pub(crate) struct InfoArgs {
    /// Also the counters that are 0
    #[arg(long)]
    pub(crate) counters: bool,

    /// Print a JSON object
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
