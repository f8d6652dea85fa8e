//! `hobnob config`, `hobnob validate` and `hobnob reload`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::FromArgMatches;
use hobnob_agent::Problem;
use hobnob_agent::definitions::Definitions;
use hobnob_api::client::{Client, ClientError, default_socket_path};
use hobnob_api::{Reloaded, Request, Response, Settings};
use serde::Serialize;

use super::unexpected;
use crate::args::{self, Cli, Command, ConfigArgs, ConfigCommand, ConfigPlaces, ConfigShowArgs};
use crate::args::{ReloadArgs, ValidateArgs};
use crate::config::{Broken, Merged, agent_line, example, merge, proxies};
use crate::exit::Exit;
use crate::output::{self, Output};

/// What `hobnob validate` found.
#[derive(Debug, Default, Serialize)]
struct Validated {
    /// The configuration file, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// The directory of service definitions, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<String>,
    /// The files in it.
    files: usize,
    /// The ids of the instances that they define.
    instances: Vec<String>,
    warnings: Vec<String>,
    problems: Vec<String>,
}

/// Runs a command about the configuration.
pub(super) async fn config(
    args: ConfigArgs,
    socket: PathBuf,
    within: Duration,
) -> anyhow::Result<Exit> {
    match args.command {
        ConfigCommand::Init => {
            Output::new().line(example(&args::command()).trim_end())?;
            Ok(Exit::Done)
        }
        ConfigCommand::Show(args) => show(&args, socket, within).await,
    }
}

async fn show(args: &ConfigShowArgs, socket: PathBuf, within: Duration) -> anyhow::Result<Exit> {
    let ConfigPlaces { config, config_dir } = &args.places;
    let settings = if config.is_some() || config_dir.is_some() {
        None
    } else {
        match Client::connect(socket).await {
            Ok(client) => match client.answer_within(within).call(Request::Settings {}).await? {
                Response::Settings(settings) => Some(*settings),
                other => return Err(unexpected(&other)),
            },
            Err(ClientError::NoAgent { .. }) => {
                output::say(
                    "no agent answers: this is what one that is started here and now without flags would have",
                );
                None
            }
            Err(error) => return Err(error.into()),
        }
    };
    let settings = match settings {
        Some(settings) => settings,
        None => match here(&args.places) {
            Ok(merged) => merged.settings,
            Err(broken) => {
                let problems = broken.problems();
                problems.iter().for_each(|problem| output::say(&format!("error: {problem}")));
                return Ok(Exit::Failed);
            }
        },
    };
    let mut out = Output::new().wide(args.table.wide);
    if args.json {
        out.json(&settings)?;
    } else {
        let Settings { file, directory, settings } = &settings;
        out.line(&output::settings(settings, out.style()))?;
        for (what, place) in [("configuration file", file), ("service definitions", directory)] {
            let place = place.as_deref().unwrap_or("none");
            output::say(&format!("{what}: {place}"));
        }
    }
    Ok(Exit::Done)
}

/// The configuration of an agent that is started here and now, with no flag but these.
fn here(places: &ConfigPlaces) -> Result<Merged, Broken> {
    let line = agent_line(places.config.as_deref(), places.config_dir.as_deref());
    merge(&args::command(), &line)
}

/// The settings of an agent that is started here and now without flags, and what is wrong with its files.
pub(crate) fn settings_here() -> (Option<Settings>, Vec<String>) {
    let places = ConfigPlaces { config: None, config_dir: None };
    let settings = here(&places).ok().map(|merged| merged.settings);
    (settings, check(&places).problems)
}

/// Checks the files.
pub(super) fn validate(args: &ValidateArgs) -> anyhow::Result<Exit> {
    let found = check(&args.places);
    let exit = if found.problems.is_empty() { Exit::Done } else { Exit::Failed };
    if args.json {
        Output::new().json(&found)?;
        return Ok(exit);
    }
    found.warnings.iter().for_each(|warning| output::say(&format!("warning: {warning}")));
    found.problems.iter().for_each(|problem| output::say(&format!("error: {problem}")));
    if exit == Exit::Done {
        Output::new().line(&summary(&found))?;
    } else {
        let count = found.problems.len();
        output::say(&format!("{count} {}", if count == 1 { "problem" } else { "problems" }));
    }
    Ok(exit)
}

