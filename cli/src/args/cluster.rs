//! The arguments of the commands about members.

use std::time::Duration;

use clap::{Args, Subcommand};

use hobnob_api::{Datacenters, Request};

use super::catalog::DatacenterArgs;
use super::orders::CredentialArgs;
use super::{TableArgs, values};

/// `hobnob members`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hobnob members\n  hobnob members --all\n  hobnob members --dc eu,us --json"
)]
pub(crate) struct MembersArgs {
    /// List those as well that left, were forced to leave, or were replaced at their address
    #[arg(long)]
    pub(crate) all: bool,

    #[command(flatten)]
    datacenters: DatacenterArgs,

    #[command(flatten)]
    pub(crate) table: TableArgs,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl MembersArgs {
    /// The datacenters whose members are asked for.
    pub(crate) fn datacenters(&self) -> Datacenters {
        (&self.datacenters).into()
    }
}

impl From<&MembersArgs> for Request {
    fn from(args: &MembersArgs) -> Self {
        Self::Members { all: args.all, datacenter: args.datacenters() }
    }
}

const DATACENTERS_HELP: &str = "\
Examples:
  hobnob datacenters
  hobnob datacenters --json
  hobnob datacenters isolate us    cut us off from this datacenter, until `rejoin`
  hobnob datacenters rejoin us

The own datacenter comes first. A datacenter that is out of reach keeps its instances: they are shown as they were last known,
and are offered only when nothing healthy is left in the datacenters that a question names.
RTT is the round trip to its gateways, HEARD the time since it was last heard, and SENT and GOT the bytes of this agent alone.
They are measured by the gateways of the own datacenter: other agents show none.";

/// `hobnob datacenters`.
#[derive(Debug, Args)]
#[command(after_help = DATACENTERS_HELP)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DatacentersArgs {
    /// What to do, other than to list them.
    #[command(subcommand)]
    pub(crate) command: Option<DatacentersCommand>,

    #[command(flatten)]
    pub(crate) table: TableArgs,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The orders about other datacenters.
#[derive(Debug, Subcommand)]
pub(crate) enum DatacentersCommand {
    /// Cut another datacenter off from this one: send nothing there, and take nothing of it
    Isolate(IsolateArgs),
    /// End the isolation of a datacenter
    Rejoin(RejoinArgs),
}

const ISOLATE_HELP: &str = "\
Examples:
  hobnob datacenters isolate us
  hobnob datacenters isolate us --json
  hobnob datacenters isolate us --forget    us is gone for good

The order holds for all agents of this datacenter, also for those that are away
now or join later, until `hobnob datacenters rejoin us`. They remember it among themselves, not on disk: it is
forgotten when all of them are down at once.
Meanwhile the instances of `us` are shown as they were last known; with --forget, its agents and their instances are
forgotten, until `rejoin`. The agents of `us` find this datacenter out of reach.
In a sealed cluster an operator signs the order: see --credential.
Exits with 3 when no datacenter has that name.";

/// `hobnob datacenters isolate`.
#[derive(Debug, Args)]
#[command(after_help = ISOLATE_HELP)]
pub(crate) struct IsolateArgs {
    /// The name of the datacenter
    pub(crate) datacenter: String,

    /// Forget it, since it is gone for good; refused while it is in reach
    #[arg(long)]
    pub(crate) forget: bool,

    #[command(flatten)]
    pub(crate) signer: CredentialArgs,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const REJOIN_HELP: &str = "\
Examples:
  hobnob datacenters rejoin us
  hobnob datacenters rejoin us --json

What either side wrote meanwhile crosses at once, as after a cut.
In a sealed cluster an operator signs the order: see --credential.
Exits with 3 when no datacenter has that name.";

/// `hobnob datacenters rejoin`.
#[derive(Debug, Args)]
#[command(after_help = REJOIN_HELP)]
pub(crate) struct RejoinArgs {
    /// The name of the datacenter
    pub(crate) datacenter: String,

