//! One template: what it asks for, its text, its file and its command.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::command;
use super::feeds::{Feed, Feeds};
use super::render::{self, Rendered};
use super::telling::Telling;
use super::topic::{Topic, View};
use super::write::{self, Difference, Unwritten};
use crate::args::{TemplateSpec, Wait};

/// The topics that one template may ask for.
const MAX_TOPICS: usize = 256;
/// The wait after the first failure. It doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// How templates are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) wait: Wait,
    pub(super) command_timeout: Duration,
}

/// A template that is kept.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) spec: TemplateSpec,
    source: String,
    feeds: Arc<Feeds>,
    ticks: watch::Receiver<u64>,
    /// What the template asks for, each with the version that was rendered last.
    following: HashMap<Topic, (Arc<Feed>, u64)>,
    pace: Pace,
    pub(super) telling: Telling,
    /// Whether the command has to run for what was written.
    owes_command: bool,
    /// Failures in a row, of writing and of the command.
    failures: u32,
}

/// The end of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// The file is written, and the command has run.
    Done,
    /// Something failed.
    Failed,
    /// The template cannot be rendered.
    NotRendered,
}

/// What a job is woken by.
enum Wake {
    /// Something that it asks for has changed.
    Change,
    /// It is time to try again.
    Retry,
}

/// The orders to all jobs.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    pub(super) stop: watch::Receiver<bool>,
    /// Counts the orders to read the templates again.
    pub(super) read_again: watch::Receiver<u64>,
}

impl Job {
    /// Reads a template.
    ///
    /// # Errors
    /// It cannot be read, or its syntax is wrong.
    pub(super) fn new(
        spec: TemplateSpec,
        feeds: Arc<Feeds>,
        pace: Pace,
        json: bool,
    ) -> Result<Self, String> {
        let source = read(&spec.template)?;
        let (ticks, telling) = (feeds.ticks(), Telling::new(json));
        let (following, owes_command, failures) = (HashMap::new(), false, 0);
        Ok(Self { spec, source, feeds, ticks, following, pace, telling, owes_command, failures })
    }

    /// Keeps the file until it is told to stop. `ready` counts the templates that were rendered.
    ///
    /// # Errors
    /// The reader of our output is gone.
    pub(super) async fn keep(
        mut self,
        mut orders: Orders,
        ready: watch::Sender<usize>,
    ) -> io::Result<()> {
        let mut is_ready = false;
        loop {
            let rendered = tokio::select! {
                rendered = self.rendered() => rendered,
                () = stopped(&mut orders.stop) => return Ok(()),
                () = told_again(&mut orders.read_again) => {
                    self.read_again();
                    continue;
                }
            };
            let round = self.put(rendered, true).await?;
            if round != Round::NotRendered && !std::mem::replace(&mut is_ready, true) {
                ready.send_modify(|count| *count += 1);
            }
            let retry_at = (round == Round::Failed).then(|| Instant::now() + self.retry_in());
            tokio::select! {
                biased;
                () = stopped(&mut orders.stop) => return Ok(()),
                () = told_again(&mut orders.read_again) => self.read_again(),
                wake = self.woken(retry_at) => if let Wake::Change = wake {
                    tokio::select! {
                        () = self.quiet() => {}
                        () = stopped(&mut orders.stop) => return Ok(()),
                    }
                }
            }
        }
    }

    /// Renders until all is known that the template asks for. Cancelling it loses nothing.
    pub(super) async fn rendered(&mut self) -> Rendered {
        loop {
            self.ticks.mark_unchanged();
            let view = self.view();
            let mut rendered = render::render(&self.spec.template, &self.source, view);
            if rendered.asked.len() > MAX_TOPICS {
                rendered.is_complete = true;
                rendered.text = Err(format!(
                    "{}: it asks for more than {MAX_TOPICS} services one by one: ask for services() in it, which tells of all",
                    self.spec.template.display()
                ));
                return rendered;
            }
            for topic in &rendered.asked {
                if !self.following.contains_key(topic) {
                    self.following.insert(topic.clone(), (self.feeds.follow(topic), 0));
                }
            }
            if rendered.is_complete {
                self.following.retain(|topic, _| rendered.asked.contains(topic));
                return rendered;
            }
            // The error is that the feeds are gone, which this job holds.
            let _ = self.ticks.changed().await;
        }
    }

