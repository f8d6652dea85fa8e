//! The options of `hobnob agent`, by the keys that they have in the configuration file.

use std::ffi::OsString;

use clap::builder::{OsStr as Name, Resettable};
use clap::error::ContextKind;
use clap::{Arg, ArgAction, Command};

/// The name of the command.
pub(super) const AGENT: &str = "agent";
/// The table of the parameters of the protocol, and what the ids of their options begin with.
const PROTOCOL: &str = "protocol";
/// Options without a key: those that say where the file is.
const WITHOUT_KEY: [&str; 2] = ["config", "no_config"];
/// The option of all commands that belongs to an agent, too.
pub(super) const SOCKET: &str = "socket";

/// Options whose values are paths. In a file they are relative to its directory.
const PATHS: [&str; 7] =
    ["config_dir", "data_dir", "http_cert", "http_key", "query_socket", SOCKET, "token_file"];

/// An option of `hobnob agent`.
#[derive(Clone, Debug)]
pub(super) struct ConfigOption {
    /// Its key in the configuration file.
    pub(super) key: String,
    pub(super) arg: Arg,
}

/// All options that have a key, those of tables last.
pub(super) fn options(command: &Command) -> Vec<ConfigOption> {
    let socket = command.get_arguments().filter(|arg| arg.get_id() == SOCKET);
    let agent = command.find_subcommand(AGENT).into_iter().flat_map(Command::get_arguments);
    let own = agent.filter(|arg| arg.get_long().is_some() && arg.get_action().takes_values());
    // The tables come last in a file.
    let all = socket.chain(own.filter(|arg| arg.get_id() != SOCKET));
    let all = all.filter(|arg| !WITHOUT_KEY.contains(&arg.get_id().as_str()));
    all.map(|arg| ConfigOption { key: key_of(arg.get_id().as_str()), arg: arg.clone() }).collect()
}

/// The key of an option, by its id.
fn key_of(id: &str) -> String {
    match id.strip_prefix(PROTOCOL).and_then(|id| id.strip_prefix('_')) {
        Some(parameter) => format!("{PROTOCOL}.{parameter}"),
        None => id.to_owned(),
    }
}

impl ConfigOption {
    pub(super) fn id(&self) -> &str {
        self.arg.get_id().as_str()
    }

    /// The flag without the two hyphens.
    pub(super) fn long(&self) -> &str {
        self.arg.get_long().unwrap_or_default()
    }

    /// The name of its variable.
    pub(super) fn variable(&self) -> String {
        self.arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Whether it takes more than one value.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.arg.get_action(), ArgAction::Append)
    }

    /// Whether its values are paths.
    pub(super) fn is_path(&self) -> bool {
        PATHS.contains(&self.id())
    }

    /// Whether it is either on or off.
    pub(super) fn is_switch(&self) -> bool {
        self.arg.get_default_values().iter().any(|value| value == "false")
    }

    /// The values, each by itself where one holds several.
    pub(super) fn split(&self, values: &[String]) -> Vec<String> {
        match self.arg.get_value_delimiter() {
            Some(delimiter) => values
                .iter()
                .flat_map(|value| value.split(delimiter))
                .map(|value| value.trim().to_owned())
                .collect(),
            None => values.to_vec(),
        }
    }

    /// Checks values that the file gives.
    pub(super) fn check(&self, values: &[String]) -> Result<(), String> {
        let arg = self.arg.clone().env(Resettable::<Name>::Reset).global(false);
        let command = Command::new("file").no_binary_name(true).disable_help_flag(true).arg(arg);
        let words = values.iter().map(|value| OsString::from(format!("--{}={value}", self.long())));
        let Err(error) = command.try_get_matches_from(words) else { return Ok(()) };
        let value = error.get(ContextKind::InvalidValue).map(ToString::to_string);
        let value = value.map_or_else(|| "the value".to_owned(), |value| format!("`{value}`"));
        let expected = match (std::error::Error::source(&error), error.get(ContextKind::ValidValue))
        {
            (Some(reason), _) => reason.to_string(),
            (None, Some(valid)) => format!("expected one of {valid}"),
            (None, None) => "expected another one".to_owned(),
        };
        Err(format!("`{}` cannot be {value}: {expected}", self.key))
    }
}