    #[command(flatten)]
    pub(crate) signer: CredentialArgs,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `hobnob join`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hobnob join 10.0.0.7:7946\n  hobnob join --wan 10.9.0.7:7946    a member of another datacenter\n\nWaits 5 s for an answer. The agent goes on trying for some time, and for as long as it is alone."
)]
pub(crate) struct JoinArgs {
    /// The gossip addresses of members
    #[arg(required = true, value_name = "ADDRESS", value_parser = values::gossip_address)]
    pub(crate) addresses: Vec<String>,

    /// The members are of other datacenters, which this datacenter is to know
    #[arg(long)]
    pub(crate) wan: bool,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `hobnob leave`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hobnob leave\n\nThe others see this member as `left`, not `down`, and drop its services."
)]
pub(crate) struct LeaveArgs {
    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const FORCE_LEAVE_HELP: &str = "\
Examples:
  hobnob force-leave a2
  hobnob force-leave 58d1f0c2a9e7b364    by node id, when several share a name

For a host that does not come back. Without it, the instances of a dead member
are shown as they were last known, until they are forgotten after 24 hours.
Refused while the member is alive or suspect (exit code 1). If it comes back after all, it
registers its instances again.
In a sealed cluster an operator signs the order: see --credential.
Exits with 3 when no member has that name.";

/// `hobnob force-leave`.
#[derive(Debug, Args)]
#[command(after_help = FORCE_LEAVE_HELP)]
pub(crate) struct ForceLeaveArgs {
    /// The name or the node id of the member
    pub(crate) member: String,

    #[command(flatten)]
    pub(crate) signer: CredentialArgs,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const PRUNE_HELP: &str = "\
Examples:
  hobnob prune                       what has been down or gone for an hour
  hobnob prune --older-than 10m
  hobnob prune a2 58d1f0c2a9e7b364   these, however long they have been so

Drops what this agent remembers of members that are down, left, were forced to
leave, or were replaced at their address. `hobnob members --all` lists them. An
agent that hears no other member drops those that are down only when they are
named.
Local to this agent: other agents keep what they remember, and repair does not
bring it back here. A member that returns is known again at once. After a
restart, this agent learns again what others still remember.
`hobnob force-leave` makes all agents drop a member.
In a sealed cluster an operator signs the order: see --credential.
Exits with 3 when nothing was dropped.";

/// `hobnob prune`.
#[derive(Debug, Args)]
#[command(after_help = PRUNE_HELP)]
pub(crate) struct PruneArgs {
    /// The names or the node ids of members; all that are down or gone if there is none
    #[arg(value_name = "MEMBER")]
    pub(crate) members: Vec<String>,

    /// Drop only what has been down or gone for this long [default: 1h; 0 for members that are named]
    #[arg(long, value_name = "DURATION", value_parser = values::age)]
    pub(crate) older_than: Option<Duration>,

    #[command(flatten)]
    pub(crate) signer: CredentialArgs,

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

/// `hobnob log-level`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hobnob log-level                                  the filter now
  hobnob log-level debug --for 10m                  more lines, for ten minutes
  hobnob log-level info,hobnob_agent::driver=trace
  hobnob log-level --reset                          the filter that the agent was started with

After a restart, the agent has the filter of --log and HOBNOB_LOG again. A query socket shows the filter and does not set it.")]
pub(crate) struct LogLevelArgs {
    /// The filter from now on: a level, or directives such as info,hobnob_agent=debug
    #[arg(value_name = "FILTER", value_parser = values::log_filter)]
    pub(crate) filter: Option<String>,

    /// The time after which the agent goes back to the filter that it was started with, from 1s to 24h
    #[arg(long = "for", value_name = "DURATION", requires = "filter", value_parser = values::duration)]
    pub(crate) within: Option<Duration>,

    /// Go back to the filter that the agent was started with
    #[arg(long, conflicts_with = "filter")]
    pub(crate) reset: bool,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
