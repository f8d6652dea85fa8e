//! The share of calls that may be retries.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The seconds that a budget looks back.
const WINDOW_SECONDS: u64 = 10;

const COUNT_BITS: u32 = 22;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const SECOND_SHIFT: u32 = 2 * COUNT_BITS;
const SECOND_MASK: u64 = u64::MAX >> SECOND_SHIFT;

/// The settings of a [`RetryBudget`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryBudgetConfig {
    /// Retries may be this percentage of the calls of the last ten seconds.
    pub percent: u32,
    /// So many retries a second are allowed in any case, so that a service with few calls has some.
    pub min_per_second: u32,
}

impl Default for RetryBudgetConfig {
    fn default() -> Self {
        Self { percent: 20, min_per_second: 10 }
    }
}

/// Limits the retries of a service to a share of its calls, so that a service which fails is not buried under retries.
///
/// From Finagle's `RetryBudget`, whose defaults it has; described in Beyer et al., "Site Reliability Engineering", chapter 21,
/// "Deciding to Retry". Calls and retries are counted by the second, and those of the last ten count. A call costs one atomic
/// operation. Threads that ask at the same moment may exceed the budget by one retry each.
#[derive(Debug)]
pub struct RetryBudget {
    config: RetryBudgetConfig,
    /// A second with its calls and its retries, in one word each.
    seconds: [AtomicU64; WINDOW_SECONDS as usize],
}

impl RetryBudget {
    /// A budget without calls so far.
    pub fn new(config: RetryBudgetConfig) -> Self {
        Self { config, seconds: Default::default() }
    }

    /// Counts a call. `now` is the time since any fixed moment.
    #[inline]
    pub fn record_call(&self, now: Duration) {
        self.add(now, 1, 0);
    }

    /// Takes one retry out of the budget. Returns whether there was one.
    pub fn try_retry(&self, now: Duration) -> bool {
        let (calls, retries) = self.counts(now);
        let floor = u64::from(self.config.min_per_second) * WINDOW_SECONDS;
        let allowed = calls.saturating_mul(u64::from(self.config.percent)) / 100 + floor;
        if retries >= allowed {
            return false;
        }
        self.add(now, 0, 1);
        true
    }

    /// Puts back a retry that was taken out at this moment and is not made.
    pub fn put_back(&self, now: Duration) {
        let place = self.place(now);
        let less = |word: u64| {
            (word >> SECOND_SHIFT == second(now) && word & COUNT_MASK > 0).then(|| word - 1)
        };
        // A second that is over has left the window with all that it counted.
        let _is_over = place.fetch_update(Relaxed, Relaxed, less);
    }

    /// The calls and the retries of the last ten seconds.
    pub fn counts(&self, now: Duration) -> (u64, u64) {
        let second = second(now);
        let words = self.seconds.iter().map(|word| word.load(Relaxed));
        let recent = words.filter(|word| {
            (second.wrapping_sub(word >> SECOND_SHIFT) & SECOND_MASK) < WINDOW_SECONDS
        });
        recent.fold((0, 0), |(calls, retries), word| {
            (calls + ((word >> COUNT_BITS) & COUNT_MASK), retries + (word & COUNT_MASK))
        })
    }

    #[inline]
    fn place(&self, now: Duration) -> &AtomicU64 {
        &self.seconds[(now.as_secs() % WINDOW_SECONDS) as usize]
    }

    #[inline]
    fn add(&self, now: Duration, calls: u64, retries: u64) {
        let second = second(now);
        let place = self.place(now);
        let add = |word: u64| {
            let (before, after) = match word >> SECOND_SHIFT == second {
                true => ((word >> COUNT_BITS) & COUNT_MASK, word & COUNT_MASK),
                false => (0, 0),
            };
            let calls = (before + calls).min(COUNT_MASK);
            let retries = (after + retries).min(COUNT_MASK);
            Some(second << SECOND_SHIFT | calls << COUNT_BITS | retries)
        };
        let _always_there = place.fetch_update(Relaxed, Relaxed, add);
    }
}

/// The second of a time, never 0, which is that of a word without counts.
#[inline]
fn second(now: Duration) -> u64 {
    (now.as_secs() + WINDOW_SECONDS) & SECOND_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn retries(budget: &RetryBudget, now: Duration) -> usize {
        (0..10_000).take_while(|_| budget.try_retry(now)).count()
    }

    #[test]
    fn a_retry_that_is_not_made_is_put_back() {
        let budget = RetryBudget::new(RetryBudgetConfig { percent: 0, min_per_second: 1 });
        assert_eq!(retries(&budget, SECOND), 10);
        budget.put_back(SECOND);
        assert_eq!(retries(&budget, SECOND), 1);
        budget.put_back(20 * SECOND);
        assert_eq!(budget.counts(SECOND), (0, 10), "that second had none");
    }

    #[test]
    fn a_fifth_of_the_calls_may_be_retries_and_a_few_always() {
        let budget = RetryBudget::new(RetryBudgetConfig::default());
        assert_eq!(retries(&budget, SECOND), 100, "10 a second over 10 s");
        let budget = RetryBudget::new(RetryBudgetConfig { min_per_second: 0, percent: 20 });
        assert!(!budget.try_retry(Duration::ZERO), "no call, no retry");
        (0..1_000).for_each(|_| budget.record_call(SECOND));
        assert_eq!(retries(&budget, SECOND), 200);
        assert_eq!(budget.counts(SECOND), (1_000, 200));
    }

    #[test]
    fn what_is_ten_seconds_old_counts_no_longer() {
        let budget = RetryBudget::new(RetryBudgetConfig { min_per_second: 0, percent: 10 });
        for second in 0..30 {
            (0..100).for_each(|_| budget.record_call(SECOND * second));
        }
        assert_eq!(budget.counts(SECOND * 29), (1_000, 0));
        assert_eq!(retries(&budget, SECOND * 29), 100);
        assert_eq!(budget.counts(SECOND * 38), (100, 100));
        assert!(!budget.try_retry(SECOND * 38));
        assert_eq!(budget.counts(SECOND * 39), (0, 0));
    }
}
