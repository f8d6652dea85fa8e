//! The arguments of `hobnob dev`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Subcommand, value_parser};

use super::values;

const AFTER_HELP: &str = "\
Examples:
  hobnob dev
  hobnob dev --agents 5
  hobnob dev --datacenters 2 --agents 3    six agents in two datacenters
  hobnob dev --sealed           the same with authenticated agents and sealed traffic
  hobnob dev --for 10s          for scripts: exits with 1 when not everything is healthy by then

Everything listens on loopback and lies in a temporary folder, which is removed at the end.
HOBNOB_LOG=debug makes the agents log into files of that folder, one for each.

Each agent and each server is a process of its own. All end with this one, even if it is killed
(the folder then stays).

Keys, on a terminal, for the agent or the server that is selected:
  up, down, tab   select another one
  k    kill it, as with kill -9; it is started again after 5 s
  p    pause it, as with kill -STOP, or let it go on
  r    restart it: it stops as planned, and starts at once
  s    stop it, or start it again
  x    cut the agent off from the others, or bring it back; those that are cut off reach each other
  c    cut the link between the datacenters, or heal it (with --datacenters)
  ?    help
  q    quit

A line says how long the others needed to notice a death: from just before the signal until the
watches of all agents have told it to this process. Each agent is asked for picks all the time, and
another line says when the last pick went to what was lost. A process that is killed from elsewhere comes back, too; the time is then counted
from its end. `hobnob info` tells the process id of an agent.

A cut of agents drops all packets between the two sides in the kernel, as a firewall would. It needs leave
to filter the sockets of the agents, which containers often lack (CAP_SYS_PTRACE).

The cut link is an order to one agent of each side, as of `hobnob datacenters isolate`. Of more than
two datacenters the last one is cut off.";

/// `hobnob dev`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct DevArgs {
    /// Number of agents, from 1 to 16; of each datacenter, if there are several
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = value_parser!(u8).range(1..=16))]
    pub(crate) agents: u8,

    /// Number of datacenters, from 1 to 4; with all their agents together 16 at most
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = value_parser!(u8).range(1..=4))]
    pub(crate) datacenters: u8,

    /// Seal the cluster: its CA key and its token lie in the temporary folder
    #[arg(long)]
    pub(crate) sealed: bool,

    /// End after this long instead of waiting for Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = values::duration)]
    pub(crate) run_for: Option<Duration>,

    /// The log filter of the agents, which log into files of the temporary folder [default: no log]
    #[arg(long, value_name = "FILTER", value_parser = values::log_filter)]
    #[arg(env = "HOBNOB_LOG", hide_env_values = true)]
    pub(crate) log: Option<String>,

    /// The part of the demonstration that this process is, if it is not all of it.
    #[command(subcommand)]
    pub(crate) part: Option<DevPart>,
}

/// More agents than one machine should run.
#[derive(Debug, thiserror::Error)]
#[error("{0} agents in all: with --datacenters and --agents together there are 16 at most")]
pub(crate) struct TooManyAgents(u16);

impl DevArgs {
    /// Checks the number of agents of all datacenters together.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn check(&self) -> Result<(), TooManyAgents> {
        let all = u16::from(self.agents) * u16::from(self.datacenters);
        if all > 16 { Err(TooManyAgents(all)) } else { Ok(()) }
    }
}

/// A part of the demonstration in a process of its own.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum DevPart {
    /// Serve HTTP until the standard input ends
    #[command(hide = true)]
    Server(ServerArgs),
}

/// `hobnob dev server`.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The id of its instance, which it answers each request with
    pub(crate) id: String,

    /// The address to listen at, which it prints as a line once it does
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
}