    /// Writes the text and runs the command, as far as that is due. With `retries` the line about a failure says when it is tried
    /// again.
    ///
    /// # Errors
    /// The reader of our output is gone.
    pub(super) async fn put(&mut self, rendered: Rendered, retries: bool) -> io::Result<Round> {
        let text = match rendered.text {
            Ok(text) => text,
            Err(error) => {
                self.telling.problem(&error, "correct the template: its file stays as it is");
                return Ok(Round::NotRendered);
            }
        };
        self.telling.note(&self.spec, rendered.notes);
        let destination = self.spec.destination.clone();
        // A slow disk must not keep us from a signal.
        let written = spawn_blocking(move || write::write(&destination, &text)).await;
        match written.map_err(io::Error::other)? {
            Ok(Difference::Unchanged) if retries => {}
            Ok(Difference::Unchanged) => self.telling.unchanged(&self.spec)?,
            Ok(Difference::New | Difference::Changed) => {
                self.owes_command = self.spec.command.is_some();
                self.telling.written(&self.spec)?;
            }
            Err(Unwritten { message, help }) => {
                self.telling.problem(&message, &help);
                self.failures += 1;
                return Ok(Round::Failed);
            }
        }
        self.telling.no_problem();
        self.run_command(retries).await
    }

    async fn run_command(&mut self, retries: bool) -> io::Result<Round> {
        let Some(command) = self.spec.command.as_ref().filter(|_| self.owes_command) else {
            self.failures = 0;
            return Ok(Round::Done);
        };
        match command::run(command, self.pace.command_timeout).await {
            Ok(took) => {
                self.telling.ran(&self.spec, command, took)?;
                (self.owes_command, self.failures) = (false, 0);
                Ok(Round::Done)
            }
            Err(error) => {
                self.failures += 1;
                let again = retries.then(|| self.retry_in());
                self.telling.failed(&self.spec, command, &error.to_string(), again)?;
                Ok(Round::Failed)
            }
        }
    }

    /// What is known now. The versions are noted before, so that no change is missed.
    fn view(&mut self) -> View {
        let looked = self.following.iter_mut().filter_map(|(topic, (feed, version))| {
            *version = feed.version();
            Some((topic.clone(), feed.look()?))
        });
        looked.collect()
    }

    fn has_changed(&self) -> bool {
        self.following.values().any(|(feed, version)| feed.version() != *version)
    }

    /// Waits for a change of what the template asks for, or until a time.
    async fn woken(&mut self, retry_at: Option<Instant>) -> Wake {
        let retry = async {
            match retry_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(retry);
        loop {
            self.ticks.mark_unchanged();
            if self.has_changed() {
                return Wake::Change;
            }
            tokio::select! {
                _ = self.ticks.changed() => {}
                () = &mut retry => return Wake::Retry,
            }
        }
    }

    /// Waits for the end of a burst of changes, for so long at most.
    async fn quiet(&mut self) {
        let Wait { quiet, longest } = self.pace.wait;
        let end = Instant::now() + longest;
        let mut versions = self.versions();
        let mut quiet_at = Instant::now() + quiet;
        while let Ok(Ok(())) = timeout_at(quiet_at.min(end), self.ticks.changed()).await {
            let now = self.versions();
            if now != versions {
                (versions, quiet_at) = (now, Instant::now() + quiet);
            }
        }
    }

    fn versions(&self) -> Vec<u64> {
        self.following.values().map(|(feed, _)| feed.version()).collect()
    }

    fn retry_in(&self) -> Duration {
        retry_after(self.failures)
    }

    /// Reads the template again. One that cannot be used leaves the one before in use.
    fn read_again(&mut self) {
        match read(&self.spec.template) {
            Ok(source) => {
                self.source = source;
                self.telling.no_problem();
            }
            Err(problem) => {
                self.telling.problem(&problem, "the template stays as it was read before");
            }
        }
    }
}

/// Waits for the order to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The error is that whoever gives orders is gone, which is one to stop.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Waits for the next order to read the template again.
async fn told_again(orders: &mut watch::Receiver<u64>) {
    if orders.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The wait after so many failures in a row.
fn retry_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST_RETRY * (1 << doublings)).min(LONGEST_RETRY)
}

/// Reads a template and checks its syntax.
fn read(template: &Path) -> Result<String, String> {
    // A pipe may have no end.
    let is_file = fs::metadata(template).map(|found| found.is_file());
    let source = is_file.and_then(|is_file| match is_file {
        true => fs::read_to_string(template),
        false => Err(io::Error::other("it is not a regular file")),
    });
    let source = source
        .map_err(|error| format!("cannot read the template {}: {error}", template.display()))?;
    render::check(template, &source)?;
    Ok(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_minute() {
        let waits: Vec<u64> = (1..=9).map(|failures| retry_after(failures).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(retry_after(u32::MAX), LONGEST_RETRY);
    }
}
