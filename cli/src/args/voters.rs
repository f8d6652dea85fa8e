//! The arguments of `hobnob voters`.

use std::time::Duration;

use clap::{Args, Subcommand};
use hobnob_api::{Request, Signed};

use super::orders::CredentialArgs;
use super::{TableArgs, values};

const VOTERS_HELP: &str = "\
Examples:
  hobnob voters
  hobnob voters --json
  hobnob voters set a1 a2 a3
  hobnob resolve web --consistency strong

Voters answer requests with --consistency strong. 3 survive the loss of one, 5 of two.
Requests without it never ask them. docs/CONSISTENCY.md says what each level promises.";

const SET_HELP: &str = "\
Examples:
  hobnob voters set a1 a2 a3
  hobnob voters set a1 a2 a4             a4 takes the place of a3
  hobnob voters set a1 a2 a3 a4 a5 --timeout 30s
  hobnob voters set a1 a2 a3 --first     this datacenter never had voters

Names all voters that there are to be. Each of them has to answer once, so leave out an agent that is down; and a
majority of the voters before has to. Replace voters one at a time, and only then stop those that are none any more.
In a sealed cluster an operator signs the order: see --credential.
A change that was not confirmed in time may be made all the same: repeat the command, or look with `hobnob voters`.
Exits with 1 when the voters were not changed, with 3 when no member has that name, and with 4 when the change was not
confirmed in time.";

const VOUCH_HELP: &str = "\
Examples:
  hobnob voters vouch

A voter whose host was restarted does not know whether its disk is the last state of it, or an older image: it reads
majorities of the other voters before it votes. When too few of them are left, an operator who knows that no disk was
exchanged and no snapshot was restored says so with this command, at that voter.
Said of an older image, it breaks what strong answers promise.";

/// `hobnob voters`.
#[derive(Debug, Args)]
#[command(after_help = VOTERS_HELP)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct VotersArgs {
    /// What to do, other than to list them.
    #[command(subcommand)]
    pub(crate) command: Option<VotersCommand>,

    #[command(flatten)]
    pub(crate) table: TableArgs,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    json: bool,
}

/// The orders about voters.
#[derive(Debug, Subcommand)]
pub(crate) enum VotersCommand {
    /// Make 3 or 5 members of this datacenter its voters
    Set(SetVotersArgs),
    /// Vouch for the disk of this agent, so that it votes again without a majority of the others
    Vouch(VouchArgs),
}

/// `hobnob voters set`.
#[derive(Debug, Args)]
#[command(after_help = SET_HELP)]
pub(crate) struct SetVotersArgs {
    /// The names or node ids of all voters
    #[arg(required = true, value_name = "MEMBER", num_args = 1..=9)]
    pub(crate) voters: Vec<String>,

    /// Vouch that this datacenter never had voters before
    #[arg(long)]
    first: bool,

    /// The longest wait, at most a minute [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = values::ack_timeout)]
    timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) signer: CredentialArgs,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    json: bool,
}

/// `hobnob voters vouch`.
#[derive(Debug, Args)]
#[command(after_help = VOUCH_HELP)]
pub(crate) struct VouchArgs {
    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    json: bool,
}

impl SetVotersArgs {
    /// The request to the agent, with the voters as they are named there.
    pub(crate) fn request(&self, voters: Vec<String>, signed: Option<Signed>) -> Request {
        let timeout_ms = self.timeout.map(values::millis);
        Request::SetVoters { voters, first: self.first, timeout_ms, signed }
    }
}

impl VotersArgs {
    /// The request to the agent, if nobody signs it.
    pub(crate) fn request(&self) -> Request {
        match &self.command {
            None => Request::Voters {},
            Some(VotersCommand::Vouch(_)) => Request::VouchForVoter {},
            Some(VotersCommand::Set(args)) => args.request(args.voters.clone(), None),
        }
    }

    /// Whether the answer is printed as JSON.
    pub(crate) fn json(&self) -> bool {
        match &self.command {
            None => self.json,
            Some(VotersCommand::Set(args)) => args.json,
            Some(VotersCommand::Vouch(args)) => args.json,
        }
    }

    /// How long the agent may wait before it answers.
    pub(crate) fn waits(&self) -> Duration {
        match &self.command {
            Some(VotersCommand::Set(args)) => args.timeout.unwrap_or(Duration::from_secs(10)),
            _ => Duration::ZERO,
        }
    }
}
