//! Choosing the members to watch: the next five on the ring that answer.
//!
//! A member whose monitors have all crashed with it is watched by nobody. So a node that finds several of its members
//! silent looks further along the ring at once, and does not wait for the verdicts. The more of those that it has
//! looked at are silent, the further it looks. Where nearly all are silent, the number of members that are looked at
//! grows sixfold with each step of some 0.4 s, until five answer or all have been asked.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;

use super::monitor::Monitor;
use super::{Detector, FIRST_PING_WITHIN, LinkEnd, MONITORS, Order};
use crate::base::identity::NodeId;
use crate::base::limits::MAX_MEMBERS_PINGED_FIRST;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::liveness::swim::Swim;

/// Silent members from which on a node looks further. A single one is a crash, or a loss of datagrams.
const SEVERAL: usize = 2;
/// A member that answered within this time answers.
const ANSWERED_LATELY: Duration = Duration::from_secs(2);
/// Members beyond the first five are pinged for the first time within this time.
const BEYOND_PINGED_WITHIN: Duration = Duration::from_millis(50);

impl Detector {
    /// Watches the members that the ring assigns to us.
    pub(super) fn assign_monitors(&mut self, swim: &Swim, now: Time) {
        self.assignments += 1;
        let targets = self.targets(swim, now);
        let places: BTreeMap<NodeId, usize> =
            targets.iter().enumerate().map(|(place, node)| (*node, place)).collect();
        for (node, monitor) in self.monitors.extract_if(.., |node, _| !places.contains_key(node)) {
            if monitor.link.is_broken() {
                self.orders.push_back(Order::LinkEnded(node, LinkEnd::Unwatched));
            }
        }
        for (place, target) in targets.into_iter().enumerate() {
            let is_beyond = place >= MONITORS;
            match self.monitors.get_mut(&target) {
                Some(monitor) => monitor.is_beyond = is_beyond,
                None => {
                    let within = if is_beyond { BEYOND_PINGED_WITHIN } else { FIRST_PING_WITHIN };
                    let first = now + within.mul_f64(self.rng.random());
                    self.monitors.insert(target, Monitor::new(first, is_beyond));
                }
            }
        }
    }

    /// The members to watch, in the order of the ring.
    fn targets(&self, swim: &Swim, now: Time) -> Vec<NodeId> {
        let answered =
            |node: NodeId| self.heard.get(&node).is_some_and(|at| now.since(*at) < ANSWERED_LATELY);
        let (mut silent, mut answering, mut in_doubt) = (0, 0, 0);
        let mut targets = Vec::new();
        for node in swim.ring().successors(self.own) {
            let missing = MONITORS.saturating_sub(answering);
            // So many more are likely to hold as many answering ones as are missing.
            let wanted = missing * (silent / (answering + 1)).max(1);
            let enough = in_doubt >= wanted.min(MAX_MEMBERS_PINGED_FIRST);
            let further = silent >= SEVERAL && !mutant::is(Mutant::NeverLookFurther);
            if targets.len() >= MONITORS && (enough || !further) {
                break;
            }
            if self.suspicions.contains_key(&node) {
                silent += 1;
            } else if answered(node) {
                answering += 1;
            } else {
                in_doubt += 1;
            }
            targets.push(node);
        }
        targets
    }
}
