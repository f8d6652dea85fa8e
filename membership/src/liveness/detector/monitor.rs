//! Watching one member: a question each second, and whether its view of the members is ours.

use std::time::Duration;

use crate::base::time::Time;

use super::series::{Series, Step};

/// The time between two questions, on average.
pub(super) const PERIOD: Duration = Duration::from_secs(1);
/// By how much of it one is longer or shorter than another: those who began to watch a member together do not go on
/// asking it together, or its last sign of life would always be nearly a period old.
const JITTER: f64 = 0.1;
/// Who was heard by stream alone is asked by stream in time for so long.
const STREAM_MEMORY: Duration = Duration::from_secs(30);
/// Views that differ for so long, although they change, are compared.
const DIFFERS_FOR: Duration = Duration::from_secs(2);

/// One watched member.
#[derive(Debug)]
pub(super) struct Monitor {
    pub(super) series: Option<Series>,
    next: Time,
    /// By datagram it could not be reached lately.
    by_stream_until: Option<Time>,
    /// Both digests when they last differed, and since when they do.
    differs: Option<([u8; 4], [u8; 4], Time)>,
}

/// What a monitor wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// A new question: draw a nonce and call [`Monitor::begin`].
    Begin,
    /// Ping; and knock by stream too.
    Ping { stream: bool },
    /// Nobody answered since this moment.
    Accuse(Time),
}

impl Monitor {
    pub(super) fn new(first: Time) -> Self {
        Self { series: None, next: first, by_stream_until: None, differs: None }
    }

    /// Begins a question. The next one comes after about a `period`; how exactly, `chance` between 0 and 1 decides.
    pub(super) fn begin(&mut self, nonce: [u8; 4], period: Duration, chance: f64, now: Time) {
        self.series = Some(Series::new(nonce, now));
        self.next = now + period.mul_f64(1.0 + JITTER * (2.0 * chance - 1.0));
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.series.map_or(self.next, |series| series.next_deadline())
    }

    /// What is due.
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

    /// It answered.
    pub(super) fn heard(&mut self, by_stream: bool, now: Time) {
        self.series = None;
        self.by_stream_until = by_stream.then(|| now + STREAM_MEMORY);
    }

    /// Whether it answered by stream lately, and not by datagram.
    pub(super) fn is_heard_by_stream_alone(&self, now: Time) -> bool {
        self.by_stream_until.is_some_and(|until| now < until)
    }

    /// We slept: an answer may be waiting to be read.
    pub(super) fn begin_anew(&mut self, now: Time) {
        self.series = None;
        self.next = self.next.min(now + PERIOD / 5);
    }

    /// Notes both digests; returns whether the views differ and go on doing so.
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
    fn an_answer_ends_the_question_and_the_next_comes_a_second_later() {
        let mut monitor = Monitor::new(at(100));
        assert_eq!(monitor.step(at(99)), None);
        assert_eq!(monitor.step(at(100)), Some(Watch::Begin));
        monitor.begin([0; 4], PERIOD, 0.5, at(100));
        assert_eq!(monitor.step(at(100)), Some(Watch::Ping { stream: false }));
        monitor.heard(false, at(102));
        assert_eq!(monitor.next_deadline(), at(1_100));
    }

    #[test]
    fn silence_accuses_from_the_moment_of_the_first_ping() {
        let mut monitor = Monitor::new(at(0));
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
    fn who_answered_by_stream_alone_is_asked_by_stream_with_the_second_ping() {
        let mut monitor = Monitor::new(at(0));
        monitor.heard(true, at(0));
        monitor.begin([0; 4], PERIOD, 0.5, at(1_000));
        assert_eq!(monitor.step(at(1_000)), Some(Watch::Ping { stream: false }));
        assert_eq!(monitor.step(at(1_150)), Some(Watch::Ping { stream: true }));
    }

    #[test]
    fn views_that_differ_twice_alike_or_for_long_are_worth_comparing() {
        let (a, b, c) = ([1; 4], [2; 4], [3; 4]);
        let mut monitor = Monitor::new(at(0));
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
