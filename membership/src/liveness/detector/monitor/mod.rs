//! Watching one member: a series of pings each second, and whether its view of the members equals ours.

mod link;

use std::time::Duration;

use crate::base::time::Time;

use super::LINK_BROKEN_AFTER;
use super::round_trip::RoundTrip;
use super::series::{Series, Step};
use link::Link;

/// The average time between two series.
pub(super) const PERIOD: Duration = Duration::from_secs(1);
/// Jitter of the period, as a share of it. Monitors that began together would otherwise go on pinging together, and the
/// member's last sign of life would often be nearly a period old.
const JITTER: f64 = 0.1;
/// A member that answered by stream alone is also probed by stream for this long.
const STREAM_MEMORY: Duration = Duration::from_secs(30);
/// Views that differ for this long are compared, even if they still change.
const DIFFERS_FOR: Duration = Duration::from_secs(2);

/// One watched member.
#[derive(Debug)]
pub(super) struct Monitor {
    pub(super) series: Option<Series>,
    /// Whether the member is beyond those that the ring assigns to us: see [`super::watch`].
    pub(super) is_beyond: bool,
    pub(super) round_trip: RoundTrip,
    pub(super) link: Link,
    next: Time,
    /// When the member last answered, or when we began to watch it.
    answered: Time,
    /// Until when the second ping also goes by stream, because the member last answered by stream.
    by_stream_until: Option<Time>,
    /// Our digest and the member's when they last differed, and since when they differ.
    differs: Option<([u8; 4], [u8; 4], Time)>,
}

/// A step of a monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// Draw a nonce for a new series and call [`Monitor::begin`].
    Begin,
    /// Ping the member, by stream too if `stream` is set.
    Ping { stream: bool },
    /// Accuse the member, which did not answer the series that began at this time.
    Accuse(Time),
}

impl Monitor {
    pub(super) fn new(first: Time, is_beyond: bool) -> Self {
        Self {
            series: None,
            is_beyond,
            round_trip: RoundTrip::default(),
            link: Link::new(first),
            next: first,
            answered: first,
            by_stream_until: None,
            differs: None,
        }
    }

    /// Begins a series. The next one follows after about a `period`; `chance`, between 0 and 1, sets the jitter.
    pub(super) fn begin(&mut self, nonce: [u8; 4], period: Duration, chance: f64, now: Time) {
        let new = if self.is_beyond { Series::short } else { Series::new };
        self.series = Some(new(nonce, now));
        self.next = now + period.mul_f64(1.0 + JITTER * (2.0 * chance - 1.0));
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.series.map_or(self.next, |series| series.next_deadline())
    }

    /// The next step, if one is due.
    pub(super) fn step(&mut self, now: Time) -> Option<Watch> {
        let Some(series) = &mut self.series else {
            return (self.next <= now).then_some(Watch::Begin);
        };
        match series.step(now)? {
            Step::Ping(n) => {
                Some(Watch::Ping { stream: n == 2 && self.is_heard_by_stream_alone(now) })
            }
            Step::Failed => {
                let started = series.started;
                self.series = None;
                Some(Watch::Accuse(started))
            }
        }
    }

    /// Notes that the member answered.
    pub(super) fn heard(&mut self, by_stream: bool, now: Time) {
        self.series = None;
        self.answered = now;
        self.by_stream_until = by_stream.then(|| now + STREAM_MEMORY);
    }

    /// Notes the answer to a ping of this series.
    pub(super) fn measure(&mut self, series: Series, now: Time) {
        self.round_trip.note(now.since(series.started), series.is_repeated());
    }

    /// The time since the member last answered, or since we began to watch it, once it is [`LINK_BROKEN_AFTER`]. Our own
    /// stalls begin it anew, unless the link is broken.
    pub(super) fn unanswered_for(&self, now: Time) -> Option<Duration> {
        let silence = now.since(self.answered);
        let is_long = silence >= LINK_BROKEN_AFTER;
        self.link.broken_for(now).or(is_long.then_some(silence))
    }

    /// Whether the member last answered by stream, and did so lately.
    pub(super) fn is_heard_by_stream_alone(&self, now: Time) -> bool {
        self.by_stream_until.is_some_and(|until| now < until)
    }

    /// Drops the series after a stall of our own loop, since an answer may be waiting unread, and pings again soon.
    pub(super) fn begin_anew(&mut self, now: Time) {
        self.link.begin_anew();
        self.series = None;
        self.answered = now;
        self.next = self.next.min(now + PERIOD / 5);
    }

    /// Notes both digests, and returns whether the views should be compared: either both digests are the same as the
    /// last time that they differed, or the views have differed for long.
    pub(super) fn compare(&mut self, own: [u8; 4], theirs: [u8; 4], now: Time) -> bool {
        if own == theirs {
            self.differs = None;
            return false;
        }
        let before = self.differs;
        let since = before.map_or(now, |(_, _, since)| since);
        self.differs = Some((own, theirs, since));
        let same = before.is_some_and(|(ours, others, _)| (ours, others) == (own, theirs));
        same || now.since(since) >= DIFFERS_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    #[test]
    fn an_answer_ends_the_series_and_the_next_begins_a_second_later() {
        let mut monitor = Monitor::new(at(100), false);
        assert_eq!(monitor.step(at(99)), None);
        assert_eq!(monitor.step(at(100)), Some(Watch::Begin));
        monitor.begin([0; 4], PERIOD, 0.5, at(100));
        assert_eq!(monitor.step(at(100)), Some(Watch::Ping { stream: false }));
        monitor.heard(false, at(102));
        assert_eq!(monitor.next_deadline(), at(1_100));
    }

    #[test]
    fn an_accusation_counts_from_the_first_unanswered_ping() {
        let mut monitor = Monitor::new(at(0), false);
        monitor.begin([0; 4], PERIOD, 0.5, at(0));
        let mut steps = Vec::new();
        while let Some(step) = monitor.step(monitor.next_deadline()) {
            steps.push(step);
            if matches!(step, Watch::Accuse(_)) {
                break;
            }
        }
        assert_eq!(steps.len(), 6);
        assert_eq!(steps.last(), Some(&Watch::Accuse(at(0))));
    }

    #[test]
    fn the_second_ping_goes_by_stream_too_after_an_answer_by_stream() {
        let mut monitor = Monitor::new(at(0), false);
        monitor.heard(true, at(0));
        monitor.begin([0; 4], PERIOD, 0.5, at(1_000));
        assert_eq!(monitor.step(at(1_000)), Some(Watch::Ping { stream: false }));
        assert_eq!(monitor.step(at(1_150)), Some(Watch::Ping { stream: true }));
    }

    #[test]
    fn views_are_compared_when_they_differ_twice_alike_or_for_long() {
        let (a, b, c) = ([1; 4], [2; 4], [3; 4]);
        let mut monitor = Monitor::new(at(0), false);
        assert!(!monitor.compare(a, a, at(0)));
        assert!(!monitor.compare(a, b, at(1_000)));
        assert!(!monitor.compare(a, c, at(2_000)), "they are still changing");
        assert!(monitor.compare(a, c, at(3_000)));
        assert!(!monitor.compare(c, c, at(4_000)));
        assert!(!monitor.compare(a, b, at(5_000)));
        assert!(!monitor.compare(a, c, at(6_000)));
        assert!(monitor.compare(a, b, at(7_000)), "for long enough");
    }
}
