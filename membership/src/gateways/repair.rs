//! Repair between datacenters: when a difference that a beat shows is worth a session, and who opens it.
//!
//! Of each pair of datacenters only the primary gateway opens sessions, so that nothing crosses twice. The second takes over
//! if the difference stays.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::datacenter::DatacenterId;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;

/// A difference that stays for this long is left to the second gateway, too.
const SECOND_AFTER: Duration = Duration::from_secs(3);
/// Without news of a datacenter for this long, its digest should be equal.
const QUIET_AFTER: Duration = Duration::from_millis(300);
/// The second gateway waits for this long without news: a session of the primary may be under way.
const SECOND_QUIET_AFTER: Duration = Duration::from_secs(1);
/// Beats in a row that differ, without a head that explains it, after which a session is worth it while nothing new comes.
const MISMATCHES_WHEN_QUIET: u32 = 2;
/// The same while there are news.
const MISMATCHES: u32 = 20;
/// The least time between two sessions about one datacenter. It doubles with each that began while there were news, and was completed, until the
/// digests are equal: a datacenter whose breakers hold back changes all the time differs all the time.
const MIN_GAP: Duration = Duration::from_millis(500);
/// The number of times that it doubles at most.
const MAX_DOUBLED: u32 = 4;
/// A session that changed nothing is not repeated for this long, while both digests stay as they are.
const FUTILE_FOR: Duration = Duration::from_secs(30);

/// What is known of the difference in one part of the catalog.
#[derive(Clone, Copy, Debug, Default)]
struct Difference {
    since: Option<Time>,
    mismatches: u32,
    news_at: Option<Time>,
    not_before: Time,
    /// Our digest and the other one when the last session began, and the time.
    last: Option<(u64, u64, Time)>,
    /// The sessions in a row that began while there were news.
    busy: u32,
    /// Whether the last session was completed.
    is_completed: bool,
    /// Whether a session of ours is under way.
    is_open: bool,
}

/// What a beat shows about one part of the catalog.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    /// Our digest of the part.
    pub(crate) ours: u64,
    /// The digest of the sender.
    pub(crate) theirs: u64,
    /// Our place among the gateways that repair: 0 for the primary. `None` for others.
    pub(crate) rank: Option<usize>,
    /// Whether pulls of heads that the beat names explain the difference.
    pub(crate) is_explained: bool,
    /// Whether this is the first sign of life after a silence.
    pub(crate) is_first: bool,
}

/// The differences, by datacenter.
#[derive(Debug, Default)]
pub(crate) struct Repair {
    of: BTreeMap<DatacenterId, Difference>,
}

impl Repair {
    /// Notes news of an origin of a datacenter.
    pub(crate) fn news(&mut self, home: DatacenterId, now: Time) {
        self.of.entry(home).or_default().news_at = Some(now);
    }

    /// Judges what a beat shows. Returns whether to open a session about this part now.
    pub(crate) fn judge(&mut self, part: DatacenterId, shown: Shown, now: Time) -> bool {
        let difference = self.of.entry(part).or_default();
        if shown.ours == shown.theirs {
            (difference.since, difference.mismatches, difference.busy) = (None, 0, 0);
            return false;
        }
        let since = *difference.since.get_or_insert(now);
        difference.mismatches += u32::from(!shown.is_explained);
        if difference.is_open || now < difference.not_before || difference.is_futile(&shown, now) {
            return false;
        }
        let is_quiet = |time| difference.is_quiet(time, now);
        match shown.rank.filter(|_| !mutant::is(Mutant::AnyGatewayOpens)) {
            None if mutant::is(Mutant::AnyGatewayOpens) => true,
            Some(0) => {
                let enough = if is_quiet(QUIET_AFTER) { MISMATCHES_WHEN_QUIET } else { MISMATCHES };
                shown.is_first || difference.mismatches >= enough
            }
            Some(1) => now.since(since) >= SECOND_AFTER && is_quiet(SECOND_QUIET_AFTER),
            _ => false,
        }
    }

    /// Notes that a session about a part begins.
    pub(crate) fn opened(&mut self, part: DatacenterId, ours: u64, theirs: u64, now: Time) {
        let difference = self.of.entry(part).or_default();
        let is_busy = !difference.is_quiet(QUIET_AFTER, now);
        difference.busy = if is_busy { (difference.busy + 1).min(MAX_DOUBLED) } else { 0 };
        difference.not_before = now + MIN_GAP * 2_u32.pow(difference.busy);
        difference.mismatches = 0;
        difference.last = Some((ours, theirs, now));
        (difference.is_open, difference.is_completed) = (true, false);
    }

