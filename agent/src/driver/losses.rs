//! Log lines of lost members. They are held back until the node tells whether many were lost together, which is one event.
//! An exit is known for certain, so the first are written at once.

use std::collections::BTreeSet;

use hobnob_membership::NodeId;
use hobnob_membership::view::Member;

/// Exits of one group that are written at once.
const WRITTEN_AT_ONCE: usize = 2;

/// The losses that are not written yet. The node knows when a group is complete.
#[derive(Debug, Default)]
pub(super) struct HeldLosses {
    /// The losses of the group.
    count: usize,
    /// At most one for each member of the cluster.
    held: Vec<HeldLoss>,
}

/// A loss that is not written yet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HeldLoss {
    pub(super) member: Member,
    /// The reason at the time of the loss.
    pub(super) reason: String,
    /// The time of the loss, in milliseconds since 1970.
    pub(super) at_ms: u64,
}

impl HeldLosses {
    /// Notes a loss. Returns it if its line is to be written now.
    pub(super) fn lost(&mut self, loss: HeldLoss, exited: bool) -> Option<HeldLoss> {
        self.count += 1;
        if exited && self.count <= WRITTEN_AT_ONCE {
            return Some(loss);
        }
        self.held.push(loss);
        None
    }

    /// Takes the losses that are held back: the group is complete.
    pub(super) fn take(&mut self) -> Vec<HeldLoss> {
        self.count = 0;
        std::mem::take(&mut self.held)
    }

    /// The same without the losses of these members, of which one line tells.
    pub(super) fn take_others(&mut self, members: &[NodeId]) -> Vec<HeldLoss> {
        let members: BTreeSet<&NodeId> = members.iter().collect();
        let mut held = self.take();
        held.retain(|loss| !members.contains(&loss.member.identity.node_id));
        held
    }

    /// The members that are held back, if they are so few that each is an event.
    pub(super) fn few(&self) -> Vec<HeldLoss> {
        let is_few = self.held.len() <= WRITTEN_AT_ONCE;
        self.held.iter().filter(|_| is_few).cloned().collect()
    }

    /// Takes the loss of a member that is held back. The member changed, so its lines must come in order.
    pub(super) fn take_of(&mut self, node: NodeId) -> Option<HeldLoss> {
        let at = self.held.iter().position(|loss| loss.member.identity.node_id == node)?;
        Some(self.held.remove(at))
    }
}

#[cfg(test)]
mod tests {
    use hobnob_membership::view::MemberStatus;
    use hobnob_membership::{Epoch, Identity};

    use super::*;

    fn loss(node: u64) -> HeldLoss {
        let addr = ([10, 0, 0, 1], 7_946).into();
        let identity = Identity { node_id: NodeId(node), epoch: Epoch(1), addr, sync_port: 0 };
        let member = Member { identity, node: None, status: MemberStatus::Down };
        HeldLoss { member, reason: "it does not answer".to_owned(), at_ms: 1 }
    }

    #[test]
    fn the_third_exit_of_a_group_is_held_back() {
        let mut losses = HeldLosses::default();
        let mut exits = |node| losses.lost(loss(node), true).is_some();
        assert!(exits(1) && exits(2) && !exits(3));
        assert_eq!(losses.take(), [loss(3)]);
        let mut exits = |node| losses.lost(loss(node), true).is_some();
        assert!(exits(4) && exits(5), "a new group");
        assert!(losses.take().is_empty());
    }

    #[test]
    fn a_silent_member_is_held_back_until_it_is_back_or_the_group_is_complete() {
        let mut losses = HeldLosses::default();
        for node in 1..=4 {
            assert_eq!(losses.lost(loss(node), false), None);
        }
        assert_eq!(losses.take_of(NodeId(2)), Some(loss(2)));
        assert_eq!(losses.take_of(NodeId(2)), None);
        assert_eq!(losses.take_others(&[NodeId(3), NodeId(4)]), [loss(1)]);
        assert!(losses.take().is_empty());
    }
}
