//! Gaps: versions that are known to exist and are missing. Gaps are pulled until they are closed, which repairs lost
//! rumors.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::identity::{Epoch, NodeId};
use crate::base::limits::{MAX_PENDING_PULLS, MAX_PULLED_VERSIONS, MAX_PULLS_UNPROVEN};
use crate::base::protocol::Protocol;
use crate::base::time::Time;
use crate::catalog::{Head, Version, Want};

/// The number of pulls that follow each other without growing waits. At 25 % loss four in nine pulls fail, and among
/// thousands of nodes some node needs as many.
const QUICK_PULLS: u32 = 10;

/// Versions of one origin that are known to exist and are missing here.
#[derive(Clone, Copy, Debug)]
struct Gap {
    epoch: Epoch,
    head: Version,
    /// The node that has the missing versions.
    source: NodeId,
    /// The number of pulls since the gap last got smaller.
    tries: u32,
    due: Time,
    /// The time at which it was first due.
    since: Time,
    /// The origin was known up to here when the gap last got smaller.
    known: (Epoch, Version),
}

impl Gap {
    /// The number of missing versions.
    fn len(&self) -> Version {
        let known = if self.known.0 == self.epoch { self.known.1 } else { 0 };
        self.head.saturating_sub(known)
    }
}

/// All gaps, one for each origin at most.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gaps {
    gaps: BTreeMap<NodeId, Gap>,
    by_due: BTreeSet<(Time, NodeId)>,
}

/// The actions for the gaps that are due.
#[derive(Debug, Default)]
pub(crate) struct DueGaps {
    /// For each peer to pull from, the origins to ask for.
    pub(crate) pulls: BTreeMap<NodeId, Vec<NodeId>>,
    /// Peers among them that are pulled from for the first time because of a gap.
    pub(crate) first: BTreeSet<NodeId>,
    /// For each source that has not proven its address, the origins to ask another peer for.
    pub(crate) elsewhere: BTreeMap<NodeId, Vec<NodeId>>,
    /// Peers to open a session with, because pulls did not close a gap.
    pub(crate) given_up: Vec<NodeId>,
    /// Peers to open a session with, because they have more than pulls should bring.
    pub(crate) large: Vec<NodeId>,
}

impl Gaps {
    /// Notes that `source` knows an origin up to `head`, while we know it up to `want`. Returns false when there is no
    /// room for another gap.
    pub(crate) fn note(&mut self, head: Head, want: &Want, source: NodeId, due: Time) -> bool {
        let known = (want.epoch, want.after);
        let fresh = Gap {
            epoch: head.epoch,
            head: head.known_to,
            source,
            tries: 0,
            due,
            since: due,
            known,
        };
        let Some(gap) = self.gaps.get_mut(&head.origin) else {
            if self.gaps.len() >= MAX_PENDING_PULLS {
                return false;
            }
            self.gaps.insert(head.origin, fresh);
            self.by_due.insert((due, head.origin));
            return true;
        };
        if head.epoch > gap.epoch {
            let due = gap.due.min(due);
            self.by_due.remove(&(gap.due, head.origin));
            self.by_due.insert((due, head.origin));
            *gap = Gap { due, since: gap.since, ..fresh };
        } else if head.epoch == gap.epoch && head.known_to > gap.head {
            // Keep `tries`: if no pull closes the gap, steady news must not put off its session.
            *gap = Gap { head: head.known_to, source, ..*gap };
        }
        true
    }

    /// Whether an origin has a gap.
    pub(crate) fn is_open(&self, origin: NodeId) -> bool {
        self.gaps.contains_key(&origin)
    }

    /// The time since which a gap of an origin waits to be closed.
    pub(crate) fn since(&self, origin: NodeId) -> Option<Time> {
        Some(self.gaps.get(&origin)?.since)
    }

    /// Whether an origin has a gap that was pulled.
    pub(crate) fn is_pulled(&self, origin: NodeId) -> bool {
        self.gaps.get(&origin).is_some_and(|gap| gap.tries > 0)
    }

    /// The number of origins with a gap.
    pub(crate) fn len(&self) -> usize {
        self.gaps.len()
    }

