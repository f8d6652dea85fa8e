//! A histogram of durations.

use std::time::Duration;

/// The upper bounds of the buckets, in milliseconds.
const BOUNDS_MS: [u64; 12] = [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 30_000];

/// How many durations fell below each of some bounds, since the start of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// One for each bound, and one for what is longer than all of them.
    counts: [u64; BOUNDS_MS.len() + 1],
    sum_us: u64,
}

impl Durations {
    pub(crate) fn add(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.counts[BOUNDS_MS.partition_point(|bound| bound * 1_000 < micros)] += 1;
        self.sum_us = self.sum_us.saturating_add(micros);
    }

    /// Each bucket: its upper bound, which the last one lacks, and how many durations are in it and in no earlier one.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + use<> {
        let bounds = BOUNDS_MS.into_iter().map(|bound| Some(Duration::from_millis(bound)));
        bounds.chain([None]).zip(self.counts)
    }

    /// The number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All durations together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_it_does_not_exceed() {
        let mut durations = Durations::default();
        for millis in [0, 1, 2, 30_000, 30_001] {
            durations.add(Duration::from_millis(millis));
        }
        let counts: Vec<u64> = durations.buckets().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(durations.buckets().last(), Some((None, 1)));
        assert_eq!(durations.count(), 5);
        assert_eq!(durations.sum(), Duration::from_millis(60_004));
    }
}
