//! The bandwidth that rumors and repair may take: token buckets (Turner, "New directions in communications", 1986) on
//! the caller's clock.

use std::time::Duration;

use crate::base::limits::{MAX_RECORD_BYTES, MIN_SESSION_BYTES_PER_SECOND};
use crate::base::time::Time;

/// One byte a second is one token in a microsecond, a byte costs a million: integers, and no rounding.
const TOKENS_PER_BYTE: u64 = 1_000_000;
/// What an idle line may send at once.
const BURST: Duration = Duration::from_millis(20);
/// Room in a frame of deltas for all but its largest record.
const FRAME_OVERHEAD_BYTES: usize = 128;

/// What may be sent in a second.
///
/// One bucket is everybody's. It fills with nine tenths of the bytes of a second; the last tenth is for what it holds at
/// the beginning of the second, and for what is owed at the end. Sessions have another one beside, with a fifth: who
/// takes from that one owes it to the first as well, so the others make room and the sum stays the same.
#[derive(Debug)]
pub(crate) struct Budget {
    all: Bucket,
    sessions: Bucket,
    session_frame_bytes: usize,
}

impl Budget {
    /// Full buckets. No rate is less than a datagram in two seconds.
    pub(crate) fn new(bytes_per_second: u64, now: Time) -> Self {
        let bytes_per_second = bytes_per_second.max(1_000);
        let burst = Self::tokens(bytes_per_second, BURST);
        // Sessions that all have to wait for each other must not be dropped for it.
        let least = 4 * MIN_SESSION_BYTES_PER_SECOND;
        let share = usize::try_from(bytes_per_second / 80).unwrap_or(usize::MAX);
        Self {
            all: Bucket::new(bytes_per_second - bytes_per_second / 10, burst, now),
            sessions: Bucket::new((bytes_per_second / 5).max(least), 0, now),
            session_frame_bytes: share.max(MAX_RECORD_BYTES + FRAME_OVERHEAD_BYTES),
        }
    }

    fn tokens(bytes_per_second: u64, time: Duration) -> u64 {
        bytes_per_second.saturating_mul(time.as_micros() as u64)
    }

    /// Whether a datagram may be sent, whatever its size.
    pub(crate) fn is_ready(&mut self, now: Time) -> bool {
        self.all.is_ready(now)
    }

    /// When a datagram may be sent.
    pub(crate) fn ready_at(&self) -> Time {
        self.all.ready_at()
    }

    /// Takes what a datagram costs.
    pub(crate) fn spend(&mut self, bytes: usize, now: Time) {
        self.all.spend(bytes, now);
    }

    /// How long so many bytes will take beside what is owed.
    pub(crate) fn time_for(&self, bytes: usize) -> Duration {
        self.all.time_for(bytes)
    }

    /// Whether a session may send a frame.
    pub(crate) fn is_ready_for_session(&mut self, now: Time) -> bool {
        self.all.is_ready(now) || self.sessions.is_ready(now)
    }

    /// When a session may send a frame.
    pub(crate) fn ready_for_session_at(&self) -> Time {
        self.all.ready_at().min(self.sessions.ready_at())
    }

    /// Takes what a frame costs, of the share of sessions only when nothing else is left.
    pub(crate) fn spend_on_session(&mut self, bytes: usize, now: Time) {
        if !self.all.is_ready(now) {
            self.sessions.spend(bytes, now);
        }
        self.all.spend(bytes, now);
    }

    /// How long a frame of deltas may be, so that what waits behind it does not wait for long.
    pub(crate) fn session_frame_bytes(&self) -> usize {
        self.session_frame_bytes
    }
}

/// A bucket that fills with time. Whoever finds it not in debt may take from it what he needs.
#[derive(Debug)]
struct Bucket {
    bytes_per_second: u64,
    /// The most that is saved.
    burst: u64,
    /// Tokens that are there, and those that are owed; one of them is 0.
    saved: u64,
    owed: u64,
    at: Time,
}

impl Bucket {
    fn new(bytes_per_second: u64, burst: u64, now: Time) -> Self {
        Self { bytes_per_second, burst, saved: burst, owed: 0, at: now }
    }

