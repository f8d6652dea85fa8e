//! `hobnob register` and `hobnob deregister`.

use hobnob_api::client::Client;
use hobnob_api::{RegisterOutcome, Registration, Request, Response};

use super::unexpected;
use crate::exit::Exit;
use crate::output::Output;

/// Registers an instance with this agent.
pub(super) async fn register(
    client: &mut Client,
    registration: Registration,
) -> anyhow::Result<Exit> {
    let id = registration.instance_id().to_owned();
    match client.call(Request::Register(registration)).await? {
        Response::Registered { outcome, .. } => Output::new().line(&match outcome {
            RegisterOutcome::Added => format!("registered {id}"),
            RegisterOutcome::Replaced => format!("replaced {id}"),
            RegisterOutcome::Unchanged => format!("{id} is registered so already"),
        })?,
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Done)
}

/// Removes an instance of this agent.
pub(super) async fn deregister(client: &mut Client, id: String) -> anyhow::Result<Exit> {
    match client.call(Request::Deregister { id: id.clone() }).await? {
        Response::Deregistered { .. } => Output::new().line(&format!("deregistered {id}"))?,
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Done)
}
