//! Forgetting members that are down: after a day, and earlier where there is no room.

use foca::Timer;

use super::machine::FORGET_DOWN_AFTER;
use super::{Swim, SwimEvent};
use crate::base::identity::{Identity, NodeId};
use crate::base::limits::{MAX_MEMBERS_TO_FORGET, MAX_ORIGINS};
use crate::base::time::Time;

/// Members in a view, ourselves not included.
pub(super) const MAX_OTHERS: usize = MAX_ORIGINS - 1;

impl Swim {
    /// Forgets the members that have been down for long enough.
    pub(crate) fn handle_deadline(&mut self, now: Time) -> Result<(), foca::Error> {
        let mut result = Ok(());
        while let Some((_, identity)) = self.forget_at.pop_front_if(|(at, _)| *at <= now) {
            if self.is_doubted(identity.node_id) {
                result = result.and(self.apply_down(identity.node_id, now));
            }
            result = result.and(self.forget(&identity));
            self.settle(now);
        }
        result
    }

    /// Forgets a member in a day, if it is still down then. For members that foca does not hold down.
    pub(super) fn forget_later(&mut self, identity: Identity, now: Time) {
        self.forget_at.push_back((now + FORGET_DOWN_AFTER, identity));
    }

    /// Forgets the members that have been down for longest while there are more members than there is room for.
    pub(super) fn forget_the_excess(&mut self) -> Result<(), foca::Error> {
        let mut result = Ok(());
        while (self.members.len() > MAX_OTHERS || self.forget_at.len() > MAX_MEMBERS_TO_FORGET)
            && let Some((_, identity)) = self.forget_at.pop_front()
        {
            result = result.and(self.forget(&identity));
        }
        result
    }

    /// Forgets a member at once, if it is down.
    pub(crate) fn prune(&mut self, node: NodeId, now: Time) -> Result<(), foca::Error> {
        let Some(identity) = self.members.get(node).map(|peer| peer.identity) else {
            return Ok(());
        };
        let mut result = Ok(());
        if self.is_doubted(node) {
            result = self.apply_down(node, now);
        }
        result = result.and(self.forget(&identity));
        self.settle(now);
        result
    }

    /// Forgets a member, unless it has come back since.
    fn forget(&mut self, identity: &Identity) -> Result<(), foca::Error> {
        let result = self.foca.handle_timer(Timer::RemoveDown(*identity), &mut self.effects);
        if self.members.remove_down(identity) {
            self.doubted.remove(&identity.node_id);
            self.events.push_back(SwimEvent::Peer(identity.node_id));
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::identity::Epoch;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn identity(node: u64) -> Identity {
        let addr = ([10, 0, 0, 1], 7_946).into();
        Identity { node_id: NodeId(node), epoch: Epoch(5), addr, sync_port: 7_947 }
    }

    #[test]
    fn members_lost_with_all_contact_are_forgotten_after_a_day_like_any_other() {
        let mut swim = Swim::new(identity(1), 3);
        for node in [2, 3] {
            swim.apply_alive(identity(node), Time::ZERO).expect("taken");
        }
        swim.lose_contact(Time::ZERO);
        swim.apply_alive(identity(3), Time::ZERO).expect("taken");
        assert_eq!(swim.next_deadline(), Some(Time::ZERO + DAY));
        swim.handle_deadline(Time::ZERO + DAY).expect("handled");
        assert!(swim.members().get(NodeId(2)).is_none());
        assert!(swim.active_peer(NodeId(3)).is_some(), "it came back");
    }

    #[test]
    fn a_doubted_member_is_forgotten_after_a_day_and_is_down_for_all_who_say_otherwise() {
        let mut swim = Swim::new(identity(1), 3);
        for node in [2, 3] {
            swim.apply_alive(identity(node), Time::ZERO).expect("taken");
        }
        swim.doubt(NodeId(2), Time::ZERO);
        swim.handle_deadline(Time::ZERO + DAY).expect("handled");
        assert!(swim.members().get(NodeId(2)).is_none() && !swim.is_doubted(NodeId(2)));
        swim.apply_alive(Identity { epoch: Epoch(6), ..identity(2) }, Time::ZERO).expect("taken");
        assert!(swim.active_peer(NodeId(2)).is_some(), "a later life");
    }

    #[test]
    fn the_oldest_gone_give_way_to_newcomers() {
        let mut swim = Swim::new(identity(1), 3);
        let last = 2 + MAX_OTHERS as u64;
        swim.handle_roster((2..last).map(identity).collect(), Time::ZERO).expect("taken");
        assert_eq!(swim.active_count(), MAX_OTHERS);
        swim.apply_down(NodeId(7), Time::ZERO).expect("taken");
        swim.lose_contact(Time::from_millis(1));
        let newcomers = (last..last + 10).map(identity).collect();
        swim.handle_roster(newcomers, Time::from_millis(2)).expect("taken");
        assert_eq!(swim.active_count(), 10);
        assert_eq!(swim.members().len(), MAX_OTHERS);
        assert!(swim.members().get(NodeId(7)).is_none(), "the oldest gone gave way");
        assert!(swim.members().get(NodeId(last - 1)).is_some());
    }
}
