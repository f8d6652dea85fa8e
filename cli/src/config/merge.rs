//! One configuration from the defaults, the file, the variables and the flags, in this order: later ones take precedence.
//!
//! The values of the file take the place of the defaults before the command line is parsed again, so that the same
//! parsers see them, and the same order of precedence holds for all options.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use hobnob_agent::{ConfigFile, KnownKey, Problem};
use hobnob_api::client::default_socket_path;
use hobnob_api::{Origin, Setting, Settings};

use super::options::{AGENT, ConfigOption, SOCKET, options};
use super::places::{default_data_dir, default_dir, default_file};
use crate::args::TOKEN_VARIABLE;

/// What a command line, the variables and the file come to.
pub(crate) struct Merged {
    pub(crate) matches: ArgMatches,
    /// The settings of an agent with their origins; empty for other commands.
    pub(crate) settings: Settings,
}

/// There is no configuration that could be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The command line or a variable is wrong.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The configuration file is wrong.
    #[error("{}", lines(.0))]
    File(Vec<Problem>),
}

impl Broken {
    /// Each problem by itself.
    pub(crate) fn problems(self) -> Vec<Problem> {
        match self {
            Self::File(problems) => problems,
            Self::Usage(error) => {
                let text = error.to_string();
                let first = text.lines().next().unwrap_or_default();
                let reason = first.strip_prefix("error: ").unwrap_or(first);
                vec![Problem::new(reason)]
            }
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The command line of an agent with this file and this directory, and nothing else.
pub(crate) fn agent_line(file: Option<&Path>, dir: Option<&Path>) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec!["hobnob".into(), AGENT.into()];
    for (flag, path) in [("--config", file), ("--config-dir", dir)] {
        line.extend(path.iter().flat_map(|path| [flag.into(), path.as_os_str().to_owned()]));
    }
    line
}

/// Parses a command line. That of an agent is merged with its configuration file.
///
/// # Errors
/// The command line, a variable or the file is wrong. With a file that is wrong, the error has all of its problems.
pub(crate) fn merge(command: &Command, line: &[OsString]) -> Result<Merged, Broken> {
    let matches = command.clone().try_get_matches_from(line)?;
    let Some(agent) = matches.subcommand_matches(AGENT) else {
        return Ok(Merged { matches, settings: Settings::default() });
    };
    let options = options(command);
    let no_config: bool = agent.get_one("no_config").copied().unwrap_or_default();
    let is_flag = |id| agent.value_source(id) == Some(ValueSource::CommandLine);
    if no_config && let Some(id) = ["config", "config_dir"].into_iter().find(|id| is_flag(id)) {
        let none = if is_flag("no_config") { "--no-config" } else { "HOBNOB_NO_CONFIG" };
        let message = format!(
            "{none} and --{} contradict each other: leave out one of them\n",
            id.replace('_', "-")
        );
        return Err(command.clone().error(ErrorKind::ArgumentConflict, message).into());
    }
    let file = agent.get_one::<PathBuf>("config").cloned().or_else(default_file);
    let file = file.filter(|_| !no_config);
    let file = file.map(|path| read(&path, &options)).transpose().map_err(Broken::File)?;
    let matches = match &file {
        Some(file) => with_defaults(command.clone(), &options, file).try_get_matches_from(line)?,
        None => matches,
    };
    let settings = settings(&matches, &options, file.as_ref(), no_config);
    Ok(Merged { matches, settings })
}

/// Reads the file, checks every value by itself, and completes its paths.
fn read(path: &Path, options: &[ConfigOption]) -> Result<ConfigFile, Vec<Problem>> {
    let known =
        options.iter().map(|option| KnownKey { key: &option.key, is_list: option.is_list() });
    let (mut file, mut problems) = ConfigFile::read(path, &known.collect::<Vec<_>>());
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    for leaf in &mut file.leaves {
        let Some(option) = options.iter().find(|option| option.key == leaf.key) else { continue };
        leaf.values = option.split(&leaf.values);
        if let Err(message) = option.check(&leaf.values) {
            problems.push(Problem::of(path, Some(leaf.line), message));
        } else if option.is_path() {
            let complete = |value: &String| folder.join(value).to_string_lossy().into_owned();
            leaf.values = leaf.values.iter().map(complete).collect();
        }
    }
    problems.sort_by_key(|problem| problem.line);
    if problems.is_empty() { Ok(file) } else { Err(problems) }
}

/// The command with the values of the file for defaults.
fn with_defaults(command: Command, options: &[ConfigOption], file: &ConfigFile) -> Command {
    file.leaves.iter().fold(command, |command, leaf| {
        let option = options.iter().find(|option| option.key == leaf.key);
        let Some(id) = option.map(|option| option.id().to_owned()) else { return command };
        let values = leaf.values.clone();
        let is_global = id == SOCKET;
        let set = |command: Command| command.mut_arg(id, |arg| arg.default_values(values));
        if is_global { set(command) } else { command.mut_subcommand(AGENT, set) }
    })
}

fn settings(
    matches: &ArgMatches,
    options: &[ConfigOption],
    file: Option<&ConfigFile>,
    no_config: bool,
) -> Settings {
    let agent = matches.subcommand_matches(AGENT).unwrap_or(matches);
    let mut settings: Vec<_> =
        options.iter().map(|option| setting(agent, option, file, no_config)).collect();
    if std::env::var_os(TOKEN_VARIABLE).is_some_and(|token| !token.is_empty()) {
        settings.push(Setting {
            key: "token".to_owned(),
            value: Some("(not shown)".to_owned()),
            origin: Origin::Variable,
            place: Some(TOKEN_VARIABLE.to_owned()),
        });
    }
    let directory = settings.iter().find(|setting| setting.key == "config_dir");
    let directory = directory.and_then(|setting| setting.value.clone());
    let file = file.map(|file| file.path.display().to_string());
    Settings { file, directory, settings }
}

fn setting(
    agent: &ArgMatches,
    option: &ConfigOption,
    file: Option<&ConfigFile>,
    no_config: bool,
) -> Setting {
    let id = option.id();
    let key = option.key.clone();
    let raw = agent
        .get_raw(id)
        .map(|values| values.map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(","));
    let leaf = file.and_then(|file| {
        let line = file.leaves.iter().find(|leaf| leaf.key == option.key)?.line;
        Some(format!("{}:{line}", file.path.display()))
    });
    let (origin, place) = match (agent.value_source(id), leaf) {
        (Some(ValueSource::CommandLine), _) => (Origin::Flag, Some(format!("--{}", option.long()))),
        (Some(ValueSource::EnvVariable), _) => (Origin::Variable, Some(option.variable())),
        (_, Some(place)) => (Origin::File, Some(place)),
        (_, None) => (Origin::Default, None),
    };
    let value = if key == "config_dir" && no_config { None } else { raw };
    let found = || match (&*key, no_config) {
        ("config_dir", false) => default_dir(),
        ("data_dir", _) => default_data_dir().ok(),
        (SOCKET, _) => Some(default_socket_path()),
        _ => None,
    };
    let value = value.or_else(|| Some(found()?.to_string_lossy().into_owned()));
    Setting { key, value, origin, place }
}
