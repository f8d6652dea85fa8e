//! The protocol's types in the words of the API.

use hobnob_membership::{MassLoss, Node, NodeId, Time, record, view};

use crate::clock::millis;
use crate::services::{KnownLoss, KnownLosses};

/// A node id, as the API names it.
pub(crate) fn api_node_id(node: NodeId) -> hobnob_api::NodeId {
    hobnob_api::NodeId(node.0)
}

/// The believed status of a member.
pub(crate) fn member_status(status: view::MemberStatus) -> hobnob_api::MemberStatus {
    match status {
        view::MemberStatus::Alive => hobnob_api::MemberStatus::Alive,
        view::MemberStatus::Suspect => hobnob_api::MemberStatus::Suspect,
        view::MemberStatus::Down => hobnob_api::MemberStatus::Down,
        view::MemberStatus::Unreachable => hobnob_api::MemberStatus::Unreachable,
        view::MemberStatus::Left => hobnob_api::MemberStatus::Left,
        // The API has one word for both: an operator ended it.
        view::MemberStatus::ForceLeft | view::MemberStatus::Revoked => {
            hobnob_api::MemberStatus::ForceLeft
        }
        view::MemberStatus::Replaced => hobnob_api::MemberStatus::Replaced,
        // Its datacenter is out of reach, and the API has no word for that yet.
    }
}

/// The status of an instance.
pub(crate) fn instance_status(status: view::InstanceStatus) -> hobnob_api::InstanceStatus {
    match status {
        view::InstanceStatus::Healthy => hobnob_api::InstanceStatus::Healthy,
        view::InstanceStatus::Unhealthy => hobnob_api::InstanceStatus::Unhealthy,
        view::InstanceStatus::Unknown => hobnob_api::InstanceStatus::Unknown,
        view::InstanceStatus::Gone => hobnob_api::InstanceStatus::Gone,
    }
}

/// The scope of an instance.
pub(crate) fn instance_scope(scope: record::InstanceScope) -> hobnob_api::InstanceScope {
    match scope {
        record::InstanceScope::Global => hobnob_api::InstanceScope::Global,
        record::InstanceScope::Datacenter => hobnob_api::InstanceScope::Datacenter,
    }
}

/// A member. One whose record has not come yet goes by its node id.
pub(crate) fn member(node: &Node, member: &view::Member, now: Time) -> hobnob_api::Member {
    let node_id = member.identity.node_id;
    let (name, datacenter, zone) = match &member.node {
        Some(record) => {
            (record.name.to_string(), record.datacenter.to_string(), record.zone.to_string())
        }
        None => {
            let datacenter = node.datacenter_name_of(node_id).unwrap_or_default();
            (node_id.to_string(), datacenter.to_owned(), String::new())
        }
    };
    let status = member_status(member.status);
    let gossip_address = member.identity.addr.to_string();
    // Orders about it name this epoch.
    let epoch = node.last_epoch(node_id).unwrap_or(member.identity.epoch).0;
    let down_ago_ms = node.down_since(node_id).map(|since| millis(now.since(since)));
    hobnob_api::Member {
        name,
        node_id: api_node_id(node_id),
        gossip_address,
        status,
        datacenter,
        zone,
        epoch,
        down_ago_ms,
        name_conflict: false,
        link_silent_ms: node.link_broken_for(node_id, now).map(millis),
    }
}

/// The mass losses that are not over.
pub(crate) fn mass_losses(node: &Node) -> KnownLosses {
    let known = |loss: &MassLoss| {
        let &MassLoss { since, lost, of, back, exited, .. } = loss;
        let missing = loss.missing.len();
        KnownLoss {
            loss: hobnob_api::MassLoss { ago_ms: 0, lost, of, back, missing, exited },
            since,
        }
    };
    node.mass_losses().iter().map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_has_the_same_status_in_answers_and_in_the_log() {
        use view::MemberStatus::{Alive, Down, ForceLeft, Left, Replaced, Suspect};
        for status in [Alive, Suspect, Down, Left, ForceLeft, Replaced] {
            let answered = serde_json::to_value(member_status(status)).expect("JSON");
            assert_eq!(answered, status.to_string());
        }
    }
}
