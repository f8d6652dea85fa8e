//! The protocol's types in the words of the API.

use hobnob_membership::{NodeId, view};

/// A node id, as the API names it.
pub(crate) fn api_node_id(node: NodeId) -> hobnob_api::NodeId {
    hobnob_api::NodeId(node.0)
}

/// What is believed of a member.
pub(crate) fn member_status(status: view::MemberStatus) -> hobnob_api::MemberStatus {
    match status {
        view::MemberStatus::Alive => hobnob_api::MemberStatus::Alive,
        view::MemberStatus::Suspect => hobnob_api::MemberStatus::Suspect,
        view::MemberStatus::Down => hobnob_api::MemberStatus::Down,
        view::MemberStatus::Left => hobnob_api::MemberStatus::Left,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_has_the_same_status_in_answers_and_in_the_log() {
        use view::MemberStatus::{Alive, Down, Left, Suspect};
        for status in [Alive, Suspect, Down, Left] {
            let answered = serde_json::to_value(member_status(status)).expect("JSON");
            assert_eq!(answered, status.to_string());
        }
    }
}
