//! The arguments of `hobnob keys` and `hobnob revoke`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use hobnob_keys::Fingerprint;

use super::{TableArgs, values};

/// The signer of an order.
#[derive(Debug, Args)]
pub(crate) struct CredentialArgs {
    /// A file with a token that has the role operator, or - for stdin; it signs the order [default: the agent signs, if it has
    /// that role]
    #[arg(long, value_name = "FILE", env = "HOBNOB_CREDENTIAL", hide_env_values = true)]
    pub(crate) credential: Option<PathBuf>,
}

/// How long a command waits for the members.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// The longest wait until all living members have confirmed
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::duration)]
    pub(crate) wait: Duration,
}

const KEYS_HELP: &str = "\
Examples:
  hobnob keys status
  hobnob keys rotate --credential operator.token
  hobnob keys trust ca-2.succession

`hobnob keys rotate --help` and the like show more.";

/// `hobnob keys`.
#[derive(Debug, Args)]
#[command(after_help = KEYS_HELP)]
pub(crate) struct KeysArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

/// The commands about the keys of a cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Show the generation in use, which members lack it, and what is revoked
    Status(KeysStatusArgs),
    /// Replace the secret that all members share
    Rotate(KeysRotateArgs),
    /// Have the cluster trust a second CA key
    Trust(KeysTrustArgs),
}

const STATUS_HELP: &str = "\
Examples:
  hobnob keys status
  hobnob keys status --json

The agent asks the living members that are not known to hold all, for 3 s at
most. SHOWN is when a member last showed its keys: one that is known to hold all
of them is not asked again, and one that was not reached is shown as it was then.
Warns of tokens that let newcomers in for longer than a week.";

/// `hobnob keys status`.
#[derive(Debug, Args)]
#[command(after_help = STATUS_HELP)]
pub(crate) struct KeysStatusArgs {
    #[command(flatten)]
    pub(crate) table: TableArgs,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const ROTATE_HELP: &str = "\
Examples:
  hobnob keys rotate                                the agent has the role operator
  (umask 077; hobnob token create --role operator --for 1h > operator.token)
  hobnob keys rotate --credential operator.token

Members use the new generation ten seconds after they got it, and take the old
one for another thirty. While one is on its way, the command shows its progress
and makes no other, unless --again is given. A member that is away gets it when
it returns.
Exits with 0 when all living members hold the generation, and with 4 when it is
handed out and some did not confirm in time, or the agent that was asked could
not write it to its disk: the same command goes on.";

/// `hobnob keys rotate`.
#[derive(Debug, Args)]
#[command(after_help = ROTATE_HELP)]
pub(crate) struct KeysRotateArgs {
    #[command(flatten)]
    pub(crate) signer: CredentialArgs,

    /// Make another generation although one is on its way
    #[arg(long)]
    pub(crate) again: bool,

    #[command(flatten)]
    pub(crate) waiting: WaitArgs,

    /// Print the outcome as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const TRUST_HELP: &str = "\
Examples:
  hobnob init --rotate-ca                           on the operator's machine
  hobnob keys trust ca-2.succession                 at one agent

Hands the file that `hobnob init --rotate-ca` wrote to the cluster. Both CA keys
signed it, so no other credential is needed. From then on tokens of both count,
and a token of the new one, given to a member, renews its certificate. A member
that is away learns of it when it returns. A cluster takes one such file.
Exits with 0 when all living members trust both keys, and with 4 when some did
not confirm in time: the same command goes on.";

/// `hobnob keys trust`.
#[derive(Debug, Args)]
#[command(after_help = TRUST_HELP)]
pub(crate) struct KeysTrustArgs {
    /// The file that `hobnob init --rotate-ca` wrote
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) waiting: WaitArgs,

    /// Print the outcome as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const REVOKE_HELP: &str = "\
Examples:
  hobnob revoke web-7
  hobnob revoke 58d1f0c2a9e7b364                    by node id
  hobnob revoke web-7 --credential operator.token
  hobnob revoke --token 7c0ffee1d2a94b5c8e3f60718293a4b5

Takes a node out of the cluster for good, dead or alive: its instances go, its
key never counts again, and the cluster rotates at once. --token does so with
every node that joined with the token, and nobody joins with it any more.
There is no way back. A host whose node was revoked joins as a new node, with
another token, once node.key, membership.json and node.json are removed from
its data directory.
Asks before it does so, if stdin is a terminal. `hobnob keys status` lists what
is revoked.
Exits with 0 when all living members have applied it, with 3 when no member has
that name, and with 4 when some did not confirm in time, or the agent that was
asked could not write it to its disk: the same command goes on.";

/// `hobnob revoke`.
#[derive(Debug, Args)]
#[command(after_help = REVOKE_HELP)]
#[command(group = ArgGroup::new("subject").required(true).args(["node", "token"]))]
pub(crate) struct RevokeArgs {
    /// The name, the node id or the public key of a node
    #[arg(value_name = "NODE")]
    pub(crate) node: Option<String>,

    /// The fingerprint of a token, which `hobnob token inspect` and `hobnob keys status` show
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) token: Option<Fingerprint>,

    #[command(flatten)]
    pub(crate) signer: CredentialArgs,

    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// Revoke even the agent that is asked
    #[arg(long)]
    pub(crate) yes_myself: bool,

    #[command(flatten)]
    pub(crate) waiting: WaitArgs,

    /// Print the outcome as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
