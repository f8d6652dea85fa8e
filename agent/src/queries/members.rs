//! The members of the cluster, as this agent believes in them.

use std::collections::{BTreeMap, BTreeSet};

use hobnob_api::{Datacenters, Member, MemberStatus, Members};
use hobnob_membership::{Node, NodeId, Time, view};

use crate::actor::Stopping;
use crate::clock::millis;
use crate::driver::{DriverHandle, words};
use crate::services::{Registry, shown_losses};
use crate::translate::{api_node_id, mass_losses, member, member_status};

/// The members by name and node id: the living, the suspect and those that are down, also those of which only records are left
/// and whose instances may be offered. With `all`, everything that is remembered. Name conflicts are those among all datacenters.
pub(crate) async fn members(
    registry: &Registry,
    driver: &DriverHandle,
    all: bool,
    datacenters: Datacenters,
) -> Result<Members, Stopping> {
    let revision = registry.revision();
    let known =
        move |node: &Node, now| (listed(node, all, now), shown_losses(&mass_losses(node), now));
    let (mut members, mass_losses) = driver.inspect(known).await?;
    members.retain(|member| datacenters.contains(&member.datacenter));
    Ok(Members { revision, isolated: registry.is_isolated(), members, mass_losses })
}

fn listed(node: &Node, all: bool, now: Time) -> Vec<Member> {
    let mut members: Vec<Member> = if all {
        remembered(node, now)
    } else {
        let known = node.members();
        let lost = down_with_instances(node, &known).map(|id| of_records(node, id, now));
        let members = known.iter().filter(|member| !member.status.is_gone());
        members.map(|about| member(node, about, now)).chain(lost.collect::<Vec<_>>()).collect()
    };
    members.sort_by(|a, b| (&a.name, a.node_id).cmp(&(&b.name, b.node_id)));
    mark_name_conflicts(&mut members);
    members
}

/// All members, ourselves first, and nodes of which only records are left: those died before this agent started.
pub(super) fn remembered(node: &Node, now: Time) -> Vec<Member> {
    let members = node.members();
    let lost = lost(node, &members).into_iter().map(|id| of_records(node, id, now));
    members.iter().map(|about| member(node, about, now)).chain(lost).collect()
}

/// The ids of all members, and of nodes of which only records are left.
pub(super) fn known_ids(node: &Node) -> Vec<NodeId> {
    let members = node.members();
    let lost = lost(node, &members);
    members.iter().map(|member| member.identity.node_id).chain(lost).collect()
}

/// The nodes of which only records are left, that did not leave, and that have instances: the agent offers those as a last resort.
pub(crate) fn down_with_instances(
    node: &Node,
    members: &[view::Member],
) -> impl Iterator<Item = NodeId> {
    let lost = lost(node, members).into_iter();
    lost.filter(|id| status_of_records(node, *id) == view::MemberStatus::Down)
        .filter(|id| node.instances_of(*id).next().is_some())
}

/// The nodes of which only records are left.
fn lost(node: &Node, members: &[view::Member]) -> Vec<NodeId> {
    let ids: BTreeSet<NodeId> = members.iter().map(|member| member.identity.node_id).collect();
    node.catalog().origins().map(|(id, _)| id).filter(|id| !ids.contains(id)).collect()
}

/// The status of a node of which only records are left.
pub(super) fn status_of_records(node: &Node, id: NodeId) -> view::MemberStatus {
    let has_left = node.catalog().left(id).is_some();
    if has_left { view::MemberStatus::Left } else { view::MemberStatus::Down }
}

/// A node of which only records are left.
pub(super) fn of_records(node: &Node, id: NodeId, now: Time) -> Member {
    let record = node.description(id);
    let text = |field: Option<&str>| field.unwrap_or_default().to_owned();
    let absent = node.absent_since(id).map_or(0, |since| millis(now.since(since)));
    Member {
        name: words::name_of(node, id),
        node_id: api_node_id(id),
        gossip_address: String::new(),
        status: member_status(status_of_records(node, id)),
        datacenter: text(record.map(|record| record.datacenter.as_str())),
        zone: text(record.map(|record| record.zone.as_str())),
        epoch: node.last_epoch(id).map_or(0, |epoch| epoch.0),
        down_ago_ms: Some(absent),
        name_conflict: false,
        link_silent_ms: None,
    }
}

/// Marks living members that have one name and different addresses.
fn mark_name_conflicts(members: &mut [Member]) {
    let conflicts = NameConflicts::among(&*members);
    members.iter_mut().for_each(|member| conflicts.mark(member));
}

/// The names that two living members at different addresses have.
#[derive(Default)]
pub(super) struct NameConflicts {
    shared: BTreeSet<String>,
    /// The address of the first member of each name.
    addresses: BTreeMap<String, String>,
}

impl NameConflicts {
    pub(super) fn among<'a>(members: impl IntoIterator<Item = &'a Member>) -> Self {
        let mut conflicts = Self::default();
        members.into_iter().for_each(|member| conflicts.add(member));
        conflicts
    }

    /// Looks at a further member.
    pub(super) fn add(&mut self, member: &Member) {
        if !is_living(member) {
            return;
        }
        match self.addresses.get(&member.name) {
            None => {
                self.addresses.insert(member.name.clone(), member.gossip_address.clone());
            }
            Some(address) if *address != member.gossip_address => {
                self.shared.insert(member.name.clone());
            }
            Some(_) => {}
        }
    }

    pub(super) fn mark(&self, member: &mut Member) {
        member.name_conflict = is_living(member) && self.shared.contains(&member.name);
    }
}

fn is_living(member: &Member) -> bool {
    member.status == MemberStatus::Alive
}
