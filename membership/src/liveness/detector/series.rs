//! A series of up to five pings with one nonce to one member, or of three where very many members are pinged.

use std::time::Duration;

use crate::base::time::Time;

/// When each ping is sent, counted from the first.
const TRIES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(150),
    Duration::from_millis(210),
    Duration::from_millis(270),
    Duration::from_millis(330),
];
/// The same in a short series.
const FEW_TRIES: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(150), Duration::from_millis(300)];
/// When the series has failed, counted from the first ping.
const GIVE_UP: Duration = Duration::from_millis(350);

/// A step of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send the n-th ping, counted from 1.
    Ping(usize),
    /// The member did not answer.
    Failed,
}

/// A series that waits for its pong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Series {
    pub(super) nonce: [u8; 4],
    pub(super) started: Time,
    tries: &'static [Duration],
    sent: usize,
}

impl Series {
    pub(super) fn new(nonce: [u8; 4], now: Time) -> Self {
        Self { nonce, started: now, tries: &TRIES, sent: 0 }
    }

    /// A series with fewer pings, in the same time.
    pub(super) fn short(nonce: [u8; 4], now: Time) -> Self {
        Self { tries: &FEW_TRIES, ..Self::new(nonce, now) }
    }

    /// Whether more than one ping was sent.
    pub(super) fn is_repeated(&self) -> bool {
        self.sent > 1
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.started + self.tries.get(self.sent).copied().unwrap_or(GIVE_UP)
    }

    /// The next step, if it is due.
    pub(super) fn step(&mut self, now: Time) -> Option<Step> {
        if now < self.next_deadline() {
            return None;
        }
        if self.sent == self.tries.len() {
            return Some(Step::Failed);
        }
        self.sent += 1;
        Some(Step::Ping(self.sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use Step::{Failed, Ping};

    fn steps(mut series: Series) -> Vec<(u64, Step)> {
        let mut steps = Vec::new();
        loop {
            let at = series.next_deadline();
            let Some(step) = series.step(at) else { panic!("due") };
            steps.push((at.as_micros() / 1_000, step));
            if step == Failed {
                return steps;
            }
        }
    }

    #[test]
    fn a_series_fails_after_five_pings() {
        let expected = [
            (0, Ping(1)),
            (150, Ping(2)),
            (210, Ping(3)),
            (270, Ping(4)),
            (330, Ping(5)),
            (350, Failed),
        ];
        assert_eq!(steps(Series::new([0; 4], Time::ZERO)), expected);
    }

    #[test]
    fn a_short_series_fails_after_three_pings_in_the_same_time() {
        let expected = [(0, Ping(1)), (150, Ping(2)), (300, Ping(3)), (350, Failed)];
        assert_eq!(steps(Series::short([0; 4], Time::ZERO)), expected);
    }
}
