//! `hobnob watch`.

use std::io;
use std::time::SystemTime;

use hobnob_api::client::{Client, WatchEvent};
use hobnob_api::names::printable;
use hobnob_api::{Changes, Datacenters, Instances, Request, Response, WatchQuery};

use super::unexpected;
use crate::args::WatchArgs;
use crate::exit::Exit;
use crate::output::{self, Output};

/// Warns of datacenters that the query names and the agent does not know.
async fn warn_of_unknown(client: &mut Client, asked: &Datacenters) -> anyhow::Result<()> {
    if asked.is_all() {
        return Ok(());
    }
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

/// Prints the instances of a service, then every change, until the agent stops or the reader closes the output.
pub(super) async fn run(mut client: Client, args: &WatchArgs) -> anyhow::Result<Exit> {
    let query = WatchQuery::from(args);
    let service = query.service.clone();
    warn_of_unknown(&mut client, &query.datacenter).await?;
    let mut watch = client.watch(query).await?;
    let mut out = Output::new();
    while let Some(event) = watch.next().await {
        let event = event?;
        if let WatchEvent::Instances(now) = &event {
            output::warn_if_isolated(now.isolated);
            output::warn_if_not_healthy(now.instances.iter().filter(|one| one.offered));
            if now.instances.is_empty() {
                output::say(&format!("no instance of `{service}` yet: waiting for one"));
            }
        }
        print(&mut out, &event, args.json)?;
    }
    Ok(Exit::Done)
}

fn print(out: &mut Output, event: &WatchEvent, json: bool) -> io::Result<()> {
    if json {
        return out.json(event);
    }
    let (WatchEvent::Instances(Instances { instances, .. })
    | WatchEvent::Changes(Changes { instances, .. })) = event;
    for instance in instances {
        let line = output::watch_line(instance, SystemTime::now(), out.style());
        out.line(&line)?;
    }
    Ok(())
}
