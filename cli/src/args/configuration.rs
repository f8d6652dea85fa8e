//! The arguments of `hobnob config`, `hobnob validate` and `hobnob reload`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::TableArgs;

/// The files of a configuration.
#[derive(Debug, Args)]
pub(crate) struct ConfigPlaces {
    /// The configuration file [default: /etc/hobnob/hobnob.toml when it exists]
    #[arg(long, value_name = "FILE", env = "HOBNOB_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,

    /// The directory of service definitions [default: the one that the file names, else
    /// /etc/hobnob/services.d when it exists]
    #[arg(long, value_name = "DIR", env = "HOBNOB_CONFIG_DIR", hide_env_values = true)]
    pub(crate) config_dir: Option<PathBuf>,
}

/// `hobnob config`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hobnob config init > hobnob.toml\n  hobnob config show\n  hobnob config show --config hobnob.toml --json"
)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

/// The commands about the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print a configuration file with every key, its default and its meaning, all as comments
    #[command(
        after_help = "Examples:\n  hobnob config init > /etc/hobnob/hobnob.toml\n\nEvery key is commented out, so the file changes nothing until a line is uncommented."
    )]
    Init,
    /// Show each setting of the agent, and where its value comes from
    Show(ConfigShowArgs),
}

/// `hobnob config show`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hobnob config show\n  hobnob config show --config ./hobnob.toml\n  hobnob config show --json\n\nAsks the running agent. When --config or --config-dir is given, or no agent answers, it shows what an\nagent that is started here and now without flags would have. The value of HOBNOB_TOKEN is never shown."
)]
pub(crate) struct ConfigShowArgs {
    #[command(flatten)]
    pub(crate) places: ConfigPlaces,

    #[command(flatten)]
    pub(crate) table: TableArgs,

    /// Print a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `hobnob validate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hobnob validate\n  hobnob validate --config ./hobnob.toml --config-dir ./services.d\n  hobnob validate --json\n\nTells all problems, each with its file and line, and changes nothing. Exits with 1 when there are any.\nIt asks no agent: whether an id is registered over the socket already is seen at the reload."
)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    pub(crate) places: ConfigPlaces,

    /// Print a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `hobnob reload`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hobnob reload\n  hobnob reload --json\n\nThe agent reads its configuration file and its service definitions again, as it does at SIGHUP, and when\na file of the directory changes. With a problem in any file nothing is changed (exit code 1).\nSettings of the configuration file count from the next start of the agent; the answer names those\nthat changed."
)]
pub(crate) struct ReloadArgs {
    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
