//! Reads the configuration again: when it is asked to, and when the directory of service definitions changes.

mod watch;

use std::path::PathBuf;

use hobnob_api::names::printable;
use hobnob_api::{ApiError, EventKind, Reloaded};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::actor::{Reply, ask};
use crate::config::{Problem, StartedWith};
use crate::definitions::Definitions;
use crate::history::{By, Event, History};
use crate::registrations::RegistrationsHandle;
use watch::Watch;

/// Reloads that wait for one another; further ones wait with whoever asks.
const MAX_WAITING: usize = 16;
/// The characters of a problem that are told.
const MAX_PROBLEM_CHARS: usize = 500;

/// Asks an agent to read its configuration again. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reloader(mpsc::Sender<Command>);

#[derive(Debug)]
struct Command {
    cause: &'static str,
    reply: Reply<Result<Reloaded, ApiError>>,
}

impl Reloader {
    /// Reads the configuration again. `cause` stands in the log. With a problem in any file nothing is changed, and the
    /// answer has the problems.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn reload(&self, cause: &'static str) -> Result<Reloaded, ApiError> {
        ask(&self.0, |reply| Command { cause, reply }).await?
    }
}

#[cfg(test)]
impl Reloader {
    /// One without a task, to test what needs none.
    pub(crate) fn stopped() -> Self {
        Self(mpsc::channel(1).0)
    }
}

/// The task. See the module.
pub(crate) struct Reloading {
    dir: Option<PathBuf>,
    script_checks: bool,
    started_with: StartedWith,
    registrations: RegistrationsHandle,
    commands: mpsc::Receiver<Command>,
    history: History,
}

impl Reloading {
    pub(crate) fn new(
        dir: Option<PathBuf>,
        script_checks: bool,
        started_with: StartedWith,
        registrations: RegistrationsHandle,
        history: History,
    ) -> (Self, Reloader) {
        let (asked, commands) = mpsc::channel(MAX_WAITING);
        let this = Self { dir, script_checks, started_with, registrations, commands, history };
        (this, Reloader(asked))
    }

    /// Runs until the agent stops.
    pub(crate) async fn run(mut self) {
        let (changed, mut changes) = mpsc::channel(1);
        let mut watch =
            self.dir.as_deref().and_then(|dir| Watch::start(dir, changed.clone(), true));
        loop {
            let command = tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => Some(command),
                    None => return,
                },
                Some(()) = changes.recv() => None,
            };
            // Before the files are read, so that no change after that is missed. The directory may be another one by now.
            let again = self
                .dir
                .as_deref()
                .and_then(|dir| Watch::start(dir, changed.clone(), watch.is_some()));
            watch = again;
            match command {
                Some(Command { cause, reply }) => reply.send(self.reload(cause, true).await),
                // The error is that the agent is stopping.
                None => drop(self.reload("a change in the directory", false).await),
            }
        }
    }

    /// Reads the files and makes what they define, if all of them are in order. `whole` says that the configuration file
    /// is read, too.
    async fn reload(&self, cause: &'static str, whole: bool) -> Result<Reloaded, ApiError> {
        let (dir, started_with) = (self.dir.clone(), self.started_with.clone());
        let script_checks = self.script_checks;
        let read = spawn_blocking(move || {
            // Problems of the configuration file stand while only the definitions are read anew.
            let (restart_for, standing) = match started_with.changed() {
                changed if whole => (changed, Vec::new()),
                changed => (Ok(Vec::new()), changed.err().unwrap_or_default()),
            };
            let definitions = dir.map_or_else(
                || Ok(Definitions::default()),
                |dir| Definitions::read(&dir, script_checks),
            );
            let read = match (restart_for, definitions) {
                (Ok(restart_for), Ok(definitions)) => Ok((restart_for, definitions)),
                (restart_for, definitions) => {
                    let problems = restart_for.err().into_iter().chain(definitions.err());
                    Err(problems.flatten().collect::<Vec<_>>())
                }
            };
            (read, texts(&standing))
        });
        let (read, standing) = match read.await {
            Ok((read, standing)) => (Ok(read), standing),
            Err(ended) => (Err(ended), Vec::new()),
        };
        let reloaded = match read {
            Ok(Ok((restart_for, Definitions { definitions, warnings, .. }))) => {
                let warnings = texts(&warnings);
                match self.registrations.define(definitions).await {
                    Ok(defined) => Reloaded { restart_for, warnings, ..defined },
                    Err(error) => self.broken(vec![error.message]),
                }
            }
            Ok(Err(problems)) => self.broken(texts(&problems)),
            Err(ended) => self.broken(vec![format!("the files could not be read: {ended}")]),
        };
        self.registrations.set_file_problems(&[&reloaded.problems[..], &standing].concat());
        tell(cause, &reloaded, whole);
        self.record(cause, &reloaded, whole);
        Ok(reloaded)
    }
}

