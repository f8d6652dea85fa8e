//! `hobnob template`: files that are rendered from the catalog, and kept up to date.
//!
//! A template is rendered with what is known. What it asks for is found by that, and followed; it is rendered again until all
//! that it asks for is known, and only then its file is written.

mod believed;
mod command;
mod feeds;
mod functions;
mod job;
mod render;
mod telling;
#[cfg(test)]
mod tests;
mod topic;
mod write;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use hobnob_api::client::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::args::TemplateArgs;
use crate::exit::Exit;
use crate::output;
use crate::service_manager;
use crate::signals::{Hangup, StopSignals};

use feeds::Feeds;
use job::{Job, Orders, Pace, Round};

/// Two templates for one file, which would replace it in turn for ever.
#[derive(Debug, thiserror::Error)]
#[error("two templates have the destination {}", .0.display())]
pub(crate) struct OneDestination(PathBuf);

/// Keeps files until a signal ends it, or writes them once.
pub(crate) async fn run(
    args: TemplateArgs,
    socket: PathBuf,
    within: Duration,
) -> anyhow::Result<Exit> {
    let mut destinations = HashSet::new();
    for spec in &args.templates {
        if !destinations.insert(one_name(&spec.destination)) {
            bail!(OneDestination(spec.destination.clone()));
        }
    }
    let feeds = Arc::new(Feeds::new(socket.clone(), within));
    let pace = Pace { wait: args.wait, command_timeout: args.command_timeout };
    let jobs = args.templates.into_iter();
    let jobs =
        jobs.map(|spec| Job::new(spec, feeds.clone(), pace, args.json).map_err(|e| anyhow!(e)));
    let jobs = jobs.collect::<anyhow::Result<Vec<_>>>()?;
    if args.once || args.dry_run {
        Client::connect(&socket).await?;
        let mut signals = StopSignals::new(Hangup::Stops)?;
        return tokio::select! {
            exit = once(jobs, &feeds, args.dry_run) => exit,
            signal = signals.next() => bail!("stopped by {signal}"),
        };
    }
    keep(jobs).await
}

/// The path without links, as far as there is one.
fn one_name(path: &Path) -> PathBuf {
    if let Ok(file) = path.canonicalize() {
        return file;
    }
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new(".")).canonicalize();
    match (folder, path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// Writes all files once, or prints what would be written. What fails keeps no other file from being written.
async fn once(jobs: Vec<Job>, feeds: &Feeds, is_dry: bool) -> anyhow::Result<Exit> {
    let mut exit = Exit::Done;
    for mut job in jobs {
        let rendered = tokio::select! {
            // What is known is good enough, also of an agent that went away after it had told.
            biased;
            rendered = job.rendered() => rendered,
            error = away(feeds) => bail!("{error}"),
        };
        let is_empty = !rendered.notes.without_instances.is_empty();
        let round = match (is_dry, &rendered.text) {
            (true, Ok(text)) => {
                job.telling.note(&job.spec, rendered.notes.clone());
                match write::compare(&job.spec.destination, text) {
                    Ok(difference) => {
                        job.telling.dry(&job.spec, difference, text)?;
                        Round::Done
                    }
                    Err(error) => {
                        job.telling.problem(&error.message, &error.help);
                        Round::Failed
                    }
                }
            }
            _ => job.put(rendered, false).await?,
        };
        exit = match (round, exit) {
            (Round::Failed | Round::NotRendered, _) | (_, Exit::Failed) => Exit::Failed,
            (Round::Done, _) if is_empty => Exit::NothingMatched,
            (Round::Done, exit) => exit,
        };
    }
    Ok(exit)
}

/// Waits until the agent does not answer. Returns why.
async fn away(feeds: &Feeds) -> String {
    let mut ticks = feeds.ticks();
    loop {
        if let Some(error) = feeds.away() {
            return error;
        }
        // The error is that the feeds are gone, which are borrowed here.
        let _ = ticks.changed().await;
    }
}

/// Keeps all files until a signal. A command under way ends before this does, unless there is a second signal.
async fn keep(jobs: Vec<Job>) -> anyhow::Result<Exit> {
    let mut signals = StopSignals::new(Hangup::Reloads)?;
    let hangups = signals.reloads();
    let (stop, read_again) = (watch::Sender::new(false), watch::Sender::new(0));
    let ready = watch::Sender::new(0);
    let count = jobs.len();
    let mut keeping = JoinSet::new();
    for job in jobs {
        let orders = Orders { stop: stop.subscribe(), read_again: read_again.subscribe() };
        keeping.spawn(job.keep(orders, ready.clone()));
    }
    let mut rendered = ready.subscribe();
    let mut is_ready = false;
    loop {
        tokio::select! {
            _ = signals.next() => break,
            Some(ended) = keeping.join_next() => {
                ended.context("a template ended")??;
                bail!("a template ended before it was told to");
            }
            Ok(_) = rendered.wait_for(|rendered| *rendered == count), if !is_ready => {
                is_ready = true;
                service_manager::keeps(count).await;
            }
            () = hangups.notified() => {
                output::say("reading the templates again");
                read_again.send_modify(|count| *count += 1);
            }
        }
    }
    stop.send_replace(true);
    service_manager::stopping("ending").await;
    loop {
        tokio::select! {
            ended = keeping.join_next() => match ended {
                Some(ended) => ended.context("a template ended")??,
                None => return Ok(Exit::Done),
            },
            signal = signals.next() => {
                output::say(&format!("stopped at once by {signal}"));
                return Ok(Exit::Failed);
            }
        }
    }
}
