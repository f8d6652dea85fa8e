//! The distribution of the latencies of a service.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Buckets for each doubling of the latency: a bucket is at most an eighth wider than its lower end.
const STEPS_SHIFT: u32 = 3;
const STEPS: usize = 1 << STEPS_SHIFT;
/// The doublings from 8 us: the last bucket takes everything above 134 s.
const DOUBLINGS: usize = 25;
const BUCKETS: usize = DOUBLINGS * STEPS;
/// After this time what was counted counts half.
const HALF_LIFE: Duration = Duration::from_secs(5);
/// With fewer latencies no quantile is told.
const SAMPLES_MIN: u64 = 50;

/// The latencies of the last seconds, and a quantile of them: the time after which a call is hedged.
///
/// Hedged requests: Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013. Latencies are counted in buckets as in an HDR
/// histogram, and the counts halve every five seconds. To record one is one atomic operation; [`LatencyHistogram::advance`]
/// computes the quantile, a few times a second.
#[derive(Debug)]
pub struct LatencyHistogram {
    quantile: f64,
    buckets: Box<[AtomicU32]>,
    halved_us: AtomicU64,
    /// Microseconds; 0 while there are too few.
    value_us: AtomicU64,
}

impl LatencyHistogram {
    /// A histogram without latencies that tells this quantile, such as 0.95.
    pub fn new(quantile: f64) -> Self {
        Self {
            quantile: quantile.clamp(0.0, 1.0),
            buckets: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(),
            halved_us: AtomicU64::default(),
            value_us: AtomicU64::default(),
        }
    }

    /// Counts a latency.
    #[inline]
    pub fn record(&self, latency: Duration) {
        self.buckets[bucket(latency)].fetch_add(1, Relaxed);
    }

    /// The quantile as of the last [`LatencyHistogram::advance`]: the upper end of its bucket. `None` while there are too few
    /// latencies.
    #[inline]
    pub fn quantile(&self) -> Option<Duration> {
        let value_us = self.value_us.load(Relaxed);
        (value_us > 0).then(|| Duration::from_micros(value_us))
    }

    /// Computes the quantile, and halves the counts when it is time.
    pub fn advance(&self, now: Duration) {
        let counts: Vec<u64> =
            self.buckets.iter().map(|count| u64::from(count.load(Relaxed))).collect();
        let total: u64 = counts.iter().sum();
        let rank = (self.quantile * total as f64).ceil() as u64;
        let mut passed = 0;
        let at = counts.iter().position(|count| {
            passed += count;
            passed >= rank
        });
        let value_us = match at {
            Some(at) if total >= SAMPLES_MIN => upper_end_us(at),
            _ => 0,
        };
        self.value_us.store(value_us, Relaxed);
        let (now_us, half_life_us) = (now.as_micros() as u64, HALF_LIFE.as_micros() as u64);
        if now_us >= self.halved_us.load(Relaxed).saturating_add(half_life_us) {
            self.halved_us.store(now_us, Relaxed);
            for (bucket, count) in self.buckets.iter().zip(counts) {
                bucket.fetch_sub((count - count / 2) as u32, Relaxed);
            }
        }
    }
}

#[inline]
fn bucket(latency: Duration) -> usize {
    let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    if us < STEPS as u64 {
        return us as usize;
    }
    let doubling = us.ilog2() - STEPS_SHIFT;
    let step = (us >> doubling) as usize & (STEPS - 1);
    ((doubling as usize + 1) * STEPS + step).min(BUCKETS - 1)
}

fn upper_end_us(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket as u64 + 1;
    }
    let (doubling, step) = (bucket / STEPS - 1, bucket % STEPS);
    ((STEPS + step + 1) as u64) << doubling
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn every_latency_lies_below_the_end_of_its_bucket_and_not_far() {
        for us in (0..100_000).chain([1 << 20, 100_000_000]) {
            let end = upper_end_us(bucket(Duration::from_micros(us)));
            assert!(us < end && end <= us + us / 8 + 1, "{us} {end}");
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn the_quantile_needs_latencies_and_forgets_old_ones() {
        let histogram = LatencyHistogram::new(0.95);
        let slow = Duration::from_millis(100);
        (0..9).for_each(|_| histogram.record(slow));
        (0..40).for_each(|_| histogram.record(SECOND / 1_000));
        histogram.advance(SECOND);
        assert_eq!(histogram.quantile(), None, "too few");
        histogram.record(slow);
        histogram.advance(SECOND);
        let p95 = histogram.quantile().expect("enough");
        assert!((slow..slow * 9 / 8 + SECOND / 1_000).contains(&p95), "{p95:?}");
        for second in 2..60 {
            (0..100).for_each(|_| histogram.record(SECOND / 1_000));
            histogram.advance(SECOND * second);
        }
        assert!(histogram.quantile().expect("enough") < SECOND / 500);
        for second in 60..100 {
            histogram.advance(SECOND * second);
        }
        assert_eq!(histogram.quantile(), None, "it is long ago");
    }
}
