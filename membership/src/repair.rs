//! What brings back a rumor that was lost: digests that show a difference, and gaps that are pulled until closed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::catalog::{Head, Version, Want};
use crate::config::Protocol;
use crate::identity::{Epoch, NodeId};
use crate::limits::MAX_PENDING_PULLS;
use crate::time::Time;

/// When digests are due: a short burst after news, and a steady trickle.
#[derive(Debug)]
pub(crate) struct DigestSchedule {
    after_news: [Duration; 4],
    period: Duration,
    /// The next of the burst, and when it is due.
    burst: Option<(usize, Time)>,
    quiet_at: Time,
}

impl DigestSchedule {
    pub(crate) fn new(protocol: &Protocol, first: Time) -> Self {
        Self {
            after_news: protocol.digest_after_news,
            period: protocol.digest_period,
            burst: None,
            quiet_at: first,
        }
    }

    /// Something changed: the burst begins, or begins anew after the digest that is due next.
    pub(crate) fn news(&mut self, now: Time) {
        let due = self.burst.map_or(now + self.after_news[0], |(_, due)| due);
        self.burst = Some((0, due));
    }

    pub(crate) fn next_deadline(&self) -> Time {
        self.burst.map_or(self.quiet_at, |(_, due)| due.min(self.quiet_at))
    }

    /// Whether a digest of the burst is due; `jitter` delays the one that follows.
    pub(crate) fn take_burst(&mut self, now: Time, jitter: Duration) -> bool {
        let Some((index, _)) = self.burst.filter(|(_, due)| *due <= now) else { return false };
        self.burst = self.after_news.get(index + 1).map(|wait| (index + 1, now + *wait + jitter));
        true
    }

    /// Whether a digest of the trickle is due.
    pub(crate) fn take_quiet(&mut self, now: Time, jitter: Duration) -> bool {
        let due = self.quiet_at <= now;
        if due {
            self.quiet_at = now + self.period + jitter;
        }
        due
    }
}

/// Heads that moved lately, to be named in digests.
#[derive(Debug, Default)]
pub(crate) struct RecentHeads {
    moved: VecDeque<(Time, NodeId)>,
}

impl RecentHeads {
    /// Heads younger than this may still be on their way as rumors.
    const SETTLED_AFTER: Duration = Duration::from_millis(10);
    /// Heads older than this are left to the digest itself.
    const OLD_AFTER: Duration = Duration::from_secs(1);
    /// How many are named.
    const MAX: usize = 24;

    pub(crate) fn moved(&mut self, origin: NodeId, now: Time) {
        self.moved.retain(|(_, moved)| *moved != origin);
        self.moved.push_back((now, origin));
        while self.moved.front().is_some_and(|(at, _)| now.since(*at) > Self::OLD_AFTER)
            || self.moved.len() > 1_000
        {
            self.moved.pop_front();
        }
    }

    /// The most recent first.
    pub(crate) fn settled(&self, now: Time) -> impl Iterator<Item = NodeId> + '_ {
        let settled = self.moved.iter().rev().filter(move |(at, _)| {
            let age = now.since(*at);
            age >= Self::SETTLED_AFTER && age <= Self::OLD_AFTER
        });
        settled.map(|(_, origin)| *origin).take(Self::MAX)
    }

    pub(crate) fn last_moved(&self) -> Option<Time> {
        self.moved.back().map(|(at, _)| *at)
    }
}

/// Something that we know to exist and do not have.
#[derive(Clone, Copy, Debug)]
struct Gap {
    epoch: Epoch,
    head: Version,
    /// Who has it.
    source: NodeId,
    /// Pulls since it last got smaller.
    tries: u32,
    due: Time,
    /// How far we knew the origin when it last got smaller.
    known: (Epoch, Version),
}

/// The gaps, by origin.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    gaps: BTreeMap<NodeId, Gap>,
}

/// What to do about the gaps that are due.
#[derive(Debug, Default)]
pub(crate) struct DueGaps {
    /// Origins to pull, by whom to ask.
    pub(crate) pulls: BTreeMap<NodeId, Vec<NodeId>>,
    /// Who to open a session with, because pulling does not help.
    pub(crate) given_up: Vec<NodeId>,
}

impl Gaps {
    /// Notes that `source` has an origin up to `head`. Returns false when there is no room.
    pub(crate) fn note(&mut self, head: Head, source: NodeId, due: Time) -> bool {
        if !self.gaps.contains_key(&head.origin) && self.gaps.len() >= MAX_PENDING_PULLS {
            return false;
        }
        let known = (Epoch(0), 0);
        let fresh = Gap { epoch: head.epoch, head: head.known_to, source, tries: 0, due, known };
        let gap = self.gaps.entry(head.origin).or_insert(fresh);
        if head.epoch > gap.epoch {
            *gap = Gap { due: gap.due.min(due), ..fresh };
        } else if head.epoch == gap.epoch && head.known_to > gap.head {
            // Steady news must not put off the session that a gap needs which no pull closes.
            *gap = Gap { head: head.known_to, source, ..*gap };
        }
        true
    }

