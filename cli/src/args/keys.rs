//! The arguments of `hobnob init` and `hobnob token`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use hobnob_keys::{Glob, Name, SeedAddress};

use super::values;

/// Which file holds the CA key, and its passphrase.
#[derive(Debug, Args)]
pub(crate) struct CaArgs {
    /// The file of the CA key [default: hobnob/ca.key in $XDG_CONFIG_HOME, else in ~/.config]
    #[arg(long, value_name = "FILE", env = "HOBNOB_CA", hide_env_values = true)]
    pub(crate) ca: Option<PathBuf>,

    /// A file with the passphrase of the CA key, which is asked for otherwise
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

const INIT_HELP: &str = "\
Examples:
  hobnob init --cluster prod --seed 10.0.0.9:7946
  hobnob init --cluster prod --passphrase         encrypt the CA key
  hobnob init --cluster test --ca ./test-ca.key
  hobnob init --rotate-ca                         make a second CA key

Makes the key of the cluster's CA, and prints a first token and the next
command. The key signs tokens. No agent needs it: keep it where only operators
are, with a backup. An existing file is never overwritten (exit code 1).
--seed names the first hosts, at which the others join.
--rotate-ca makes a CA key that succeeds the one of --ca, and a file that tells
the cluster of it, both beside it: ca-2.key and ca-2.succession. The new key is
encrypted as the old one, or as --passphrase says.";

/// `hobnob init`.
#[derive(Debug, Args)]
#[command(after_help = INIT_HELP)]
pub(crate) struct InitArgs {
    /// The name of the cluster
    #[arg(long, value_name = "NAME", value_parser = values::name, required_unless_present = "rotate_ca")]
    pub(crate) cluster: Option<Name>,

    /// Make a CA key that succeeds that of --ca, in a cluster that is there
    #[arg(long, conflicts_with_all = ["cluster", "valid_for", "seeds"])]
    pub(crate) rotate_ca: bool,

    #[command(flatten)]
    pub(crate) ca: CaArgs,

    /// Encrypt the CA key with a passphrase that is asked for; --passphrase-file does so, too
    #[arg(long, conflicts_with = "passphrase_file")]
    pub(crate) passphrase: bool,

    /// How long newcomers are let in with the first token
    #[arg(long = "for", value_name = "DURATION", default_value = "24h")]
    #[arg(value_parser = values::validity)]
    pub(crate) valid_for: Duration,

    /// The gossip address of a member to join at; may be repeated
    #[arg(long = "seed", value_name = "ADDRESS", value_delimiter = ',', value_parser = values::seed)]
    pub(crate) seeds: Vec<SeedAddress>,

    /// Print a JSON object, with the token in it
    #[arg(long)]
    pub(crate) json: bool,
}

const TOKEN_HELP: &str = "\
Examples:
  hobnob token create --seed 10.0.0.9:7946
  hobnob token inspect - < /etc/hobnob/token

`hobnob token create --help` and `hobnob token inspect --help` show more.";

/// `hobnob token`.
#[derive(Debug, Args)]
#[command(after_help = TOKEN_HELP)]
pub(crate) struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

/// The commands about tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token with the CA key, and print it
    Create(TokenCreateArgs),
    /// Say what a token allows, without the CA key
    Inspect(TokenInspectArgs),
}

const CREATE_HELP: &str = "\
Examples:
  (umask 077; hobnob token create --seed 10.0.0.9:7946 > token)
  hobnob token create --name 'web-*' --services 'web,api-*' --datacenter eu
  hobnob token create --for 90d                     for images and autoscaling
  hobnob token create --role operator --for 1h      may revoke and rotate

Prints the token alone on stdout. Everybody who has it can join within its
limits until it expires: keep it as a secret, in a file that nobody else may
read, as `umask 077` makes it. Members stay members when it expires.
Patterns: * stands for any characters, ? for one.";

/// `hobnob token create`.
#[derive(Debug, Args)]
#[command(after_help = CREATE_HELP)]
pub(crate) struct TokenCreateArgs {
    /// A pattern that the names of agents must match
    #[arg(long, value_name = "PATTERN", value_parser = values::glob)]
    pub(crate) name: Option<Glob>,

    /// Patterns of the services that agents may offer, separated by commas
    #[arg(long, value_name = "PATTERNS", value_delimiter = ',', value_parser = values::glob)]
    pub(crate) services: Vec<Glob>,

    /// The only datacenter in which agents may be
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    pub(crate) datacenter: Option<Name>,

    /// A role of the agents; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    pub(crate) roles: Vec<Role>,

    /// The agents are never gateways between datacenters
    #[arg(long)]
    pub(crate) no_gateway: bool,

    /// How long newcomers are let in with the token
    #[arg(long = "for", value_name = "DURATION", default_value = "24h")]
    #[arg(value_parser = values::validity)]
    pub(crate) valid_for: Duration,

    /// The gossip address of a member to join at; may be repeated
    #[arg(long = "seed", value_name = "ADDRESS", value_delimiter = ',', value_parser = values::seed)]
    pub(crate) seeds: Vec<SeedAddress>,

    #[command(flatten)]
    pub(crate) ca: CaArgs,

    /// Print a JSON object, with the token in it
    #[arg(long)]
    pub(crate) json: bool,
}

/// The name of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// May give commands that change the cluster for all
    Operator,
    /// May be the first agent of the cluster
    Founder,
}

const INSPECT_HELP: &str = "\
Examples:
  hobnob token inspect - < /etc/hobnob/token
  hobnob token inspect --json - < /etc/hobnob/token

`-` reads the token from stdin, so that it is not seen in the list of
processes. The secret part of the token is never printed. An expired token is
described as well. Exits with 2 when the text is no usable token.";

/// `hobnob token inspect`.
#[derive(Debug, Args)]
#[command(after_help = INSPECT_HELP)]
pub(crate) struct TokenInspectArgs {
    /// The token, or - for stdin
    #[arg(value_name = "TOKEN|-")]
    pub(crate) token: String,

    /// Print a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
