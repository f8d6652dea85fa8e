//! Log lines of lost members. They are held back until the node tells whether many were lost together, which is one event.
//! An exit is known for certain, so the first are written at once.

use std::time::Duration;

use hobnob_membership::view::Member;
use hobnob_membership::{NodeId, Time};

/// Losses within this time of each other may be one event. The node counts in the same way.
const TOGETHER: Duration = Duration::from_secs(2);
/// Losses that the node does not tell of are written after this time.
const HELD_FOR: Duration = Duration::from_millis(2_200);
/// Exits of one group that are written at once.
const WRITTEN_AT_ONCE: usize = 2;

/// The losses that are not written yet.
#[derive(Debug, Default)]
pub(super) struct HeldLosses {
    last: Option<Time>,
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
}

impl HeldLosses {
    /// Notes a loss. Returns it if its line is to be written now.
    pub(super) fn lost(&mut self, loss: HeldLoss, exited: bool, now: Time) -> Option<HeldLoss> {
        if self.last.is_none_or(|last| now.since(last) > TOGETHER) {
            self.count = 0;
        }
        self.last = Some(now);
        self.count += 1;
        if exited && self.count <= WRITTEN_AT_ONCE {
            return Some(loss);
        }
        self.held.push(loss);
        None
    }

    /// Takes the losses that are held back.
    pub(super) fn take(&mut self) -> Vec<HeldLoss> {
        self.last = None;
        std::mem::take(&mut self.held)
    }

    /// Takes the losses that were held back for long enough: too few to be one event.
    pub(super) fn take_due(&mut self, now: Time) -> Vec<HeldLoss> {
        let is_due = self.last.is_some_and(|last| now.since(last) >= HELD_FOR);
        if is_due { self.take() } else { Vec::new() }
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
        HeldLoss { member, reason: "it does not answer".to_owned() }
    }

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    #[test]
    fn the_third_exit_within_two_seconds_is_held_back() {
        let mut losses = HeldLosses::default();
        let mut exits = |node, ms| losses.lost(loss(node), true, at(ms)).is_some();
        assert!(exits(1, 0) && exits(2, 1_900));
        assert!(!exits(3, 3_800));
        assert_eq!(losses.take(), [loss(3)]);
        let mut exits = |node, ms| losses.lost(loss(node), true, at(ms)).is_some();
        assert!(exits(4, 3_900), "a new group");
        assert!(exits(5, 3_900) && exits(6, 6_000));
        assert!(losses.take().is_empty());
    }

    #[test]
    fn a_silent_member_is_held_back_until_no_other_follows_or_it_is_back() {
        let mut losses = HeldLosses::default();
        assert_eq!(losses.lost(loss(1), false, at(0)), None);
        assert_eq!(losses.lost(loss(2), false, at(1_500)), None);
        assert!(losses.take_due(at(3_600)).is_empty());
        assert_eq!(losses.take_of(NodeId(2)), Some(loss(2)));
        assert_eq!(losses.take_of(NodeId(2)), None);
        assert_eq!(losses.take_due(at(3_700)), [loss(1)]);
        assert!(losses.take_due(at(9_000)).is_empty());
    }
}
