//! `hobnob keys trust`.

use hobnob_api::client::Client;
use hobnob_api::{Request, Response, Signed, TrustedNow};
use hobnob_keys::{MAX_SUCCESSION_CHARS, Succession};
use serde::Serialize;

use super::progress::{self, Confirmed};
use super::{KeysError, ca_file};
use crate::args::KeysTrustArgs;
use crate::commands::unexpected;
use crate::exit::Exit;
use crate::output::{self, Output};

/// The outcome of the command.
#[derive(Serialize)]
struct Outcome<'a> {
    #[serde(flatten)]
    trusted: &'a TrustedNow,
    #[serde(flatten)]
    confirmed: &'a Confirmed,
}

/// Hands a succession of CA keys to the cluster, and shows who took it.
pub(super) async fn trust(client: &mut Client, args: &KeysTrustArgs) -> anyhow::Result<Exit> {
    let text = ca_file::limited(&args.file, MAX_SUCCESSION_CHARS + 2)?.text;
    let succession = Succession::parse(&text)
        .map_err(|source| KeysError::Succession { path: args.file.clone(), source })?;
    let request = Request::Trust { succession: Signed::new(&succession.encode()) };
    let trusted = match client.call(request).await? {
        // Whether it is kept by now, the survey tells.
        Response::Trusted(trusted) => TrustedNow { unkept: None, ..trusted },
        other => return Err(unexpected(&other)),
    };
    let successor = succession.new_key().fingerprint();
    let verb = if trusted.new { "is trusted" } else { "was trusted before" };
    output::say(&format!("the CA key {successor} {verb} by this agent"));
    let (_, confirmed) = progress::follow(client, &args.waiting).await?;
    let mut out = Output::new();
    if args.json {
        out.json(&Outcome { trusted: &trusted, confirmed: &confirmed })?;
    } else if confirmed.is_complete() {
        out.line(&format!("all living members trust the CA key {successor}"))?;
    } else {
        out.line(&format!("the CA key {successor} {verb}: {}", confirmed.line()))?;
        output::say(
            "they learn of it when this agent or another member reaches them; the same command goes on waiting",
        );
    }
    Ok(confirmed.exit())
}
