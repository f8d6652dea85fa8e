//! Disputed members: those that were declared down, came back, and were declared down again.
//!
//! In a partial cut some nodes reach a member and others do not. A node that believes the last speaker would see the
//! member go down and up for as long as the cut lasts. So after a second verdict within ten minutes, a node no longer
//! takes a peer's word that the member is back. It pings the member itself, and goes on holding it down until it
//! answers. (Routers damp a flapping route for the same reason; RFC 2439.)

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::identity::NodeId;
use crate::base::time::Time;

/// A verdict counts for this long.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Verdicts that make a member disputed. A single one is a crash, a first stall or a brief cut.
const DISPUTED_FROM: u32 = 2;

/// The number of recent verdicts on each member, and the time of the last one.
#[derive(Debug, Default)]
pub(crate) struct Disputes {
    verdicts: BTreeMap<NodeId, (u32, Time)>,
}

impl Disputes {
    /// Counts a verdict on a member that is down because of its silence.
    pub(crate) fn declared_down(&mut self, node: NodeId, now: Time) {
        let (count, at) = self.verdicts.entry(node).or_insert((0, now));
        *count = if now.since(*at) < REMEMBERED { *count + 1 } else { 1 };
        *at = now;
    }

    /// Whether a member is disputed, as far as this node saw.
    pub(crate) fn is_disputed(&self, node: NodeId, now: Time) -> bool {
        self.verdicts
            .get(&node)
            .is_some_and(|(count, at)| *count >= DISPUTED_FROM && now.since(*at) < REMEMBERED)
    }

    /// Forgets members whose last verdict is too old to count.
    pub(crate) fn forget_old(&mut self, now: Time) {
        self.verdicts.retain(|_, (_, at)| now.since(*at) < REMEMBERED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_verdict_within_ten_minutes_is_a_dispute_for_ten_minutes() {
        let (node, at) = (NodeId(7), |seconds: u64| Time::from_millis(seconds * 1_000));
        let mut disputes = Disputes::default();
        disputes.declared_down(node, at(0));
        assert!(!disputes.is_disputed(node, at(1)));
        disputes.declared_down(node, at(599));
        assert!(disputes.is_disputed(node, at(600)) && disputes.is_disputed(node, at(1_198)));
        assert!(!disputes.is_disputed(node, at(1_199)));
        disputes.declared_down(node, at(1_300));
        assert!(!disputes.is_disputed(node, at(1_301)), "counting begins anew");
        disputes.forget_old(at(1_899));
        assert!(!disputes.verdicts.is_empty());
        disputes.forget_old(at(1_900));
        assert!(disputes.verdicts.is_empty());
    }
}
