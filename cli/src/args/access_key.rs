//! The arguments of `hobnob access-key`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use hobnob_agent::access_keys::AccessRights;

use super::TableArgs;

const HELP: &str = "\
Examples:
  (umask 077; hobnob access-key create --write --name ci > key)
  hobnob access-key list
  hobnob access-key revoke 1f2e3d4c

A change over HTTP needs an access key of the agent that is asked. A question needs one when it
comes from beyond the host of the agent. The data directory of the agent keeps a hash of each key.
A running agent follows at once when a key is made or revoked.";

/// `hobnob access-key`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct AccessKeyArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: AccessKeyCommand,
}

/// The commands about access keys.
#[derive(Debug, Subcommand)]
pub(crate) enum AccessKeyCommand {
    /// Make a key, and print it
    Create(CreateAccessKeyArgs),
    /// List the keys, without their secrets
    List(ListAccessKeysArgs),
    /// Revoke a key
    Revoke(RevokeAccessKeyArgs),
}

/// The directory that has the keys.
#[derive(Debug, Args)]
pub(crate) struct DataDirArgs {
    /// The data directory of the agent [default: /var/lib/hobnob for root, else
    /// hobnob in $XDG_STATE_HOME, else ~/.local/state/hobnob]
    #[arg(long, value_name = "DIR", env = "HOBNOB_DATA_DIR", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
}

const CREATE_HELP: &str = "\
Examples:
  (umask 077; hobnob access-key create --write --name ci > key)
  hobnob access-key create --read --data-dir /tmp/a2

Prints the key alone on stdout. It is not kept: keep it as a secret. Until it is revoked, a client
that has it may ask this agent over HTTP; with --write it may register, deregister and report, too.";

/// `hobnob access-key create`.
#[derive(Debug, Args)]
#[command(after_help = CREATE_HELP)]
#[command(group(ArgGroup::new("rights").required(true).args(["read", "write"])))]
pub(crate) struct CreateAccessKeyArgs {
    /// It is for questions
    #[arg(long)]
    read: bool,

    /// It is for questions and for changes
    #[arg(long)]
    write: bool,

    /// What the key is for, for people
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) dir: DataDirArgs,

    /// Print a JSON object, with the key in it
    #[arg(long)]
    pub(crate) json: bool,
}

impl CreateAccessKeyArgs {
    /// What the key is to allow.
    pub(crate) fn rights(&self) -> AccessRights {
        debug_assert!(self.read != self.write, "one of them is given");
        if self.write { AccessRights::Write } else { AccessRights::Read }
    }
}

/// `hobnob access-key list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hobnob access-key list\n  hobnob access-key list --json")]
pub(crate) struct ListAccessKeysArgs {
    #[command(flatten)]
    pub(crate) dir: DataDirArgs,

    #[command(flatten)]
    pub(crate) table: TableArgs,

    /// Print a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `hobnob access-key revoke`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hobnob access-key revoke 1f2e3d4c\n\nExits with 3 when no key has that id."
)]
pub(crate) struct RevokeAccessKeyArgs {
    /// The id of the key, as `list` shows it
    #[arg(value_name = "ID")]
    pub(crate) id: String,

    #[command(flatten)]
    pub(crate) dir: DataDirArgs,

    /// Print a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
