//! The arguments of `hobnob watch`.

use clap::Args;

use hobnob_api::WatchQuery;

use super::catalog::{DatacenterArgs, ServiceArgs};

const WATCH_HELP: &str = "\
Examples:
  hobnob watch web
  hobnob watch web --dc eu,us
  hobnob watch web --json | jq -r '.[].instances[] | .status + \" \" + .instance'

Prints the instances now, then one line for each change: the instance as it is
then. Changes of the same few milliseconds may be told as one. With --json
each line is one answer of the agent: an object `instances` with all
instances, or an object `changes` with the changed ones.
The status `gone` stands for an instance that was deregistered, or whose agent
left, was forced to leave, was replaced or was pruned.
Ends with exit code 1 when the agent stops.";

/// `hobnob watch`.
#[derive(Debug, Args)]
#[command(after_help = WATCH_HELP)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    service: ServiceArgs,

    #[command(flatten)]
    datacenters: DatacenterArgs,

    /// Print each answer of the agent as a JSON object on a line
    #[arg(long)]
    pub(crate) json: bool,
}

impl From<&WatchArgs> for WatchQuery {
    fn from(args: &WatchArgs) -> Self {
        Self {
            service: args.service.service.clone(),
            namespace: args.service.namespace.clone(),
            since: None,
            datacenter: (&args.datacenters).into(),
        }
    }
}