    /// Notes that our session about a part is over.
    pub(crate) fn closed(&mut self, part: DatacenterId, is_completed: bool) {
        let difference = self.of.entry(part).or_default();
        (difference.is_open, difference.is_completed) = (false, is_completed);
        if let Some((.., began)) = difference.last.filter(|_| !is_completed) {
            (difference.busy, difference.not_before) = (0, began + MIN_GAP);
        }
    }

    /// Forgets other datacenters than these.
    pub(crate) fn retain(&mut self, others: &[DatacenterId]) {
        self.of.retain(|part, _| others.contains(part));
    }
}

impl Difference {
    fn is_quiet(&self, time: Duration, now: Time) -> bool {
        self.news_at.is_none_or(|at| now.since(at) > time)
    }

    fn is_futile(&self, shown: &Shown, now: Time) -> bool {
        self.is_completed
            && self.last.is_some_and(|(ours, theirs, at)| {
                (ours, theirs) == (shown.ours, shown.theirs) && now.since(at) < FUTILE_FOR
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EU: DatacenterId = DatacenterId(1);
    const MS: fn(u64) -> Time = Time::from_millis;
    const DIFFERS: Shown =
        Shown { ours: 1, theirs: 2, rank: Some(0), is_explained: false, is_first: false };

    #[test]
    fn the_primary_opens_when_it_is_quiet_and_at_the_first_sign_of_life() {
        let mut repair = Repair::default();
        assert!(!repair.judge(EU, DIFFERS, MS(1_000)), "it may be under way");
        assert!(repair.judge(EU, DIFFERS, MS(1_500)));
        let mut repair = Repair::default();
        assert!(repair.judge(EU, Shown { is_first: true, ..DIFFERS }, MS(1_000)));
        let mut repair = Repair::default();
        for n in 0..19 {
            repair.news(EU, MS(100 * n));
            assert!(!repair.judge(EU, DIFFERS, MS(100 * n)));
        }
        repair.news(EU, MS(1_900));
        assert!(repair.judge(EU, DIFFERS, MS(1_900)), "steady news put it off for a while only");
    }

    #[test]
    fn steady_news_have_fewer_and_fewer_sessions() {
        let mut repair = Repair::default();
        let mut opened = Vec::new();
        for n in 0..600 {
            let now = MS(100 * n);
            repair.news(EU, now);
            if repair.judge(EU, Shown { theirs: n + 2, ..DIFFERS }, now) {
                repair.opened(EU, 1, n + 2, now);
                repair.closed(EU, true);
                opened.push(n);
            }
        }
        assert_eq!(opened, [19, 39, 59, 99, 179, 259, 339, 419, 499, 579], "tenths of a second");
    }

    #[test]
    fn the_second_waits_and_others_open_nothing() {
        let mut repair = Repair::default();
        let second = Shown { rank: Some(1), is_first: true, ..DIFFERS };
        assert!(!repair.judge(EU, second, MS(1_000)));
        assert!(!repair.judge(EU, second, MS(3_900)));
        assert!(repair.judge(EU, second, MS(4_000)));
        assert!(!repair.judge(EU, Shown { rank: None, ..second }, MS(9_000)));
        assert!(!repair.judge(EU, Shown { ours: 2, ..second }, MS(9_100)), "equal");
        assert!(!repair.judge(EU, second, MS(9_200)), "the difference is a new one");
    }

    #[test]
    fn a_session_that_changed_nothing_is_not_repeated_and_one_that_failed_is() {
        let first = Shown { is_first: true, ..DIFFERS };
        for (is_completed, again) in [(true, false), (false, true)] {
            let mut repair = Repair::default();
            assert!(repair.judge(EU, first, MS(1_000)));
            repair.opened(EU, 1, 2, MS(1_000));
            assert!(!repair.judge(EU, first, MS(2_000)), "it is under way");
            repair.closed(EU, is_completed);
            assert_eq!(repair.judge(EU, first, MS(3_000)), again);
            assert!(repair.judge(EU, Shown { theirs: 3, ..first }, MS(3_000)));
        }
    }
}