fn check(places: &ConfigPlaces) -> Validated {
    let mut found = Validated::default();
    let tell = |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.to_string());
    let mut dir = places.config_dir.clone().or_else(crate::config::default_dir);
    // Without a configuration nothing tells that they are off.
    let mut script_checks = true;
    match here(places) {
        Ok(Merged { matches, settings }) => {
            found.file = settings.file;
            if let Some(file) = found.file.as_deref().map(Path::new)
                && let Err(problems) = proxies(file, &default_socket_path())
            {
                found.problems.extend(tell(problems));
            }
            dir = settings.directory.map(PathBuf::from);
            match rules(&matches) {
                Ok(enabled) => script_checks = enabled,
                Err(error) => found.problems.push(format!("{error:#}")),
            }
        }
        Err(broken) => {
            let file = places.config.as_ref();
            found.file = file.map(|file| file.display().to_string());
            found.problems.extend(tell(broken.problems()));
        }
    }
    found.directory = dir.as_ref().map(|dir| dir.display().to_string());
    match dir.as_deref().map(|dir| Definitions::read(dir, script_checks)) {
        None => {}
        Some(Ok(Definitions { definitions, files, warnings })) => {
            found.files = files;
            let ids = definitions.iter().map(|one| one.registration.instance_id().to_owned());
            found.instances = ids.collect();
            found.warnings.extend(tell(warnings));
        }
        Some(Err(problems)) => found.problems.extend(tell(problems)),
    }
    found
}

/// The rules that hold for a configuration as a whole, as far as they need no network. Returns whether it enables scripts.
fn rules(matches: &clap::ArgMatches) -> anyhow::Result<bool> {
    let cli = Cli::from_arg_matches(matches)?;
    let socket = cli.socket();
    let Command::Agent(args) = cli.command else { return Ok(false) };
    let config = args.into_config(socket)?;
    config.check_names()?;
    Ok(config.script_checks)
}

fn summary(found: &Validated) -> String {
    let counted =
        |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    match (&found.file, &found.directory) {
        (None, None) => "there is no configuration file and no directory of service definitions: name them with --config and --config-dir".to_owned(),
        (Some(file), None) => format!("in order: {file}"),
        (file, Some(dir)) => {
            let file = file.as_ref().map(|file| format!("{file}, and ")).unwrap_or_default();
            let (files, instances) = (counted(found.files, "file"), counted(found.instances.len(), "instance"));
            format!("in order: {file}{dir} ({files}, {instances})", dir = Path::new(dir).display())
        }
    }
}

/// Has the agent read its configuration again.
pub(super) async fn reload(client: &mut Client, args: &ReloadArgs) -> anyhow::Result<Exit> {
    let reloaded = match client.call(Request::Reload {}).await? {
        Response::Reloaded(reloaded) => *reloaded,
        other => return Err(unexpected(&other)),
    };
    let exit = if reloaded.problems.is_empty() { Exit::Done } else { Exit::Failed };
    let mut out = Output::new();
    if args.json {
        out.json(&reloaded)?;
        return Ok(exit);
    }
    let Reloaded { added, changed, removed, kept, restart_for, warnings, problems } = &reloaded;
    warnings.iter().for_each(|warning| output::say(&format!("warning: {warning}")));
    problems.iter().for_each(|problem| output::say(&format!("error: {problem}")));
    let has_changed = !(added.is_empty() && changed.is_empty() && removed.is_empty());
    if exit == Exit::Failed && !has_changed {
        output::say("nothing is changed");
        return Ok(exit);
    }
    for (what, ids) in [("added", added), ("changed", changed), ("removed", removed)] {
        for id in ids {
            out.line(&format!("{what:<8} {id}"))?;
        }
    }
    out.line(&format!("kept     {kept}"))?;
    for key in restart_for {
        out.line(&format!("restart  {key}: the new value counts from the next start"))?;
    }
    Ok(exit)
}
