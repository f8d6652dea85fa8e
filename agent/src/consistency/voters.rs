//! The voters of this agent's datacenter: who they are, and who they are to be.

use std::time::Duration;

use hobnob_api::{ApiError, ErrorCode, OwnVoter, Signed, Voter, VoterStanding, Voters};
use hobnob_membership::quorum::{Configuration, Standing};
use hobnob_membership::{Node, NodeId, Time};

use super::check_timeout;
use crate::driver::{DriverHandle, name_of};
use crate::info::AgentInfo;
use crate::orders::member::read;
use crate::orders::voters::judge;
use crate::queries::asked::check;
use crate::security::OwnCredential;
use crate::translate::{api_node_id, member_status};

/// The wait for a change of voters unless a request says otherwise.
const DEFAULT_WAIT: Duration = Duration::from_secs(10);

/// The voters that this agent knows of.
pub(crate) async fn voters(driver: &DriverHandle, home: &str) -> Result<Voters, ApiError> {
    let problem = driver.report().await?.voter_problem;
    let home = home.to_owned();
    Ok(driver.inspect(move |node, _| describe(node, home, problem)).await?)
}

fn describe(node: &Node, datacenter: String, problem: Option<String>) -> Voters {
    let chain = node.strong().and_then(|quorum| quorum.chain());
    let listed = |of: &Configuration| {
        let mut voters: Vec<Voter> = of.nodes().map(|voter| shown(node, voter)).collect();
        voters.sort_by(|a, b| (&a.name, a.node_id).cmp(&(&b.name, b.node_id)));
        voters
    };
    Voters {
        datacenter,
        configuration: chain.map_or(0, |chain| chain.installed.number),
        voters: chain.map(|chain| listed(&chain.installed)).unwrap_or_default(),
        next_voters: chain.and_then(|chain| chain.next.as_ref()).map(listed).unwrap_or_default(),
        own: own_voter(node, problem),
    }
}

/// What this agent is among the voters. `problem` is why it does not vote, or takes no part at all.
pub(crate) fn own_voter(node: &Node, problem: Option<String>) -> OwnVoter {
    let Some(quorum) = node.strong() else {
        return OwnVoter { standing: VoterStanding::Stopped, registers: 0, problem };
    };
    let standing = match quorum.standing() {
        _ if problem.is_some() => VoterStanding::Stopped,
        Standing::NoSeat => VoterStanding::NoVoter,
        Standing::Votes => VoterStanding::Votes,
        Standing::Doubtful => VoterStanding::Doubtful,
        Standing::Lost => VoterStanding::Lost,
    };
    OwnVoter { standing, registers: quorum.image().ledger().len() as u64, problem }
}

fn shown(node: &Node, voter: NodeId) -> Voter {
    Voter {
        name: name_of(node, voter),
        node_id: api_node_id(voter),
        status: node.member(voter).map(|member| member_status(member.status)),
    }
}

/// Makes members of this agent's datacenter its voters. They decide when this returns.
///
/// # Errors
/// A member is not known, is elsewhere, or is named twice; in a sealed cluster no operator signed the order; or the voters were not
/// changed.
pub(crate) async fn set_voters(
    driver: &DriverHandle,
    own: &AgentInfo,
    credential: &OwnCredential,
    named: Vec<String>,
    first: bool,
    timeout_ms: Option<u64>,
    signed: Option<Signed>,
) -> Result<Voters, ApiError> {
    check_timeout(timeout_ms)?;
    named.iter().try_for_each(|name| check("member", name))?;
    let signed = signed.as_ref().map(read).transpose()?;
    let (credential, home) = (credential.clone(), own.datacenter.clone());
    let within = timeout_ms.map_or(DEFAULT_WAIT, Duration::from_millis);
    // In one step, so that the order is carried out under the number that it names.
    let begin = move |node: &mut Node, now: Time| {
        let members = named.iter().map(|name| member_of(node, name));
        let members = members.collect::<Result<Vec<_>, _>>()?;
        judge(node, &credential, &home, &members, signed.as_ref())?;
        Ok(node.set_voters(members, first, within, now)?)
    };
    driver.change_voters(begin).await?;
    voters(driver, &own.datacenter).await
}

/// The one living member of this agent's datacenter with this name or node id.
fn member_of(node: &Node, named: &str) -> Result<NodeId, ApiError> {
    let members = node.members();
    let is_meant = |id: NodeId| name_of(node, id) == named || id.to_string() == named;
    let present = members.iter().filter(|member| !member.status.is_gone());
    let found: Vec<NodeId> =
        present.map(|member| member.identity.node_id).filter(|id| is_meant(*id)).collect();
    match found[..] {
        [one] if node.is_elsewhere(one) => {
            let there = node.datacenter_name_of(one).unwrap_or_default();
            let message = format!(
                "`{named}` is of the datacenter `{there}`: voters are agents of the own datacenter, and each has its own"
            );
            Err(ApiError::new(ErrorCode::VotersInvalid, message))
        }
        [one] => Ok(one),
        [] => {
            let message = format!("no member has the name or node id `{named}`");
            Err(ApiError::new(ErrorCode::MemberNotFound, message))
        }
        _ => {
            let ids: Vec<String> = found.iter().map(ToString::to_string).collect();
            let message = format!(
                "{} members have the name `{named}`: {}; name one by its node id",
                ids.len(),
                ids.join(", ")
            );
            Err(ApiError::new(ErrorCode::MemberAmbiguous, message))
        }
    }
}

/// Takes an operator's word that this agent's disk has all that it wrote as a voter.
///
/// # Errors
/// There is nothing to vouch for.
pub(crate) async fn vouch(driver: &DriverHandle, own: &AgentInfo) -> Result<Voters, ApiError> {
    if !driver.vouch().await? {
        let message = "there is nothing to vouch for: this agent votes, is no voter, or has lost what it kept";
        return Err(ApiError::new(ErrorCode::VotersUnchanged, message));
    }
    voters(driver, &own.datacenter).await
}
