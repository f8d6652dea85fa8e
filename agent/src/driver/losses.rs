//! Log lines of lost members. The first are written at once. Those that follow within two seconds are held back until
//! the node tells whether they make one event.

use std::time::Duration;

use hobnob_membership::Time;
use hobnob_membership::view::Member;

/// Losses within this time of each other may be one event. The node counts in the same way.
const TOGETHER: Duration = Duration::from_secs(2);
/// Losses of one group that are written at once. The node tells of groups that are larger.
const WRITTEN_AT_ONCE: usize = 2;

/// The losses that are not written yet.
#[derive(Debug, Default)]
pub(super) struct HeldLosses {
    last: Option<Time>,
    count: usize,
    /// At most one for each member of the cluster.
    held: Vec<Member>,
}

impl HeldLosses {
    /// Notes a loss. Returns whether its line is to be written now.
    pub(super) fn lost(&mut self, member: &Member, now: Time) -> bool {
        if self.last.is_none_or(|last| now.since(last) > TOGETHER) {
            self.count = 0;
        }
        self.last = Some(now);
        self.count += 1;
        let at_once = self.count <= WRITTEN_AT_ONCE;
        if !at_once {
            self.held.push(member.clone());
        }
        at_once
    }

    /// Takes the losses that are held back.
    pub(super) fn take(&mut self) -> Vec<Member> {
        self.last = None;
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use hobnob_membership::view::MemberStatus;
    use hobnob_membership::{Epoch, Identity, NodeId};

    use super::*;

    #[test]
    fn the_third_loss_within_two_seconds_is_held_back() {
        let member = |node| {
            let addr = ([10, 0, 0, 1], 7_946).into();
            let identity = Identity { node_id: NodeId(node), epoch: Epoch(1), addr, sync_port: 0 };
            Member { identity, node: None, status: MemberStatus::Down }
        };
        let mut losses = HeldLosses::default();
        let at = |ms: u64| Time::from_millis(ms);
        assert!(losses.lost(&member(1), at(0)) && losses.lost(&member(2), at(1_900)));
        assert!(!losses.lost(&member(3), at(3_800)));
        assert_eq!(losses.take(), [member(3)]);
        assert!(losses.lost(&member(4), at(3_900)), "a new group");
        assert!(losses.lost(&member(5), at(3_900)) && losses.lost(&member(6), at(6_000)));
        assert!(losses.take().is_empty());
    }
}
