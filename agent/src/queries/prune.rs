//! Pruning: dropping what this agent remembers of members that are down or gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hobnob_api::{ApiError, ErrorCode, Member, MemberStatus, Pruned, Signed};
use hobnob_keys::{Command, SignedCommand};
use hobnob_membership::{Node, NodeId, OrderKind, Time};

use super::asked::check;
use super::members::remembered;
use crate::clock::millis;
use crate::driver::DriverHandle;
use crate::orders::member::{about, read};
use crate::security::OwnCredential;

/// The least time that a member has been down or gone, unless the request gives one or names members.
const OLDER_THAN: Duration = Duration::from_secs(60 * 60);
/// Members that one request may name, and signed orders that it may have.
const MAX_NAMED: usize = 1_000;

/// What a request asks for, and what of it is kept.
struct Chosen {
    members: Vec<Member>,
    kept: usize,
    orders: Vec<(NodeId, Option<SignedCommand>)>,
}

/// Drops members that are down or gone from the memory of this agent, and says which.
///
/// # Errors
/// A named member is not known, lives, or is this agent. In a sealed cluster: nobody signed the orders that may.
pub(crate) async fn prune(
    driver: &DriverHandle,
    own: &OwnCredential,
    named: Vec<String>,
    older_than_ms: Option<u64>,
    signed: &[Signed],
) -> Result<Pruned, ApiError> {
    if named.len() > MAX_NAMED {
        let message = format!("{} members in one call: at most {MAX_NAMED}", named.len());
        return Err(ApiError::new(ErrorCode::OutOfRange, message));
    }
    named.iter().try_for_each(|name| check("member", name))?;
    if signed.len() > MAX_NAMED {
        let message = format!("{} signed orders in one call: at most {MAX_NAMED}", signed.len());
        return Err(ApiError::new(ErrorCode::OutOfRange, message));
    }
    let signed = signed.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let own = own.clone();
    let choose = move |node: &Node, now| {
        choose(node, &named, older_than_ms, now)?.ordered(node, &own, &signed)
    };
    let Chosen { mut members, kept, orders } = driver.inspect(choose).await??;
    let dropped = driver.prune(orders).await?;
    let matched = members.len() + kept;
    members.retain(|member| dropped.contains(&NodeId(member.node_id.0)));
    members.sort_by(|a, b| (&a.name, a.node_id).cmp(&(&b.name, b.node_id)));
    Ok(Pruned { kept: matched - members.len(), members })
}

fn choose(
    node: &Node,
    named: &[String],
    older_than_ms: Option<u64>,
    now: Time,
) -> Result<Chosen, ApiError> {
    let least = if named.is_empty() { millis(OLDER_THAN) } else { 0 };
    let least = older_than_ms.unwrap_or(least);
    let mut members = remembered(node, now);
    if !named.is_empty() {
        members = find_all(node, &members, named)?;
    }
    members.retain(|member| is_over(member) && member.down_ago_ms.is_some_and(|ms| ms >= least));
    let matched = members.len();
    // An agent that hears nobody holds all others down, and finds the cluster again through them.
    if named.is_empty() && !node.is_connected() {
        members.retain(|member| member.status != MemberStatus::Down);
    }
    Ok(Chosen { kept: matched - members.len(), members, orders: Vec::new() })
}

impl Chosen {
    /// The same with the order about each member. Members without one are kept if the client signed orders about others.
    fn ordered(
        mut self,
        node: &Node,
        own: &OwnCredential,
        signed: &[SignedCommand],
    ) -> Result<Self, ApiError> {
        let about_whom = |order: &SignedCommand| match order.unverified() {
            Some(Command::Prune { node_id, .. }) => Some(node_id.0),
            _ => None,
        };
        let given: BTreeMap<Option<u64>, &SignedCommand> =
            signed.iter().map(|order| (about_whom(order), order)).collect();
        for member in &self.members {
            let id = NodeId(member.node_id.0);
            let order = given.get(&Some(id.0)).copied();
            if order.is_some() || given.is_empty() {
                self.orders.push((id, about(node, own, OrderKind::Prune, id, order)?));
            }
        }
        Ok(self)
    }
}

/// Whether a member is down or gone.
fn is_over(member: &Member) -> bool {
    use MemberStatus::{Down, ForceLeft, Left, Replaced};
    matches!(member.status, Down | Left | ForceLeft | Replaced)
}

/// The members with these names and node ids that are down or gone. Several may have one name.
fn find_all(node: &Node, known: &[Member], named: &[String]) -> Result<Vec<Member>, ApiError> {
    let mut by_name = BTreeMap::<String, Vec<&Member>>::new();
    for member in known {
        let id = member.node_id.to_string();
        if id != member.name {
            by_name.entry(id).or_default().push(member);
        }
        by_name.entry(member.name.clone()).or_default().push(member);
    }
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for subject in named {
        let matching = by_name.get(subject).map(Vec::as_slice).unwrap_or_default();
        let Some(first) = matching.first() else {
            let message = format!("no member has the name or node id `{subject}`");
            return Err(ApiError::new(ErrorCode::MemberNotFound, message));
        };
        if !matching.iter().any(|member| is_over(member)) {
            return Err(if first.node_id.0 == node.identity().node_id.0 {
                let message = format!("`{subject}` is this agent itself");
                ApiError::new(ErrorCode::MemberIsSelf, message)
            } else {
                let message = format!(
                    "`{subject}` lives, and only members that are down or gone can be dropped"
                );
                ApiError::new(ErrorCode::MemberAlive, message)
            });
        }
        for member in matching.iter().filter(|member| is_over(member)) {
            if seen.insert(member.node_id) {
                found.push((*member).clone());
            }
        }
    }
    Ok(found)
}
