//! The attempts of one call.

use std::time::Duration;

use super::budget::{RetryBudget, RetryBudgetConfig};

/// How often a call that failed is tried again, and after which wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// The most retries of one call.
    pub max_retries: u32,
    /// The wait before the first retry, at most. Each wait is drawn from zero to its limit, and the limit doubles.
    pub base_backoff: Duration,
    /// Every wait, at most.
    pub max_backoff: Duration,
    /// The budget of all calls of the service.
    pub budget: RetryBudgetConfig,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_retries: 2,
            base_backoff: Duration::from_millis(25),
            max_backoff: Duration::from_millis(250),
            budget: RetryBudgetConfig::default(),
        }
    }
}

/// A failed attempt, as far as the next step depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether the target may have seen the call. A call that it cannot have seen may be tried again, whatever it does.
    pub may_have_arrived: bool,
    /// Whether the call may be made twice.
    pub is_idempotent: bool,
    /// Whether the caller can still send all of it.
    pub is_replayable: bool,
}

/// The step after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again, on another target if there is one, after this wait.
    Retry {
        /// The wait.
        after: Duration,
    },
    /// The call has failed.
    GiveUp(GaveUp),
}

/// Why a call is not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum GaveUp {
    /// The target may have seen it, and it is not idempotent.
    NotIdempotent,
    /// Part of it was sent and is gone.
    NotReplayable,
    /// It has had all of its retries.
    RetriesUsedUp,
    /// No target takes it now.
    NoTarget,
    /// The service has had all of its retries.
    BudgetSpent,
    /// Its time is over, or would be after the wait.
    DeadlinePassed,
}

/// The attempts of one call so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attempts {
    retries: u32,
}

impl Attempts {
    /// The retries so far.
    pub fn retries(self) -> u32 {
        self.retries
    }

    /// The step after a failed attempt. `left` is the time until the deadline of the call; `draw` is a uniformly random
    /// number in `0.0..1.0`.
    ///
    /// The waits are those of "full jitter": Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
    pub fn after(
        &mut self,
        failure: Failure,
        config: &RetryConfig,
        budget: &RetryBudget,
        now: Duration,
        left: Duration,
        draw: f64,
    ) -> Next {
        if failure.may_have_arrived && !failure.is_idempotent {
            return Next::GiveUp(GaveUp::NotIdempotent);
        }
        if !failure.is_replayable {
            return Next::GiveUp(GaveUp::NotReplayable);
        }
        if self.retries >= config.max_retries {
            return Next::GiveUp(GaveUp::RetriesUsedUp);
        }
        let doubled = config.base_backoff.saturating_mul(1 << self.retries.min(16));
        let after = doubled.min(config.max_backoff).mul_f64(draw.clamp(0.0, 1.0));
        if after >= left {
            return Next::GiveUp(GaveUp::DeadlinePassed);
        }
        if !budget.try_retry(now) {
            return Next::GiveUp(GaveUp::BudgetSpent);
        }
        self.retries += 1;
        Next::Retry { after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const SAFE: Failure =
        Failure { may_have_arrived: true, is_idempotent: true, is_replayable: true };

    fn budget(min_per_second: u32) -> RetryBudget {
        RetryBudget::new(RetryBudgetConfig { percent: 20, min_per_second })
    }

    fn first(failure: Failure, budget: &RetryBudget, left: Duration) -> Next {
        Attempts::default().after(failure, &RetryConfig::default(), budget, SECOND, left, 0.5)
    }

    #[test]
    fn every_step() {
        let retry = Next::Retry { after: Duration::from_micros(12_500) };
        let unsafe_call = Failure { is_idempotent: false, ..SAFE };
        let unsent = Failure { may_have_arrived: false, ..unsafe_call };
        let gone = Failure { is_replayable: false, ..SAFE };
        let cases = [
            (SAFE, retry),
            (unsafe_call, Next::GiveUp(GaveUp::NotIdempotent)),
            (unsent, retry),
            (gone, Next::GiveUp(GaveUp::NotReplayable)),
        ];
        for (failure, expected) in cases {
            assert_eq!(first(failure, &budget(10), SECOND), expected, "{failure:?}");
        }
        let soon = Duration::from_millis(12);
        assert_eq!(first(SAFE, &budget(10), soon), Next::GiveUp(GaveUp::DeadlinePassed));
        assert_eq!(first(SAFE, &budget(0), SECOND), Next::GiveUp(GaveUp::BudgetSpent));
    }

    #[test]
    fn a_call_that_gives_up_takes_nothing_out_of_the_budget() {
        let budget = budget(10);
        first(Failure { is_idempotent: false, ..SAFE }, &budget, SECOND);
        first(SAFE, &budget, Duration::ZERO);
        assert_eq!(budget.counts(SECOND), (0, 0));
    }

    #[test]
    fn waits_double_to_a_limit_and_the_retries_end() {
        let (budget, mut attempts) = (budget(10), Attempts::default());
        let config = RetryConfig { max_retries: 6, ..RetryConfig::default() };
        let mut after = || attempts.after(SAFE, &config, &budget, SECOND, SECOND, 1.0);
        let waits: Vec<Next> = (0..7).map(|_| after()).collect();
        let wait = |ms| Next::Retry { after: Duration::from_millis(ms) };
        let end = Next::GiveUp(GaveUp::RetriesUsedUp);
        assert_eq!(waits, [wait(25), wait(50), wait(100), wait(200), wait(250), wait(250), end]);
        assert_eq!(attempts.retries(), 6);
    }
}
