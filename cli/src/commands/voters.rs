//! `hobnob voters`.

use hobnob_api::client::Client;
use hobnob_api::names::printable;
use hobnob_api::{Response, VoterStanding, Voters};

use super::{keys, unexpected};
use crate::args::{VotersArgs, VotersCommand};
use crate::exit::Exit;
use crate::output::{self, Output};

/// Lists the voters, or carries out an order about them.
pub(super) async fn run(client: &mut Client, args: &VotersArgs) -> anyhow::Result<Exit> {
    let request = match &args.command {
        Some(VotersCommand::Set(args)) => keys::set_voters(client, args).await?,
        _ => args.request(),
    };
    let voters = match client.call(request).await? {
        Response::Voters(voters) => voters,
        other => return Err(unexpected(&other)),
    };
    if let Some(warning) = warning(&voters) {
        output::say(&warning);
    }
    let mut out = Output::new().wide(args.table.wide);
    if args.json() {
        out.json(&voters)?;
    } else if voters.voters.is_empty() && voters.own.standing == VoterStanding::Stopped {
        output::say(&format!(
            "this agent does not know whether the datacenter {} has voters",
            printable(&voters.datacenter)
        ));
    } else if voters.voters.is_empty() {
        output::say(&format!(
            "the datacenter {} has no voters that this agent knows of: `hobnob voters set` makes 3 or 5 of its agents voters",
            printable(&voters.datacenter)
        ));
    } else {
        out.line(&output::voters(&voters, out.style()))?;
    }
    Ok(Exit::Done)
}

/// The warning about the agent that answers, if something is wrong with it.
fn warning(voters: &Voters) -> Option<String> {
    let own = &voters.own;
    let problem = own.problem.as_ref().map(|problem| printable(problem).into_owned());
    match own.standing {
        VoterStanding::Stopped => Some(format!(
            "warning: this agent does not vote: {}",
            problem.unwrap_or_else(|| "it did not say why".to_owned())
        )),
        VoterStanding::Doubtful => Some(
            "warning: this agent is a voter and does not vote yet: it has no proof that its disk is the last state of it, and reads from the other voters".to_owned(),
        ),
        VoterStanding::Lost => Some(
            "warning: this agent is a voter and does not vote yet: it lost what it kept, and reads it from the other voters".to_owned(),
        ),
        VoterStanding::NoVoter | VoterStanding::Votes => None,
    }
}
