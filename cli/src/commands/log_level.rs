//! `hobnob log-level`.

use hobnob_api::client::Client;
use hobnob_api::{LogLevel, Request, Response};

use super::unexpected;
use crate::args::{LogLevelArgs, millis};
use crate::exit::Exit;
use crate::output::{Output, age};

/// Shows the filter of the agent's log, or sets it.
pub(super) async fn run(client: &mut Client, args: LogLevelArgs) -> anyhow::Result<Exit> {
    let filter = match args.reset {
        true => Some(ask(client, None, None).await?.at_start),
        false => args.filter,
    };
    let level = ask(client, filter, args.within.map(millis)).await?;
    let mut out = Output::new();
    if args.json {
        out.json(&level)?;
        return Ok(Exit::Done);
    }
    let LogLevel { filter, at_start, back_in_ms } = &level;
    out.line(&match back_in_ms {
        Some(back_in_ms) => format!("{filter}, and {at_start} again in {}", age(*back_in_ms)),
        None if filter == at_start => filter.clone(),
        None => format!("{filter} ({at_start} at the start)"),
    })?;
    Ok(Exit::Done)
}

async fn ask(
    client: &mut Client,
    filter: Option<String>,
    for_ms: Option<u64>,
) -> anyhow::Result<LogLevel> {
    match client.call(Request::LogLevel { filter, for_ms }).await? {
        Response::LogLevel(level) => Ok(level),
        other => Err(unexpected(&other)),
    }
}
