//! Forcing a dead member to leave: which member is meant, and whether it may be forced.

use std::collections::BTreeMap;

use hobnob_membership::view::{Member, MemberStatus};
use hobnob_membership::{Input, Node, NodeId, OrderKind, Time};

use super::members::status_of_records;
use crate::clock::millis;
use crate::driver::{DriverHandle, Ordered, words};
use crate::orders::member::{about, read};
use crate::security::OwnCredential;
use crate::translate::api_node_id;
use hobnob_api::{ApiError, ErrorCode, ForceLeft, Signed};

/// A node with the name or node id that the operator typed.
struct Candidate {
    id: NodeId,
    name: String,
    status: MemberStatus,
    whereabouts: String,
}

impl Candidate {
    /// Whether it is dead, did not leave, and was not forced to leave.
    fn awaits_force_leave(&self) -> bool {
        matches!(self.status, MemberStatus::Down | MemberStatus::Replaced)
    }
}

/// Forces the one dead member with this name or node id to leave. Its instances are gone here when this returns. In a sealed
/// cluster an operator signs the order: the client, or this agent.
///
/// # Errors
/// There is no such member, there are several, or it lives; or nobody signed the order that may.
pub(crate) async fn force_leave(
    driver: &DriverHandle,
    own: &OwnCredential,
    subject: String,
    signed: Option<Signed>,
) -> Result<ForceLeft, ApiError> {
    let signed = signed.as_ref().map(read).transpose()?;
    let own = own.clone();
    let decide = move |node: &Node, now| {
        let answer = check(node, &subject, now)?;
        let member = NodeId(answer.node_id.0);
        let order = about(node, &own, OrderKind::ForceLeave, member, signed.as_ref())?;
        Ok(Ordered { inputs: vec![Input::ForceLeave { node: member, order }], answer })
    };
    driver.order(decide).await
}

/// The one dead member with this name or node id. Of several, such as the lives of a host that was set up anew, it is
/// the one that is down or was replaced, and was not forced to leave before.
fn check(node: &Node, subject: &str, now: Time) -> Result<ForceLeft, ApiError> {
    let mut found = candidates(node, subject);
    if found.iter().filter(|one| one.awaits_force_leave()).count() == 1 {
        found.retain(Candidate::awaits_force_leave);
    }
    let Some(candidate) = found.pop() else {
        let message = format!("no member has the name or node id `{subject}`");
        return Err(ApiError::new(ErrorCode::MemberNotFound, message));
    };
    if !found.is_empty() {
        found.push(candidate);
        let mut list: Vec<String> = found
            .iter()
            .map(|one| format!("{} ({}, {})", one.id, one.status, one.whereabouts))
            .collect();
        list.sort_unstable();
        let message =
            format!("{} members have the name `{subject}`: {}", list.len(), list.join("; "));
        return Err(ApiError::new(ErrorCode::MemberAmbiguous, message));
    }
    let Candidate { id, name, status, .. } = candidate;
    if id == node.identity().node_id {
        let message = format!("`{name}` is this agent itself");
        return Err(ApiError::new(ErrorCode::MemberIsSelf, message));
    }
    if matches!(status, MemberStatus::Alive | MemberStatus::Suspect) {
        let message = format!(
            "`{name}` is {status}, and only a member that is down, left or replaced can be forced to leave"
        );
        return Err(ApiError::new(ErrorCode::MemberAlive, message));
    }
    let instances = node.instances().filter(|instance| instance.origin == id).count();
    let left = node.down_since(id).filter(|_| status == MemberStatus::Left);
    let left_ago_ms = left.map(|since| millis(now.since(since)));
    Ok(ForceLeft { name, node_id: api_node_id(id), instances, left_ago_ms })
}

/// Members, and nodes of which only records are left: those died before this agent started.
fn candidates(node: &Node, subject: &str) -> Vec<Candidate> {
    let members = node.members();
    let by_id: BTreeMap<NodeId, &Member> =
        members.iter().map(|member| (member.identity.node_id, member)).collect();
    let mut ids: Vec<NodeId> = members.iter().map(|member| member.identity.node_id).collect();
    ids.extend(node.catalog().origins().map(|(id, _)| id));
    ids.sort_unstable();
    ids.dedup();
    let known = ids.into_iter().map(|id| {
        let member = by_id.get(&id);
        Candidate {
            id,
            name: words::name_of(node, id),
            status: member.map_or_else(|| status_of_records(node, id), |member| member.status),
            whereabouts: member.map_or_else(
                || "only its records are left".to_owned(),
                |member| format!("at {}", member.identity.addr),
            ),
        }
    });
    known.filter(|one| one.name == subject || one.id.to_string() == subject).collect()
}
