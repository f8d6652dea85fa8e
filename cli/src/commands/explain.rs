//! `hobnob explain`.

use hobnob_api::client::Client;
use hobnob_api::{HistoryEvent, HistoryQuery, Request, Response};

use super::unexpected;
use crate::args::ExplainArgs;
use crate::exit::Exit;
use crate::output::{self, Output};

/// The most events that are shown with an explanation.
const LATELY: u32 = 5;

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
        let lately = lately(client, &args.subject).await;
        if !lately.is_empty() {
            out.line("\nlately, as this agent saw it:")?;
            out.line(&output::history(&lately, out.style()))?;
        }
    }
    Ok(Exit::Done)
}

/// The latest events of a name. An earlier agent knows none.
async fn lately(client: &mut Client, subject: &str) -> Vec<HistoryEvent> {
    let query = HistoryQuery {
        subject: Some(subject.to_owned()),
        limit: Some(LATELY),
        ..HistoryQuery::default()
    };
    match client.call(Request::History(query)).await {
        Ok(Response::History(history)) => history.events,
        _ => Vec::new(),
    }
}
