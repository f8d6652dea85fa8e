//! Digests: the times at which they are due, and the heads that they name.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::base::identity::NodeId;
use crate::base::limits::MAX_RECENT_HEADS;
use crate::base::protocol::Protocol;
use crate::base::time::Time;

/// The times at which digests are due: a short burst after news, and one in each period.
#[derive(Debug)]
pub(crate) struct DigestSchedule {
    after_news: [Duration; 4],
    period: Duration,
    /// The number of the next digest in the burst, and the time at which it is due.
    burst: Option<(usize, Time)>,
    /// The time at which the next periodic digest is due.
    quiet_at: Time,
    news_at: Time,
}

/// The number of a digest that is due. Nodes that hold the same catalog are in the same round, whatever their clocks
/// show, so a round and a catalog together decide which peers each node sends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round(pub(crate) u64);

impl DigestSchedule {
    pub(crate) fn new(protocol: &Protocol, now: Time, first: Time) -> Self {
        Self {
            after_news: protocol.digest_after_news,
            period: protocol.digest_period.max(Duration::from_millis(1)),
            burst: None,
            quiet_at: first,
            news_at: now,
        }
    }

    /// Begins the burst, or begins it anew, because something changed. A digest that is due earlier stays due then, so
    /// steady news put no digest off.
    pub(crate) fn news(&mut self, now: Time) {
        let first = now + self.after_news[0];
        let due = self.burst.map_or(first, |(_, due)| due.min(first));
        self.burst = Some((0, due));
        self.news_at = now;
    }

    /// The time of the last news.
    pub(crate) fn last_news(&self) -> Time {
        self.news_at
    }

    pub(crate) fn next_deadline(&self) -> Time {
        self.burst.map_or(self.quiet_at, |(_, due)| due.min(self.quiet_at))
    }

    /// Takes the digest of the burst that is due, if any. `jitter` delays the next one.
    pub(crate) fn take_burst(&mut self, now: Time, jitter: Duration) -> Option<Round> {
        let (index, _) = self.burst.filter(|(_, due)| *due <= now)?;
        self.burst = self.after_news.get(index + 1).map(|wait| (index + 1, now + *wait + jitter));
        Some(Round(index as u64))
    }

    /// Takes the periodic digest that is due, if any. `jitter` delays the next one.
    pub(crate) fn take_quiet(&mut self, now: Time, jitter: Duration) -> Option<Round> {
        if self.quiet_at > now {
            return None;
        }
        self.quiet_at = now + self.period + jitter;
        let periods = now.since(self.news_at).as_micros() / self.period.as_micros();
        Some(Round(self.after_news.len() as u64 + u64::try_from(periods).unwrap_or(u64::MAX / 2)))
    }
}

/// Heads that moved within the last second, to be named in digests.
#[derive(Debug, Default)]
pub(crate) struct RecentHeads {
    /// Every move, in order. Of the moves of one origin only the latest counts.
    moves: VecDeque<(Time, NodeId)>,
    /// The latest move of each origin.
    latest: BTreeMap<NodeId, Time>,
}

impl RecentHeads {
    /// Heads that moved less than this ago may still be on their way as rumors.
    const SETTLED_AFTER: Duration = Duration::from_millis(10);
    /// Heads that moved longer ago than this are not named; the hash of the digest covers them.
    const OLD_AFTER: Duration = Duration::from_secs(1);
    /// The most heads that one digest names.
    const MAX_NAMED: usize = 24;

    pub(crate) fn moved(&mut self, origin: NodeId, now: Time) {
        if self.latest.insert(origin, now) != Some(now) {
            self.moves.push_back((now, origin));
        }
        while let Some((at, origin)) = self.moves.front().copied()
            && (now.since(at) > Self::OLD_AFTER || self.moves.len() > MAX_RECENT_HEADS)
        {
            self.moves.pop_front();
            if self.latest.get(&origin) == Some(&at) {
                self.latest.remove(&origin);
            }
        }
    }

    /// The time at which the head of an origin last moved, if it is still remembered.
    pub(crate) fn when_moved(&self, origin: NodeId) -> Option<Time> {
        self.latest.get(&origin).copied()
    }

    /// The origins to name in a digest now, the most recent first, of those that `is_named` takes.
    pub(crate) fn settled(
        &self,
        now: Time,
        is_named: impl Fn(NodeId) -> bool,
    ) -> impl Iterator<Item = NodeId> {
        let moves = self.moves.iter().rev();
        let settled = moves
            .take_while(move |(at, _)| now.since(*at) <= Self::OLD_AFTER)
            .filter(move |(at, _)| now.since(*at) >= Self::SETTLED_AFTER)
            .filter(|(at, origin)| self.latest.get(origin) == Some(at));
        let origins = settled.map(|(_, origin)| *origin);
        origins.filter(move |origin| is_named(*origin)).take(Self::MAX_NAMED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Time = Time::from_millis;

    fn schedule() -> DigestSchedule {
        DigestSchedule::new(&Protocol::default(), MS(0), MS(100_000))
    }

    #[test]
    fn digests_follow_news_each_counted_from_the_one_before() {
        let mut schedule = schedule();
        schedule.news(MS(0));
        let mut sent = Vec::new();
        while schedule.next_deadline() < MS(100_000) {
            let due = schedule.next_deadline();
            let round = schedule.take_burst(due, Duration::ZERO).expect("due");
            assert_eq!(round, Round(sent.len() as u64));
            sent.push(due);
        }
        assert_eq!(sent, [MS(20), MS(60), MS(140), MS(340)]);
    }

    #[test]
    fn steady_news_does_not_put_digests_off() {
        let mut schedule = schedule();
        schedule.news(MS(0));
        schedule.news(MS(15));
        assert_eq!(schedule.next_deadline(), MS(20));
    }

    #[test]
    fn late_in_a_burst_news_is_not_later_than_at_its_beginning() {
        let mut schedule = schedule();
        schedule.news(MS(0));
        for due in [20, 60, 140] {
            assert!(schedule.take_burst(MS(due), Duration::ZERO).is_some());
        }
        schedule.news(MS(150));
        assert_eq!(schedule.next_deadline(), MS(170));
    }

    #[test]
    fn nodes_with_one_catalog_are_in_one_round_whenever_they_send_digests() {
        let mut early = schedule();
        let mut late = schedule();
        early.news(MS(1_000));
        late.news(MS(1_003));
        early.quiet_at = MS(3_100);
        late.quiet_at = MS(3_400);
        let jitter = Duration::ZERO;
        assert_eq!(early.take_quiet(MS(3_100), jitter), late.take_quiet(MS(3_400), jitter));
        assert_ne!(early.take_quiet(MS(3_600), jitter), Some(Round(8)));
    }

    #[test]
    fn heads_on_their_way_and_old_ones_are_not_named() {
        let mut recent = RecentHeads::default();
        recent.moved(NodeId(1), MS(0));
        recent.moved(NodeId(2), MS(900));
        recent.moved(NodeId(3), MS(1_100));
        assert_eq!(recent.settled(MS(1_105), |_| true).collect::<Vec<_>>(), [NodeId(2)]);
    }

    #[test]
    fn a_head_that_moves_again_is_named_once_and_no_more_are_remembered_than_may_be() {
        let mut recent = RecentHeads::default();
        for n in 0..2 * MAX_RECENT_HEADS as u64 {
            recent.moved(NodeId(n % 3), MS(n / 4));
        }
        assert_eq!(recent.settled(MS(550), |_| true).count(), 3);
        assert!(recent.moves.len() <= MAX_RECENT_HEADS);
        assert_eq!(recent.latest.len(), 3);
    }
}
