//! The members that have confirmed an order.

use std::time::{Duration, Instant};

use hobnob_api::client::Client;
use hobnob_api::names::printable;
use hobnob_api::{KeyHolder, Keys, Request, Response};
use serde::Serialize;
use tokio::time::sleep;

use crate::args::WaitArgs;
use crate::commands::unexpected;
use crate::exit::Exit;
use crate::output;

/// The time between two looks at the members.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Members that a line names.
const MAX_NAMED: usize = 8;

/// The members that hold the newest generation and have applied all revocations, and whether the agent that was asked has kept it.
#[derive(Debug, Serialize)]
pub(super) struct Confirmed {
    /// Living members.
    members: usize,
    /// Those of them that have confirmed.
    confirmed: usize,
    /// The names of the others.
    lacking: Vec<String>,
    /// The reason for which the agent that was asked has not kept its keys on its disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    unkept: Option<String>,
    /// Whether the agent that was asked hears no other member, and so can tell nobody.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    isolated: bool,
}

/// Asks which keys the members hold.
pub(super) async fn ask(client: &mut Client) -> anyhow::Result<Box<Keys>> {
    match client.call(Request::Keys {}).await? {
        Response::Keys(keys) => Ok(keys),
        other => Err(unexpected(&other)),
    }
}

/// Follows an order on stderr until all living members have confirmed it, or it takes too long.
pub(super) async fn follow(
    client: &mut Client,
    args: &WaitArgs,
) -> anyhow::Result<(Box<Keys>, Confirmed)> {
    let until = Instant::now() + args.wait;
    let (mut told, mut is_first) = (None, true);
    loop {
        let keys = ask(client).await?;
        output::warn_if_isolated(std::mem::take(&mut is_first) && keys.isolated);
        let confirmed = Confirmed::of(&keys);
        if confirmed.is_complete() || Instant::now() >= until {
            return Ok((keys, confirmed));
        }
        let line = confirmed.line();
        if told.as_ref() != Some(&line) {
            output::say(&line);
            told = Some(line);
        }
        sleep(LOOK_EVERY.min(until.saturating_duration_since(Instant::now()))).await;
    }
}

impl Confirmed {
    pub(super) fn of(keys: &Keys) -> Self {
        let members = keys.members.iter().filter(|member| member.is_live()).count();
        let lacking: Vec<String> = keys.lacking().map(name).collect();
        let (unkept, isolated) = (keys.unkept.clone(), keys.isolated);
        Self { members, confirmed: members - lacking.len(), lacking, unkept, isolated }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.lacking.is_empty() && self.unkept.is_none() && !self.isolated
    }

    pub(super) fn exit(&self) -> Exit {
        if self.is_complete() { Exit::Done } else { Exit::Unconfirmed }
    }

    /// How many have confirmed, and the names of some that have not.
    pub(super) fn line(&self) -> String {
        let Self { members, confirmed, lacking, unkept, isolated } = self;
        let mut line = format!("{confirmed} of {members} living members have confirmed");
        if !lacking.is_empty() {
            let named = &lacking[..lacking.len().min(MAX_NAMED)];
            line += &format!("; not yet: {}", named.join(", "));
        }
        if lacking.len() > MAX_NAMED {
            line += &format!(" and {} more", lacking.len() - MAX_NAMED);
        }
        if *isolated {
            line += "; the agent that was asked is isolated";
        }
        if let Some(reason) = unkept {
            line += &format!(
                "; the agent that was asked has not kept it on its disk: {}",
                printable(reason)
            );
        }
        line
    }
}

fn name(member: &KeyHolder) -> String {
    printable(&member.name).into()
}

/// The first digits of a hash.
pub(super) fn short(hash: &str) -> &str {
    hash.get(..8).unwrap_or(hash)
}

/// When the newest generation comes into use.
pub(super) fn when(keys: &Keys) -> String {
    match &keys.next {
        Some(next) => format!("it comes into use in {}", output::age(next.in_use_in_ms)),
        None => "it is in use".to_owned(),
    }
}
