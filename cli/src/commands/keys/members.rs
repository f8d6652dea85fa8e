//! Orders about one member that is gone: force-leave and prune.

use hobnob_api::client::Client;
use hobnob_api::{Datacenters, Member, MemberStatus, Members, Request, Response, Signed};
use hobnob_keys::{Command, NodeId};

use super::credential;
use crate::args::{ForceLeaveArgs, PruneArgs, millis};
use crate::commands::unexpected;
use crate::output;

/// The least time that a member has been down or gone, as the agent has it.
const OLDER_THAN_MS: u64 = 60 * 60 * 1_000;
/// Signed orders in one request.
const MAX_SIGNED: usize = 500;

/// The request of a force-leave, signed if a credential is given.
pub(crate) async fn force_leave(
    client: &mut Client,
    args: &ForceLeaveArgs,
) -> anyhow::Result<Request> {
    let member = args.member.clone();
    let Some(credential) = credential::read(&args.signer)? else {
        return Ok(Request::ForceLeave { member, signed: None });
    };
    let known = known(client).await?;
    let mut named: Vec<&Member> = named(&known, &member).collect();
    let is_dead = |one: &&Member| matches!(one.status, MemberStatus::Down | MemberStatus::Replaced);
    if named.iter().filter(|one| is_dead(one)).count() == 1 {
        named.retain(is_dead);
    }
    // The agent says what is wrong with a name that nobody has, or several have.
    let [one] = named[..] else { return Ok(Request::ForceLeave { member, signed: None }) };
    let order = Command::ForceLeave { node_id: NodeId(one.node_id.0), epoch: one.epoch };
    let signed = Signed::new(credential.sign(&order)?.as_bytes());
    Ok(Request::ForceLeave { member: one.node_id.to_string(), signed: Some(signed) })
}

/// The request of a prune, signed if a credential is given.
pub(crate) async fn prune(client: &mut Client, args: &PruneArgs) -> anyhow::Result<Request> {
    let (members, older_than_ms) = (args.members.clone(), args.older_than.map(millis));
    let Some(credential) = credential::read(&args.signer)? else {
        return Ok(Request::Prune { members, older_than_ms, signed: vec![] });
    };
    let known = known(client).await?;
    let least = older_than_ms.unwrap_or(if members.is_empty() { OLDER_THAN_MS } else { 0 });
    let is_named = |one: &&Member| {
        members.is_empty()
            || members.iter().any(|name| named(&known, name).any(|found| found == *one))
    };
    let is_over = |one: &&Member| one.down_ago_ms.is_some_and(|ms| ms >= least);
    let over: Vec<&Member> = known.iter().filter(is_over).filter(is_named).collect();
    if over.len() > MAX_SIGNED {
        output::say(&format!(
            "{} members match, and {MAX_SIGNED} are dropped at a time: the same command goes on",
            over.len()
        ));
    }
    let sign = |one: &&Member| {
        let order = Command::Prune { node_id: NodeId(one.node_id.0), epoch: one.epoch };
        credential.sign(&order).map(|order| Signed::new(order.as_bytes()))
    };
    let signed = over.iter().take(MAX_SIGNED).map(sign).collect::<Result<_, _>>()?;
    Ok(Request::Prune { members, older_than_ms, signed })
}

async fn known(client: &mut Client) -> anyhow::Result<Vec<Member>> {
    match client.call(Request::Members { all: true, datacenter: Datacenters::All }).await? {
        Response::Members(Members { members, .. }) => Ok(members),
        other => Err(unexpected(&other)),
    }
}

/// The members with a name or node id.
fn named<'a>(known: &'a [Member], subject: &str) -> impl Iterator<Item = &'a Member> {
    known.iter().filter(move |one| one.name == subject || one.node_id.to_string() == subject)
}
