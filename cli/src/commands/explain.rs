//! `hobnob explain`.

use hobnob_api::client::Client;
use hobnob_api::{Request, Response};

use super::unexpected;
use crate::args::ExplainArgs;
use crate::exit::Exit;
use crate::output::{self, Output};

/// Says why each member and instance with a name has its status.
pub(super) async fn explain(client: &mut Client, args: &ExplainArgs) -> anyhow::Result<Exit> {
    let request = Request::Explain { subject: args.subject.clone() };
    let explanation = match client.call(request).await? {
        Response::Explained(explanation) => explanation,
        other => return Err(unexpected(&other)),
    };
    let mut out = Output::new();
    if args.json {
        out.json(&explanation)?;
    } else {
        out.line(&output::explanation(&explanation, out.style()))?;
    }
    Ok(Exit::Done)
}