    /// How many origins have one.
    pub(crate) fn len(&self) -> usize {
        self.gaps.len()
    }

    /// Forgets the gap of an origin if `want` shows that it is closed, and counts its pulls anew if it got smaller.
    pub(crate) fn check(&mut self, want: &Want) {
        let Some(gap) = self.gaps.get_mut(&want.origin) else { return };
        let known = (want.epoch, want.after);
        if known >= (gap.epoch, gap.head) {
            self.gaps.remove(&want.origin);
        } else if known > gap.known {
            gap.known = known;
            gap.tries = 0;
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.gaps.values().map(|gap| gap.due).min()
    }

    pub(crate) fn take_due(&mut self, now: Time, protocol: &Protocol) -> DueGaps {
        let mut result = DueGaps::default();
        self.gaps.retain(|origin, gap| {
            if gap.due > now {
                return true;
            }
            if gap.tries >= protocol.pull_tries {
                result.given_up.push(gap.source);
                return false;
            }
            gap.due = now + protocol.pull_retry * (1 << gap.tries.min(16));
            gap.tries += 1;
            result.pulls.entry(gap.source).or_default().push(*origin);
            true
        });
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

    #[test]
    fn digests_follow_news_each_counted_from_the_one_before() {
        let mut schedule = DigestSchedule::new(&Protocol::default(), MS(100_000));
        schedule.news(MS(0));
        let mut sent = Vec::new();
        while schedule.next_deadline() < MS(100_000) {
            let due = schedule.next_deadline();
            assert!(schedule.take_burst(due, Duration::ZERO));
            sent.push(due);
        }
        assert_eq!(sent, [MS(20), MS(60), MS(140), MS(340)]);
    }

    #[test]
    fn steady_news_does_not_put_digests_off() {
        let mut schedule = DigestSchedule::new(&Protocol::default(), MS(100_000));
        schedule.news(MS(0));
        schedule.news(MS(15));
        assert_eq!(schedule.next_deadline(), MS(20));
    }

    #[test]
    fn a_gap_is_pulled_with_growing_waits_and_then_given_up() {
        let protocol = Protocol::default();
        let mut gaps = Gaps::default();
        gaps.note(head(3), NodeId(9), MS(10));
        let mut pulled_at = Vec::new();
        let given_up = loop {
            let due = gaps.next_deadline().expect("open");
            let due_gaps = gaps.take_due(due, &protocol);
            if !due_gaps.given_up.is_empty() {
                break due_gaps.given_up;
            }
            assert_eq!(due_gaps.pulls[&NodeId(9)], [NodeId(1)]);
            pulled_at.push(due);
        };
        assert_eq!(pulled_at, [MS(10), MS(20), MS(40), MS(80)]);
        assert_eq!(given_up, [NodeId(9)]);
        assert_eq!(gaps.next_deadline(), None);
    }

    #[test]
    fn a_gap_closes_when_its_head_is_reached_and_not_before() {
        let mut gaps = Gaps::default();
        gaps.note(head(3), NodeId(9), MS(10));
        gaps.check(&Want { origin: NodeId(1), epoch: Epoch(5), after: 2, gc_floor: 0 });
        assert!(gaps.next_deadline().is_some());
        gaps.check(&Want { origin: NodeId(1), epoch: Epoch(5), after: 3, gc_floor: 0 });
        assert!(gaps.next_deadline().is_none());
    }

    #[test]
    fn news_beyond_a_gap_does_not_put_off_the_session_and_a_smaller_gap_does() {
        let protocol = Protocol::default();
        let pull = |gaps: &mut Gaps| {
            let due = gaps.next_deadline().expect("open");
            gaps.take_due(due, &protocol)
        };
        let mut gaps = Gaps::default();
        for n in 0..u64::from(protocol.pull_tries) {
            gaps.note(head(3 + n), NodeId(9), MS(10));
            assert!(pull(&mut gaps).given_up.is_empty());
        }
        let mut smaller = Gaps { gaps: gaps.gaps.clone() };
        gaps.note(head(10), NodeId(8), MS(10));
        assert_eq!(pull(&mut gaps).given_up, [NodeId(8)]);
        smaller.check(&Want { origin: NodeId(1), epoch: Epoch(5), after: 2, gc_floor: 0 });
        assert!(pull(&mut smaller).given_up.is_empty());
    }

    #[test]
    fn heads_on_their_way_and_old_ones_are_not_named() {
        let mut recent = RecentHeads::default();
        recent.moved(NodeId(1), MS(0));
        recent.moved(NodeId(2), MS(900));
        recent.moved(NodeId(3), MS(1_100));
        assert_eq!(recent.settled(MS(1_105)).collect::<Vec<_>>(), [NodeId(2)]);
    }
}
