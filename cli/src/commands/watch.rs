//! `hobnob watch`.

use std::io;
use std::time::SystemTime;

use hobnob_api::client::{Client, WatchEvent};
use hobnob_api::{Instance, WatchQuery};

use crate::args::WatchArgs;
use crate::exit::Exit;
use crate::output::{self, Output};

/// Prints the instances of a service, then every change, until the agent or the reader is gone.
pub(super) async fn run(client: Client, args: &WatchArgs) -> anyhow::Result<Exit> {
    let query = WatchQuery::from(args);
    let service = query.service.clone();
    let mut watch = client.watch(query).await?;
    let mut out = Output::new();
    while let Some(event) = watch.next().await {
        let instances = match event? {
            WatchEvent::Instances(now) => {
                output::warn_if_isolated(now.isolated);
                if now.instances.is_empty() {
                    output::say(&format!("no instance of `{service}` yet: waiting for one"));
                }
                now.instances
            }
            WatchEvent::Changes(changes) => changes.instances,
        };
        for instance in &instances {
            print(&mut out, instance, args.json)?;
        }
    }
    Ok(Exit::Done)
}

fn print(out: &mut Output, instance: &Instance, json: bool) -> io::Result<()> {
    if json {
        out.json(instance)
    } else {
        let line = output::watch_line(instance, SystemTime::now(), out.style());
        out.line(&line)
    }
}