impl Reloading {
    /// The answer when nothing is changed because of these problems.
    fn broken(&self, problems: Vec<String>) -> Reloaded {
        Reloaded { problems, kept: self.registrations.defined(), ..Reloaded::default() }
    }

    /// Records what came of a reload. One that nobody asked for and that changes nothing is no event.
    fn record(&self, cause: &str, reloaded: &Reloaded, was_asked: bool) {
        let Reloaded { added, changed, removed, problems, .. } = reloaded;
        let (added, changed, removed) = (added.len(), changed.len(), removed.len());
        let has_changed = added + changed + removed > 0;
        let event = |kind| Event::new(kind, By::agent());
        if let Some(problem) = problems.first() {
            let why = format!("{cause}: {problem}");
            self.history.record(event(EventKind::ReloadFailed).why(&why));
        } else if has_changed || was_asked {
            let why = format!("{cause}: {added} added, {changed} changed, {removed} removed");
            self.history.record(event(EventKind::Reloaded).why(&why));
        }
    }
}

/// Problems as they are told. A file may have any bytes in its name and its values, and as many.
fn texts(problems: &[Problem]) -> Vec<String> {
    let text = |problem: &Problem| {
        let whole = problem.to_string();
        let printable = printable(&whole);
        match printable.char_indices().nth(MAX_PROBLEM_CHARS) {
            Some((end, _)) => format!("{}...", &printable[..end]),
            None => printable.into_owned(),
        }
    };
    problems.iter().map(text).collect()
}

/// Logs what came of a reload. One that nobody asked for and that changes nothing is not worth a line.
pub(crate) fn tell(cause: &str, reloaded: &Reloaded, was_asked: bool) {
    let Reloaded { added, changed, removed, kept, restart_for, warnings, problems } = reloaded;
    for warning in warnings {
        tracing::warn!(cause, "{warning}");
    }
    for problem in problems {
        tracing::error!(cause, "{problem}");
    }
    let has_changed = !(added.is_empty() && changed.is_empty() && removed.is_empty());
    if !problems.is_empty() && !has_changed {
        tracing::error!(
            cause,
            problems = problems.len(),
            "the configuration was not read again, and nothing is changed: correct the files first"
        );
    } else if has_changed || was_asked {
        tracing::info!(cause, ?added, ?changed, ?removed, kept, "read the configuration");
    }
    if !restart_for.is_empty() {
        tracing::warn!(keys = ?restart_for, "settings of the configuration file changed: they count from the next start");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn problems_are_told_in_one_line_of_some_length() {
        let file = Path::new("ev\nil.toml");
        let short = Problem::of(file, Some(1), "there is no key `x`");
        let long = Problem::new("9".repeat(300_000));
        let told = texts(&[short, long]);
        assert_eq!(told[0], "ev\\nil.toml:1: there is no key `x`");
        assert_eq!(told[1].len(), MAX_PROBLEM_CHARS + "...".len());
    }
}
