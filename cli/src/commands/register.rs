//! `hobnob register` and `hobnob deregister`.

use hobnob_api::client::Client;
use hobnob_api::{Registration, Request, Response};

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
        Response::Done => Output::new().line(&format!("registered {id}"))?,
        Response::Replaced => Output::new().line(&format!("replaced {id}"))?,
        Response::Unchanged => Output::new().line(&format!("{id} is registered so already"))?,
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Done)
}

/// Removes an instance of this agent.
pub(super) async fn deregister(client: &mut Client, id: String) -> anyhow::Result<Exit> {
    match client.call(Request::Deregister { id: id.clone() }).await? {
        Response::Done => Output::new().line(&format!("deregistered {id}"))?,
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Done)
}
