//! Gaps in the origins of other datacenters that a beat or a forwarded rumor showed, and when they are pulled.

use std::collections::BTreeMap;
use std::time::Duration;

use super::parts::PARTS;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Epoch, NodeId};
use crate::base::limits::MAX_PENDING_PULLS;
use crate::base::time::Time;
use crate::catalog::{Head, Version, Want};

/// The most missing versions of an origin that are pulled. A session brings more.
pub(crate) const MAX_PULLED: Version = 8;
/// Pulls of one gap before a session takes over.
const TRIES: u32 = 6;
/// Time beside the round trip after which a pull is repeated.
const SLACK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug)]
struct Gap {
    epoch: Epoch,
    known_to: Version,
    home: DatacenterId,
    source: NodeId,
    tries: u32,
    due: Time,
}

/// A pull that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DuePull {
    pub(crate) origin: NodeId,
    pub(crate) home: DatacenterId,
    /// The node that showed the gap.
    pub(crate) source: NodeId,
    /// The gateway to ask instead, by its rank; `None` for the first pull.
    pub(crate) rank: Option<usize>,
}

/// All such gaps, one for each origin at most.
#[derive(Debug, Default)]
pub(crate) struct FarGaps {
    gaps: BTreeMap<NodeId, Gap>,
}

impl FarGaps {
    /// Notes that a node of another datacenter knows an origin up to `head`, and we know less. Returns whether there was room.
    pub(crate) fn note(
        &mut self,
        head: Head,
        home: DatacenterId,
        source: NodeId,
        due: Time,
    ) -> bool {
        if let Some(gap) = self.gaps.get_mut(&head.origin) {
            if (head.epoch, head.known_to) > (gap.epoch, gap.known_to) {
                (gap.epoch, gap.known_to) = (head.epoch, head.known_to);
            }
            return true;
        }
        if self.gaps.len() >= MAX_PENDING_PULLS {
            return false;
        }
        let (epoch, known_to) = (head.epoch, head.known_to);
        self.gaps.insert(head.origin, Gap { epoch, known_to, home, source, tries: 0, due });
        true
    }

    /// Forgets the gap of an origin if it is closed.
    pub(crate) fn check(&mut self, want: &Want) {
        let is_closed = |gap: &Gap| (want.epoch, want.after) >= (gap.epoch, gap.known_to);
        if self.gaps.get(&want.origin).is_some_and(is_closed) {
            self.gaps.remove(&want.origin);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.gaps.values().map(|gap| gap.due).min()
    }

    /// Takes the pulls that are due, and the datacenters of gaps that pulls did not close.
    pub(crate) fn take_due(
        &mut self,
        round_trip: impl Fn(DatacenterId) -> Duration,
        now: Time,
    ) -> (Vec<DuePull>, Vec<DatacenterId>) {
        let (mut pulls, mut given_up) = (Vec::new(), Vec::new());
        self.gaps.retain(|origin, gap| {
            if gap.due > now {
                return true;
            }
            if gap.tries >= TRIES {
                given_up.push(gap.home);
                return false;
            }
            let rank = (gap.tries > 0).then_some(gap.tries as usize % PARTS);
            pulls.push(DuePull { origin: *origin, home: gap.home, source: gap.source, rank });
            gap.tries += 1;
            gap.due = now + round_trip(gap.home) + SLACK;
            true
        });
        given_up.sort_unstable();
        given_up.dedup();
        (pulls, given_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: DatacenterId = DatacenterId(7);
    const MS: fn(u64) -> Time = Time::from_millis;

    #[test]
    fn a_gap_is_pulled_from_one_gateway_after_the_other_and_given_up() {
        let mut gaps = FarGaps::default();
        let head = Head { origin: NodeId(1), epoch: Epoch(5), known_to: 3 };
        assert!(gaps.note(head, HOME, NodeId(9), MS(10)));
        let mut pulled = Vec::new();
        let given_up = loop {
            let now = gaps.next_deadline().expect("open");
            let (pulls, given_up) = gaps.take_due(|_| Duration::from_millis(80), now);
            pulled.extend(pulls.iter().map(|pull| (now, pull.source, pull.rank)));
            if !given_up.is_empty() {
                break given_up;
            }
        };
        let ranks = [None, Some(1), Some(2), Some(0), Some(1), Some(2)];
        let at = (0..).map(|n| MS(10 + 90 * n));
        let expected: Vec<_> = at.zip(ranks).map(|(at, rank)| (at, NodeId(9), rank)).collect();
        assert_eq!((pulled, given_up), (expected, vec![HOME]));
        assert_eq!(gaps.next_deadline(), None);
    }

    #[test]
    fn a_gap_closes_when_its_head_is_reached() {
        let mut gaps = FarGaps::default();
        let head = |known_to| Head { origin: NodeId(1), epoch: Epoch(5), known_to };
        let want = |after| Want { origin: NodeId(1), epoch: Epoch(5), after, gc_floor: 0 };
        assert!(gaps.note(head(3), HOME, NodeId(9), MS(10)));
        assert!(gaps.note(head(5), HOME, NodeId(8), MS(90)));
        gaps.check(&want(4));
        assert_eq!(gaps.next_deadline(), Some(MS(10)), "news put no pull off");
        gaps.check(&want(5));
        assert_eq!(gaps.next_deadline(), None);
    }
}