    /// Compares the gap of an origin with `want`: a closed gap is forgotten, and the pulls of a smaller gap are counted
    /// anew.
    pub(crate) fn check(&mut self, want: &Want) {
        let Some(gap) = self.gaps.get_mut(&want.origin) else { return };
        let known = (want.epoch, want.after);
        if known >= (gap.epoch, gap.head) {
            self.by_due.remove(&(gap.due, want.origin));
            self.gaps.remove(&want.origin);
        } else if known > gap.known {
            gap.known = known;
            gap.tries = 0;
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// Takes the gaps that are due. `backlog` is the time that a new datagram would wait in our own queue. The queue of
    /// the peer is likely to be as long, and its answer waits there, so twice that time is added to the wait for the
    /// next pull. `must_prove` tells the sources whose addresses are not proven.
    pub(crate) fn take_due(
        &mut self,
        now: Time,
        backlog: Duration,
        protocol: &Protocol,
        must_prove: impl Fn(NodeId) -> bool,
    ) -> DueGaps {
        let mut result = DueGaps::default();
        let mut missing: BTreeMap<NodeId, Version> = BTreeMap::new();
        while let Some((due, origin)) = self.by_due.first().copied()
            && due <= now
        {
            self.by_due.pop_first();
            let Some(gap) = self.gaps.get_mut(&origin) else { continue };
            if gap.tries >= protocol.pull_tries {
                result.given_up.push(gap.source);
                self.gaps.remove(&origin);
                continue;
            }
            let asked = missing.entry(gap.source).or_default();
            *asked = asked.saturating_add(gap.len());
            if *asked > MAX_PULLED_VERSIONS {
                result.large.push(gap.source);
                gap.due = now + protocol.sync_min_gap;
                gap.tries += 1;
            } else {
                // Quick pulls cover lost answers. If those fail, the way is long or the peer is busy, so waits double.
                let doublings = (gap.tries + 2).saturating_sub(QUICK_PULLS).min(16);
                gap.due = now + protocol.pull_retry * (1 << doublings) + 2 * backlog;
                if gap.tries >= MAX_PULLS_UNPROVEN && must_prove(gap.source) {
                    result.elsewhere.entry(gap.source).or_default().push(origin);
                } else {
                    result.first.extend((gap.tries == 0).then_some(gap.source));
                    result.pulls.entry(gap.source).or_default().push(origin);
                }
                gap.tries += 1;
            }
            self.by_due.insert((gap.due, origin));
        }
        result.large.dedup();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Time = Time::from_millis;

    fn head(known_to: Version) -> Head {
        Head { origin: NodeId(1), epoch: Epoch(5), known_to }
    }

    fn want(after: Version) -> Want {
        Want { origin: NodeId(1), epoch: Epoch(5), after, gc_floor: 0 }
    }

    fn take(gaps: &mut Gaps) -> DueGaps {
        let due = gaps.next_deadline().expect("open");
        gaps.take_due(due, Duration::ZERO, &Protocol::default(), |_| false)
    }

    #[test]
    fn a_gap_is_pulled_with_growing_waits_and_then_given_up() {
        let protocol = Protocol::default();
        let mut gaps = Gaps::default();
        gaps.note(head(3), &want(0), NodeId(9), MS(10));
        let mut pulled_at = Vec::new();
        let given_up = loop {
            let due = gaps.next_deadline().expect("open");
            let due_gaps = gaps.take_due(due, Duration::ZERO, &protocol, |_| false);
            if !due_gaps.given_up.is_empty() {
                break due_gaps.given_up;
            }
            assert_eq!(due_gaps.pulls[&NodeId(9)], [NodeId(1)]);
            pulled_at.push(due);
        };
        let quick = (1..=10).map(|n| MS(10 * n));
        assert_eq!(pulled_at, quick.chain([120, 160].map(MS)).collect::<Vec<_>>());
        assert_eq!(given_up, [NodeId(9)]);
        assert_eq!(gaps.next_deadline(), None);
    }

    #[test]
    fn a_source_that_has_not_proven_its_address_is_pulled_from_once() {
        let mut gaps = Gaps::default();
        gaps.note(head(3), &want(0), NodeId(9), MS(10));
        let mut due = |proven: bool| {
            let due = gaps.next_deadline().expect("open");
            let due = gaps.take_due(due, Duration::ZERO, &Protocol::default(), |_| !proven);
            (due.pulls, due.first.len(), due.elsewhere)
        };
        let (asked, nobody) = (BTreeMap::from([(NodeId(9), vec![NodeId(1)])]), BTreeMap::new());
        assert_eq!(due(false), (asked.clone(), 1, nobody.clone()));
        assert_eq!(due(false), (nobody.clone(), 0, asked.clone()));
        assert_eq!(due(true), (asked, 0, nobody));
    }

    #[test]
    fn a_gap_closes_when_its_head_is_reached_and_not_before() {
        let mut gaps = Gaps::default();
        gaps.note(head(3), &want(0), NodeId(9), MS(10));
        gaps.check(&want(2));
        assert!(gaps.next_deadline().is_some());
        gaps.check(&want(3));
        assert!(gaps.next_deadline().is_none());
    }

    #[test]
    fn news_beyond_a_gap_does_not_put_off_the_session_and_a_smaller_gap_does() {
        let protocol = Protocol::default();
        let pull = |gaps: &mut Gaps| {
            let due = gaps.next_deadline().expect("open");
            gaps.take_due(due, Duration::ZERO, &protocol, |_| false)
        };
        let mut gaps = Gaps::default();
        for n in 0..u64::from(protocol.pull_tries) {
            gaps.note(head(3 + n), &want(0), NodeId(9), MS(10));
            assert!(pull(&mut gaps).given_up.is_empty());
        }
        let mut smaller = gaps.clone();
        gaps.note(head(100), &want(0), NodeId(8), MS(10));
        assert_eq!(pull(&mut gaps).given_up, [NodeId(8)]);
        smaller.check(&want(2));
        assert!(pull(&mut smaller).given_up.is_empty());
    }

    #[test]
    fn an_answer_is_given_the_time_of_our_own_backlog_twice() {
        let mut gaps = Gaps::default();
        gaps.note(head(3), &want(0), NodeId(9), MS(10));
        gaps.take_due(MS(10), Duration::from_millis(50), &Protocol::default(), |_| false);
        assert_eq!(gaps.next_deadline(), Some(MS(120)));
    }

    #[test]
    fn a_large_gap_is_left_to_a_session_and_looked_at_again() {
        let mut gaps = Gaps::default();
        gaps.note(head(MAX_PULLED_VERSIONS + 1), &want(0), NodeId(9), MS(10));
        let due = take(&mut gaps);
        assert!(due.pulls.is_empty());
        assert_eq!(due.large, [NodeId(9)]);
        assert_eq!(gaps.next_deadline(), Some(MS(10) + Protocol::default().sync_min_gap));
        gaps.check(&want(1));
        assert_eq!(take(&mut gaps).pulls[&NodeId(9)], [NodeId(1)]);
    }

    #[test]
    fn a_gap_that_grows_waits_since_its_begin() {
        let mut gaps = Gaps::default();
        gaps.note(head(3), &want(0), NodeId(9), MS(10));
        gaps.note(head(5), &want(0), NodeId(9), MS(50));
        gaps.check(&want(3));
        let later = Head { epoch: Epoch(6), ..head(2) };
        gaps.note(later, &want(3), NodeId(9), MS(60));
        assert_eq!(gaps.since(NodeId(1)), Some(MS(10)));
        gaps.check(&Want { epoch: Epoch(6), ..want(2) });
        assert_eq!(gaps.since(NodeId(1)), None, "closed");
    }

    #[test]
    fn every_gap_has_one_deadline() {
        let mut gaps = Gaps::default();
        for n in 0..100_u64 {
            let head = Head { origin: NodeId(n % 7), epoch: Epoch(1 + n % 3), known_to: n };
            let want = Want { origin: head.origin, epoch: Epoch(1), after: n / 2, gc_floor: 0 };
            gaps.note(head, &want, NodeId(9), MS(100 - n));
            gaps.take_due(MS(n / 3), Duration::ZERO, &Protocol::default(), |_| false);
            gaps.check(&want);
            let due: BTreeSet<_> = gaps.gaps.iter().map(|(id, gap)| (gap.due, *id)).collect();
            assert_eq!(gaps.by_due, due);
        }
    }
}
