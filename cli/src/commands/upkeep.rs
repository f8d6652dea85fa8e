//! `hobnob maintenance` and `hobnob drain`.

use hobnob_api::client::Client;
use hobnob_api::names::printable;
use hobnob_api::{Request, Response};
use serde_json::json;

use super::register::{Told, tell};
use super::unexpected;
use crate::args::{DrainArgs, MaintenanceArgs};
use crate::exit::Exit;
use crate::output::Output;

/// Begins or ends a maintenance.
pub(super) async fn maintenance(
    client: &mut Client,
    args: MaintenanceArgs,
) -> anyhow::Result<Exit> {
    let on = args.is_on();
    let MaintenanceArgs { id, reason, json, .. } = args;
    let is_agent = id.is_none();
    match client.call(Request::Maintenance { on, id, reason }).await? {
        Response::Maintained { instances, still_out, unchanged } if json => {
            let told = json!({
                "in_maintenance": on, "instances": instances, "still_out": still_out, "unchanged": unchanged,
            });
            Output::new().json(&told)?;
            Ok(Exit::Done)
        }
        Response::Maintained { instances, still_out, unchanged } => {
            let is = match (on, unchanged) {
                (true, false) => "is in maintenance",
                (true, true) => "was in maintenance already",
                (false, false) => "is no longer in maintenance",
                (false, true) => "was not in maintenance",
            };
            let mut out = Output::new();
            if is_agent {
                let count = instances.len();
                out.line(&format!("this agent {is}, with its {}", counted(count, "instance")))?;
            } else {
                for id in &instances {
                    out.line(&format!("{} {is}", printable(id)))?;
                }
            }
            for id in &still_out {
                let reason = if is_agent {
                    "of its own maintenance or drain"
                } else {
                    "this agent is in maintenance"
                };
                out.line(&format!("{} stays out: {reason}", printable(id)))?;
            }
            Ok(Exit::Done)
        }
        other => Err(unexpected(&other)),
    }
}

/// A number of things, such as `1 instance`.
fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Begins or stops a drain, and waits for its end if that was asked for.
pub(super) async fn drain(client: &mut Client, args: &DrainArgs) -> anyhow::Result<Exit> {
    let request = args.to_request();
    let (stop, waited, for_ms) = (request.stop, request.acked_percent.is_some(), request.for_ms);
    match client.call(Request::Drain(request)).await? {
        Response::Drained { id, ack } => {
            let told = Told { instance: &id, ack: ack.as_ref(), ..Told::default() };
            let id = printable(&id);
            let done = match (stop, waited) {
                (true, _) => format!("{id} has its share of the calls back"),
                (false, true) => format!("{id} is drained"),
                (false, false) => {
                    format!(
                        "{id} drains: its share of the calls is nothing in {} s",
                        for_ms.div_ceil(1_000)
                    )
                }
            };
            let told = Told { draining: Some(!stop), ..told };
            tell(&done, &told, args.json, Exit::Unconfirmed)
        }
        other => Err(unexpected(&other)),
    }
}
