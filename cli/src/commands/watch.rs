//! `hobnob watch`.

use std::io;
use std::time::SystemTime;

use hobnob_api::client::{Client, WatchEvent};
use hobnob_api::{Changes, Instances, WatchQuery};

use crate::args::WatchArgs;
use crate::exit::Exit;
use crate::output::{self, Output};

/// Prints the instances of a service, then every change, until the agent stops or the reader closes the output.
pub(super) async fn run(client: Client, args: &WatchArgs) -> anyhow::Result<Exit> {
    let query = WatchQuery::from(args);
    let service = query.service.clone();
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