    fn refill(&mut self, now: Time) {
        let elapsed = now.as_micros().saturating_sub(self.at.as_micros());
        self.at = self.at.max(now);
        let earned = elapsed.saturating_mul(self.bytes_per_second);
        let left = earned.saturating_sub(self.owed);
        self.owed = self.owed.saturating_sub(earned);
        self.saved = self.saved.saturating_add(left).min(self.burst);
    }

    fn is_ready(&mut self, now: Time) -> bool {
        self.refill(now);
        self.owed == 0
    }

    /// When it will be out of debt.
    fn ready_at(&self) -> Time {
        self.at + Duration::from_micros(self.owed.div_ceil(self.bytes_per_second))
    }

    fn spend(&mut self, bytes: usize, now: Time) {
        self.refill(now);
        let cost = (bytes as u64).saturating_mul(TOKENS_PER_BYTE);
        self.owed = self.owed.saturating_add(cost.saturating_sub(self.saved));
        self.saved = self.saved.saturating_sub(cost);
    }

    fn time_for(&self, bytes: usize) -> Duration {
        let tokens = (bytes as u64).saturating_mul(TOKENS_PER_BYTE).saturating_add(self.owed);
        Duration::from_micros(tokens.saturating_sub(self.saved) / self.bytes_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Time = Time::from_millis;

    /// What is sent by datagram and by sessions in each millisecond, with something to send in every one of them.
    fn sent(datagrams: bool, sessions: bool) -> Vec<(usize, usize)> {
        let mut budget = Budget::new(1_250_000, MS(0));
        let frame = budget.session_frame_bytes();
        let mut sent = Vec::new();
        for ms in (0..5_000).map(MS) {
            let mut now = (0, 0);
            while datagrams && budget.is_ready(ms) {
                budget.spend(1_400, ms);
                now.0 += 1_400;
            }
            while sessions && budget.is_ready_for_session(ms) {
                budget.spend_on_session(frame, ms);
                now.1 += frame;
            }
            sent.push(now);
        }
        sent
    }

    #[test]
    fn in_no_second_more_is_sent_than_may_be() {
        for (datagrams, sessions) in [(true, false), (false, true), (true, true)] {
            let sent = sent(datagrams, sessions);
            for second in sent.windows(1_000) {
                let bytes: usize =
                    second.iter().map(|(datagrams, frames)| datagrams + frames).sum();
                assert!((1_100_000..=1_200_000).contains(&bytes), "{bytes}");
            }
        }
    }

    #[test]
    fn sessions_have_a_fifth_whatever_else_there_is_to_send() {
        for second in sent(true, true).windows(1_000) {
            let frames: usize = second.iter().map(|(_, frames)| frames).sum();
            assert!((230_000..=270_000).contains(&frames), "{frames}");
        }
    }

    #[test]
    fn a_debt_is_paid_when_it_says_so() {
        let mut budget = Bucket::new(100_000, 2_000 * TOKENS_PER_BYTE, MS(0));
        budget.spend(2_000 + 1_000, MS(0));
        assert!(!budget.is_ready(MS(9)));
        assert_eq!(budget.ready_at(), MS(10));
        assert!(budget.is_ready(MS(10)));
        budget.spend(1, MS(10));
        assert!(!budget.is_ready(MS(10)));
    }

    #[test]
    fn a_backlog_takes_its_time() {
        let mut budget = Bucket::new(100_000, 2_000 * TOKENS_PER_BYTE, MS(0));
        assert_eq!(budget.time_for(2_000), Duration::ZERO);
        budget.spend(2_000, MS(0));
        assert_eq!(budget.time_for(5_000), Duration::from_millis(50));
    }

    #[test]
    fn nothing_overflows() {
        let mut budget = Budget::new(u64::MAX, Time::ZERO);
        budget.spend(usize::MAX, Time::from_micros(u64::MAX));
        assert!(budget.ready_at() >= Time::ZERO);
        assert!(budget.time_for(usize::MAX) >= Duration::ZERO);
    }
}
