//! A token bucket (Turner, "New directions in communications", 1986) on the clock of the caller. It counts bytes, or anything else
//! of which there is a rate.

use std::time::Duration;

use crate::base::time::Time;

/// The cost of a byte. A rate of one byte a second earns one token in a microsecond, so integers are exact.
pub(crate) const TOKENS_PER_BYTE: u64 = 1_000_000;

/// A bucket that fills with time. While it is not in debt, any amount may be taken from it.
#[derive(Debug)]
pub(crate) struct Bucket {
    bytes_per_second: u64,
    /// The most tokens that are saved.
    burst: u64,
    /// Tokens that may be spent; 0 while tokens are owed.
    saved: u64,
    /// Tokens that are owed.
    owed: u64,
    /// The time of the last refill.
    at: Time,
}

impl Bucket {
    /// A bucket that saves at most the tokens of `burst` at this rate, and begins with them.
    pub(crate) fn with_burst(bytes_per_second: u64, burst: Duration, now: Time) -> Self {
        Self::new(bytes_per_second, bytes_per_second.saturating_mul(burst.as_micros() as u64), now)
    }

    /// A bucket that saves at most `burst` tokens, and begins with them.
    pub(crate) fn new(bytes_per_second: u64, burst: u64, now: Time) -> Self {
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

    /// Whether nothing is owed.
    pub(crate) fn is_ready(&mut self, now: Time) -> bool {
        self.refill(now);
        self.owed == 0
    }

    /// Whether it has saved all that it can.
    pub(crate) fn is_full(&mut self, now: Time) -> bool {
        self.refill(now);
        self.saved == self.burst
    }

    /// The time at which the debt is paid.
    pub(crate) fn ready_at(&self) -> Time {
        self.at + Duration::from_micros(self.owed.div_ceil(self.bytes_per_second))
    }

    /// Takes the cost of bytes.
    pub(crate) fn spend(&mut self, bytes: usize, now: Time) {
        self.refill(now);
        let cost = (bytes as u64).saturating_mul(TOKENS_PER_BYTE);
        self.owed = self.owed.saturating_add(cost.saturating_sub(self.saved));
        self.saved = self.saved.saturating_sub(cost);
    }

    /// The time until `bytes` can be sent after everything that is owed.
    pub(crate) fn time_for(&self, bytes: usize) -> Duration {
        let tokens = (bytes as u64).saturating_mul(TOKENS_PER_BYTE).saturating_add(self.owed);
        Duration::from_micros(tokens.saturating_sub(self.saved) / self.bytes_per_second)
    }
}
