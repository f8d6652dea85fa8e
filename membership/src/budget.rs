//! The bandwidth that rumors and repair may take: a token bucket (Turner, "New directions in communications", 1986) on
//! the caller's clock.

use std::time::Duration;

use crate::time::Time;

/// One byte a second is one token in a microsecond, a byte costs a million: integers, and no rounding.
const TOKENS_PER_BYTE: u64 = 1_000_000;
/// What an idle line may send at once.
const BURST: Duration = Duration::from_millis(20);

/// A bucket that fills with time. Whoever finds it not in debt may send one datagram, whatever its size.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_per_second: u64,
    /// Tokens that are there, and those that are owed; one of them is 0.
    saved: u64,
    owed: u64,
    at: Time,
}

impl Budget {
    /// A full bucket. No rate is less than a datagram in two seconds.
    pub(crate) fn new(bytes_per_second: u64, now: Time) -> Self {
        let bytes_per_second = bytes_per_second.max(1_000);
        Self { bytes_per_second, saved: Self::most(bytes_per_second), owed: 0, at: now }
    }

    fn most(bytes_per_second: u64) -> u64 {
        bytes_per_second.saturating_mul(BURST.as_micros() as u64)
    }

    fn refill(&mut self, now: Time) {
        let elapsed = now.as_micros().saturating_sub(self.at.as_micros());
        self.at = self.at.max(now);
        let earned = elapsed.saturating_mul(self.bytes_per_second);
        let left = earned.saturating_sub(self.owed);
        self.owed = self.owed.saturating_sub(earned);
        self.saved = self.saved.saturating_add(left).min(Self::most(self.bytes_per_second));
    }

    pub(crate) fn is_ready(&mut self, now: Time) -> bool {
        self.refill(now);
        self.owed == 0
    }

    /// When it will be out of debt.
    pub(crate) fn ready_at(&self) -> Time {
        self.at + Duration::from_micros(self.owed.div_ceil(self.bytes_per_second))
    }

    pub(crate) fn spend(&mut self, bytes: usize, now: Time) {
        self.refill(now);
        let cost = (bytes as u64).saturating_mul(TOKENS_PER_BYTE);
        self.owed = self.owed.saturating_add(cost.saturating_sub(self.saved));
        self.saved = self.saved.saturating_sub(cost);
    }

    /// How long so many bytes will take beside what is owed.
    pub(crate) fn time_for(&self, bytes: usize) -> Duration {
        let tokens = (bytes as u64).saturating_mul(TOKENS_PER_BYTE).saturating_add(self.owed);
        Duration::from_micros(tokens.saturating_sub(self.saved) / self.bytes_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Time = Time::from_millis;

    #[test]
    fn over_any_time_no_more_is_sent_than_the_rate_and_one_burst() {
        let mut budget = Budget::new(100_000, MS(0));
        let mut sent = 0;
        for ms in 0..1_000 {
            while budget.is_ready(MS(ms)) {
                budget.spend(1_400, MS(ms));
                sent += 1_400;
            }
        }
        assert!((100_000..=100_000 + 2_000 + 1_400).contains(&sent), "{sent}");
    }

    #[test]
    fn a_debt_is_paid_when_it_says_so() {
        let mut budget = Budget::new(100_000, MS(0));
        budget.spend(2_000 + 1_000, MS(0));
        assert!(!budget.is_ready(MS(9)));
        assert_eq!(budget.ready_at(), MS(10));
        assert!(budget.is_ready(MS(10)));
        budget.spend(1, MS(10));
        assert!(!budget.is_ready(MS(10)));
    }

    #[test]
    fn a_backlog_takes_its_time() {
        let mut budget = Budget::new(100_000, MS(0));
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
