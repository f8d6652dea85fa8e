//! Waits before an agent is tried again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The first wait, at most.
const FIRST: Duration = Duration::from_millis(100);
/// Every wait, at most.
const LONGEST: Duration = Duration::from_secs(5);

/// Waits that double, each drawn from the upper half of its range, so that the clients of a restarted agent do not
/// return all at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    longest: Duration,
    random: RandomState,
    draws: u64,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { longest: FIRST, random: RandomState::new(), draws: 0 }
    }

    /// Starts over with the first wait.
    pub(crate) fn reset(&mut self) {
        self.longest = FIRST;
    }

    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let longest = self.longest;
        self.longest = (longest * 2).min(LONGEST);
        self.draws += 1;
        // The keys of the hasher are random, and nothing here is secret.
        let draw = self.random.hash_one(self.draws) as u32;
        longest / 2 + (longest / 2).mul_f64(f64::from(draw) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_limit_and_start_over() {
        let mut backoff = Backoff::new();
        let mut longest = FIRST;
        for _ in 0..10 {
            let wait = backoff.next();
            assert!((longest / 2..=longest).contains(&wait), "{wait:?} of {longest:?}");
            longest = (longest * 2).min(LONGEST);
        }
        assert_eq!(longest, LONGEST);
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }

    #[test]
    fn two_clients_wait_differently() {
        let waits = || {
            let mut backoff = Backoff::new();
            (0..4).map(|_| backoff.next()).collect::<Vec<_>>()
        };
        assert_ne!(waits(), waits());
    }
}
