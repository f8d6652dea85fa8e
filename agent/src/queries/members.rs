//! The members of the cluster, as this agent believes in them.

use std::collections::BTreeMap;

use hobnob_api::{Member, MemberStatus, Members};
use hobnob_membership::{Node, Time};

use crate::actor::Stopping;
use crate::driver::DriverHandle;
use crate::services::Registry;
use crate::translate::member;

/// The members by name and node id: the living, the suspect and those that are down. With `all`, those that are gone
/// for good as well.
pub(crate) async fn members(
    registry: &Registry,
    driver: &DriverHandle,
    all: bool,
) -> Result<Members, Stopping> {
    let revision = registry.revision();
    let members = driver.inspect(move |node, now| listed(node, all, now)).await?;
    Ok(Members { revision, isolated: registry.is_isolated(), members })
}

fn listed(node: &Node, all: bool, now: Time) -> Vec<Member> {
    let members = node.members().into_iter().filter(|member| all || !member.status.is_gone());
    let mut members: Vec<Member> = members.map(|about| member(node, &about, now)).collect();
    members.sort_by(|a, b| (&a.name, a.node_id).cmp(&(&b.name, b.node_id)));
    mark_name_conflicts(&mut members);
    members
}

/// Marks living members that have one name and different addresses.
fn mark_name_conflicts(members: &mut [Member]) {
    let mut addresses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let living = |member: &Member| member.status == MemberStatus::Alive;
    for member in members.iter().filter(|member| living(member)) {
        let known = addresses.entry(member.name.clone()).or_default();
        if !known.contains(&member.gossip_address) {
            known.push(member.gossip_address.clone());
        }
    }
    for member in members.iter_mut().filter(|member| living(member)) {
        member.name_conflict = addresses.get(&member.name).is_some_and(|known| known.len() > 1);
    }
}
