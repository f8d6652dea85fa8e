//! `hobnob keys rotate`.

use hobnob_agent::system_random;
use hobnob_api::client::Client;
use hobnob_api::{Request, Response, Rotated, Signed};
use hobnob_keys::{Generation, GenerationId};
use serde::Serialize;

use super::credential;
use super::progress::{self, Confirmed, short, when};
use crate::args::KeysRotateArgs;
use crate::commands::unexpected;
use crate::exit::Exit;
use crate::output::{self, Output};

/// The outcome of the order.
#[derive(Serialize)]
struct Outcome<'a> {
    rotated: &'a Rotated,
    #[serde(flatten)]
    confirmed: &'a Confirmed,
}

/// Hands out another generation, and shows who holds it.
pub(super) async fn rotate(client: &mut Client, args: &KeysRotateArgs) -> anyhow::Result<Exit> {
    let generation = match credential::read(&args.signer)? {
        Some(credential) => {
            let keys = progress::ask(client).await?;
            let number = GenerationId::number_after(keys.newest(), keys.revocations.len());
            Some(Signed::new(&Generation::order(number, *system_random()?, &credential)?.encode()))
        }
        None => None,
    };
    let request = Request::Rotate { generation, again: args.again };
    let rotated = match client.call(request).await? {
        // Whether it is kept by now, the survey tells.
        Response::Rotated(rotated) => Rotated { unkept: None, ..rotated },
        other => return Err(unexpected(&other)),
    };
    let (number, hash) = (rotated.number, short(&rotated.hash));
    if rotated.begun {
        output::say(&format!("generation {number} ({hash}) is handed out"));
    } else {
        output::say(&format!(
            "generation {number} ({hash}) is on its way already, and no other was made; --again makes another one"
        ));
    }
    let (keys, confirmed) = progress::follow(client, &args.waiting).await?;
    let mut out = Output::new();
    if args.json {
        out.json(&Outcome { rotated: &rotated, confirmed: &confirmed })?;
    } else if confirmed.is_complete() {
        let (newest, when) = (keys.newest(), when(&keys));
        out.line(&format!("all living members hold generation {newest}; {when}"))?;
    } else {
        out.line(&format!("generation {} is handed out: {}", keys.newest(), confirmed.line()))?;
        output::say(
            "they get it when this agent or another member reaches them; the same command goes on waiting",
        );
    }
    Ok(confirmed.exit())
}
