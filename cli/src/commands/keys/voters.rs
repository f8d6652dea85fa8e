//! Orders that make members voters, which an operator signs.

use hobnob_agent::DatacenterId;
use hobnob_api::Signed;
use hobnob_api::client::Client;
use hobnob_api::{Datacenters, Member, Request, Response};
use hobnob_keys::{Command, NodeId};

use super::credential;
use crate::args::SetVotersArgs;
use crate::commands::unexpected;

/// The request to make members voters, signed if a credential is given.
pub(crate) async fn set_voters(
    client: &mut Client,
    args: &SetVotersArgs,
) -> anyhow::Result<Request> {
    let unsigned = || args.request(args.voters.clone(), None);
    let Some(credential) = credential::read(&args.signer)? else { return Ok(unsigned()) };
    let voters = match client.call(Request::Voters {}).await? {
        Response::Voters(voters) => voters,
        other => return Err(unexpected(&other)),
    };
    let all = Request::Members { all: false, datacenter: Datacenters::one(&*voters.datacenter) };
    let members = match client.call(all).await? {
        Response::Members(members) => members.members,
        other => return Err(unexpected(&other)),
    };
    let one = |name: &String| {
        let is_meant =
            |member: &&Member| member.name == *name || member.node_id.to_string() == *name;
        let mut found = members.iter().filter(is_meant);
        found.next().filter(|_| found.next().is_none()).map(|member| member.node_id)
    };
    // The agent says what is wrong with a name that nobody has, or several have.
    let Some(nodes) = args.voters.iter().map(one).collect::<Option<Vec<_>>>() else {
        return Ok(unsigned());
    };
    let ids: Vec<NodeId> = nodes.iter().map(|node| NodeId(node.0)).collect();
    let (home, number) = (DatacenterId::named(&voters.datacenter).0, voters.configuration + 1);
    let Some(command) = Command::voters(home, number, &ids) else { return Ok(unsigned()) };
    let signed = Signed::new(credential.sign(&command)?.as_bytes());
    Ok(args.request(nodes.iter().map(ToString::to_string).collect(), Some(signed)))
}
