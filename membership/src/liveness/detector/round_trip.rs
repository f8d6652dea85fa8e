//! The round trip to one member, as the answers to its pings tell it.

use std::time::Duration;

/// A longer round trip is taken over by this share at a time, as the smoothed one of TCP is (RFC 6298).
const SHARE: u32 = 8;

/// A measured round trip.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrip(Option<Duration>);

impl RoundTrip {
    /// Notes that an answer came this long after the first ping. If the ping was repeated, the answer may be to any of
    /// them, so it tells only that the round trip is no longer than that (Karn's rule).
    pub(super) fn note(&mut self, took: Duration, repeated: bool) {
        self.0 = Some(match self.0 {
            Some(known) if known < took && repeated => known,
            Some(known) if known < took => known + (took - known) / SHARE,
            _ => took,
        });
    }

    /// The round trip; `None` before the first answer.
    pub(super) fn get(self) -> Option<Duration> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_shorter_one_counts_at_once_and_a_longer_one_little_by_little() {
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.get(), None);
        let mut after = |took, repeated| {
            round_trip.note(MS(took), repeated);
            round_trip.get()
        };
        assert_eq!(after(170, true), Some(MS(170)), "the first ping may have been lost");
        assert_eq!(after(20, false), Some(MS(20)));
        assert_eq!(after(100, false), Some(MS(30)));
        assert_eq!(after(170, true), Some(MS(30)));
        assert_eq!(after(10, false), Some(MS(10)));
    }
}
