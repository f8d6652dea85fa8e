//! `hobnob history`.

use hobnob_api::client::Client;
use hobnob_api::{History, HistoryQuery, Request, Response};

use super::unexpected;
use crate::args::HistoryArgs;
use crate::exit::Exit;
use crate::output::{self, Output};

/// Tells what the agent saw and did.
pub(super) async fn history(client: &mut Client, args: &HistoryArgs) -> anyhow::Result<Exit> {
    let history = match client.call(Request::History(HistoryQuery::from(args))).await? {
        Response::History(history) => history,
        other => return Err(unexpected(&other)),
    };
    let mut out = Output::new().wide(args.table.wide);
    if args.json {
        out.json(&history)?;
    } else if !history.events.is_empty() {
        out.line(&output::history(&history.events, out.style()))?;
    }
    if history.events.is_empty() {
        let (error, help) = nothing(&history, args.subject.as_deref());
        output::say_error(&error, &help);
        return Ok(Exit::NothingMatched);
    }
    if history.more && !args.json {
        output::say("older events match, too: -n shows more of them");
    }
    Ok(Exit::Done)
}

fn nothing(history: &History, subject: Option<&str>) -> (String, String) {
    let member = &history.member;
    match (subject, &history.did_you_mean) {
        (Some(subject), Some(meant)) => (
            format!("`{member}` has no event of `{subject}`"),
            format!("did you mean `{meant}`?"),
        ),
        (Some(subject), None) => (
            format!("`{member}` has no such event of `{subject}`"),
            "the agent that a service is registered with has them: `hobnob resolve` names it as MEMBER"
                .to_owned(),
        ),
        (None, _) => (
            format!("`{member}` has no event of that time"),
            "ask for a longer time with --since".to_owned(),
        ),
    }
}
