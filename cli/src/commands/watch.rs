//! `hobnob watch`.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use hobnob_api::client::{Client, ClientError};
use hobnob_api::names::printable;
use hobnob_api::{
    Datacenters, Event, Follow, Followed, Instance, InstanceStatus, MemberPicture, MembersEvent,
    Picture, Request, Reset, Response, Subject, Told, Watch, WatchEvent, likely_cause,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::unexpected;
use crate::args::{WatchArgs, Watched};
use crate::exit::Exit;
use crate::output::{self, Output};

/// Prints what is there, then every change, until the agent stops or the reader closes the output; with --retry, over
/// restarts of the agent.
pub(super) async fn run(
    socket: PathBuf,
    within: Duration,
    args: &WatchArgs,
) -> anyhow::Result<Exit> {
    let watched = Watched::from(args);
    let datacenter = match &watched {
        Watched::Service(query) => &query.datacenter,
        Watched::All(query) => &query.datacenter,
        Watched::Members(query) => &query.datacenter,
    };
    match warn_of_unknown(&socket, within, datacenter).await {
        // With --retry the agent may be away.
        Err(error) if !args.retry => return Err(error),
        _ => {}
    }
    let json = args.json;
    match watched {
        Watched::Service(query) => {
            let service = Some(query.service.clone());
            let source = Source::begin(socket, within, args.retry, query).await?;
            instances(source, service, json).await
        }
        Watched::All(query) => {
            let source = Source::begin(socket, within, args.retry, query).await?;
            instances(source, None, json).await
        }
        Watched::Members(query) => {
            let source = Source::begin(socket, within, args.retry, query).await?;
            members(source, json).await
        }
    }
}

/// Warns of datacenters that the query names and the agent does not know.
async fn warn_of_unknown(
    socket: &Path,
    within: Duration,
    asked: &Datacenters,
) -> anyhow::Result<()> {
    if asked.is_all() {
        return Ok(());
    }
    let mut client = Client::connect(socket).await?.answer_within(within);
    let known = match client.call(Request::Datacenters {}).await? {
        Response::Datacenters(list) => list.datacenters,
        other => return Err(unexpected(&other)),
    };
    for name in asked.names().filter(|name| known.iter().all(|known| known.name != *name)) {
        output::say(&format!(
            "warning: no datacenter `{}` is known: `hobnob datacenters` lists those that are",
            printable(name)
        ));
    }
    Ok(())
}

/// Events of one connection, or of as many as it takes.
enum Source<S: Subject> {
    Once(Box<Watch<S::Event>>),
    Retried(Box<Follow<S>>),
}

impl<S: Subject> Source<S> {
    async fn begin(
        socket: PathBuf,
        within: Duration,
        retry: bool,
        subject: S,
    ) -> Result<Self, ClientError> {
        if retry {
            return Ok(Self::Retried(Box::new(Follow::new(socket, within, subject))));
        }
        let client = Client::connect(socket).await?.answer_within(within);
        Ok(Self::Once(Box::new(client.follow(&subject).await?)))
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> anyhow::Result<Option<(S::Event, Told)>> {
        match self {
            Self::Once(watch) => match watch.next().await {
                Some(event) => Ok(Some((event?, watch.told().clone()))),
                None => Ok(None),
            },
            Self::Retried(follow) => loop {
                match follow.next().await? {
                    Followed::Event(event, told) => return Ok(Some((event, told))),
                    Followed::Away(error) => {
                        output::say(&format!("{error}: trying again until one answers"));
                    }
                }
            },
        }
    }
}

/// Says why everything is told again.
fn explain(reset: Option<Reset>) {
    let why = match reset {
        None => return,
        Some(Reset::OtherRun) => "the agent restarted; whole picture again",
        Some(Reset::TooOld) => {
            "the agent no longer holds the changes since that revision; whole picture again"
        }
        Some(Reset::FellBehind) => {
            "this watch fell behind the changes that the agent holds; whole picture again"
        }
        Some(Reset::Unknown) => "the agent cannot go on where the watch was; whole picture again",
    };
    output::say(why);
}

async fn instances<S: Subject<Event = WatchEvent>>(
    mut source: Source<S>,
    service: Option<String>,
    json: bool,
) -> anyhow::Result<Exit> {
    let mut out = Output::new();
    let mut picture = Picture::default();
    while let Some((event, told)) = source.next().await? {
        explain(told.reset);
        let vanished = picture.take(&event);
        if let WatchEvent::Instances(now) = &event {
            output::warn_if_isolated(now.isolated);
            if let Some(service) = &service {
                output::warn_if_not_healthy(now.instances.iter().filter(|one| one.offered));
                if now.instances.is_empty() {
                    output::say(&format!("no instance of `{service}` yet: waiting for one"));
                }
            }
        }
        if json {
            out.json(&in_json(&event, &told, &vanished)?)?;
            continue;
        }
        let told = match &event {
            WatchEvent::Instances(now) => &now.instances,
            WatchEvent::Changes(changes) => &changes.instances,
        };
        let gone = vanished.into_iter().map(|instance| Instance {
            status: InstanceStatus::Gone,
            offered: false,
            ..instance
        });
        for instance in gone.collect::<Vec<_>>().iter().chain(told) {
            let line = output::watch_line(instance, SystemTime::now(), out.style());
            match &service {
                Some(_) => out.line(&line)?,
                None => out.line(&format!("{line}  {}", output::service_of(instance)))?,
            }
        }
    }
    Ok(Exit::Done)
}

async fn members<S: Subject<Event = MembersEvent>>(
    mut source: Source<S>,
    json: bool,
) -> anyhow::Result<Exit> {
    let mut out = Output::new();
    let mut picture = MemberPicture::default();
    while let Some((event, told)) = source.next().await? {
        explain(told.reset);
        let vanished = picture.take(&event);
        if let MembersEvent::Members(now) = &event {
            output::warn_if_isolated(now.isolated);
            output::warn_of_losses(now);
        }
        if json {
            out.json(&in_json(&event, &told, &vanished)?)?;
            continue;
        }
        let now = SystemTime::now();
        for member in &vanished {
            out.line(&output::member_line("gone", member, now, out.style()))?;
        }
        match &event {
            MembersEvent::Members(all) => {
                for member in &all.members {
                    let (status, _) = output::member_status(member.status);
                    out.line(&output::member_line(status, member, now, out.style()))?;
                }
            }
            MembersEvent::MemberChanges(changes) => {
                for change in &changes.changes {
                    let event = serde_json::to_value(change.event)?;
                    let word = event.as_str().unwrap_or_default();
                    out.line(&output::member_line(word, &change.member, now, out.style()))?;
                }
                for together in &changes.lost_together {
                    out.line(&format!(
                        "{}  lost {} of {} at once: {}",
                        humantime::format_rfc3339_seconds(now),
                        together.lost,
                        together.of,
                        likely_cause(together.lost, together.exited)
                    ))?;
                }
                // What was just lost was told.
                let losses =
                    changes.mass_losses.iter().filter(|_| changes.lost_together.is_empty());
                for line in losses.flat_map(|losses| output::lasting_losses(losses)) {
                    out.line(&format!("{}  {line}", humantime::format_rfc3339_seconds(now)))?;
                }
            }
        }
    }
    Ok(Exit::Done)
}

/// The event as a JSON object: the response of the agent, with what it said beside it and what vanished.
fn in_json<E: Event + Serialize, I: Serialize>(
    event: &E,
    told: &Told,
    vanished: &[I],
) -> anyhow::Result<Value> {
    let mut object = serde_json::to_value(event)?;
    let fields = object.as_object_mut().and_then(|event| event.values_mut().next());
    let fields = fields.and_then(Value::as_object_mut);
    let fields = fields.ok_or_else(|| anyhow!("an event is an object"))?;
    if let Value::Object(more) = serde_json::to_value(told)? {
        fields.extend(more);
    }
    if !vanished.is_empty() {
        fields.insert("vanished".to_owned(), json!(vanished));
    }
    Ok(object)
}
