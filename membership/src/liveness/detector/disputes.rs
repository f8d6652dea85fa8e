//! Members over which opinions differ: called down, back again, called down again.
//!
//! Where some reach a member and others do not, both are right, and believing whoever spoke last makes it go up and down
//! for as long as the cut lasts. So after a second verdict within some minutes nobody takes the word of others that it is
//! back: each asks it itself, and whom it does not answer goes on holding it down. (Routers damp a route that flaps for
//! the same reason; RFC 2439.)

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::identity::NodeId;
use crate::base::time::Time;

/// A verdict is remembered for so long.
const REMEMBERED: Duration = Duration::from_secs(600);
/// So many verdicts within that time are a dispute; one is a crash, a first pause or a short cut.
const DISPUTED_FROM: u32 = 2;

/// Verdicts of late, by member.
#[derive(Debug, Default)]
pub(crate) struct Disputes {
    verdicts: BTreeMap<NodeId, (u32, Time)>,
}

impl Disputes {
    /// A member is called down because it is silent.
    pub(crate) fn called_down(&mut self, node: NodeId, now: Time) {
        let (count, at) = self.verdicts.entry(node).or_insert((0, now));
        *count = if now.since(*at) < REMEMBERED { *count + 1 } else { 1 };
        *at = now;
    }

    /// Whether opinions on a member differ, as far as we saw.
    pub(crate) fn is_disputed(&self, node: NodeId, now: Time) -> bool {
        self.verdicts
            .get(&node)
            .is_some_and(|(count, at)| *count >= DISPUTED_FROM && now.since(*at) < REMEMBERED)
    }

    /// Forgets what is too old to matter.
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
        disputes.called_down(node, at(0));
        assert!(!disputes.is_disputed(node, at(1)));
        disputes.called_down(node, at(599));
        assert!(disputes.is_disputed(node, at(600)) && disputes.is_disputed(node, at(1_198)));
        assert!(!disputes.is_disputed(node, at(1_199)));
        disputes.called_down(node, at(1_300));
        assert!(!disputes.is_disputed(node, at(1_301)), "the first of a new dispute, if it is one");
        disputes.forget_old(at(1_899));
        assert!(!disputes.verdicts.is_empty());
        disputes.forget_old(at(1_900));
        assert!(disputes.verdicts.is_empty());
    }
}
