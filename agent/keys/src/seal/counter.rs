//! Counters of datagrams.

use crate::bytes::{DecodeError, Reader};

/// The number of a datagram of one sender: 48 bits, little endian on the wire. It grows with each datagram that carries one.
///
/// A sender starts at its epoch, in sixteenths of a millisecond, and adds one for each datagram. So the counters of a life are
/// above those of the lives before it, as long as those sent fewer than 16,000 datagrams a second and the epochs follow the
/// clock. Where an epoch had to pass a clock that went back, the receivers learn the new counter over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counter(u64);

impl Counter {
    /// The last counter. A sender that reaches it stays there, and is heard no more.
    pub const MAX: Self = Self((1 << 48) - 1);
    /// Counters in a millisecond.
    const PER_MS: u64 = 16;
    /// How many counters differ in their lowest three bytes.
    const LOW: u64 = 1 << 24;

    /// A counter, at most [`Counter::MAX`].
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(number).min(Self::MAX)
    }

    /// The first counter of a life that began at this epoch, in ms since 1970.
    #[must_use]
    pub fn of_epoch(epoch_ms: u64) -> Self {
        Self::new(epoch_ms.saturating_mul(Self::PER_MS))
    }

    /// The counter of the next datagram.
    #[must_use]
    pub fn next(self) -> Self {
        Self::new(self.0 + 1)
    }

    /// The counter as a number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// The counter next to this one whose lowest bytes are these.
    #[must_use]
    pub fn next_to(near: Self, low: [u8; 3]) -> Self {
        let [a, b, c] = low;
        let low = u64::from_le_bytes([a, b, c, 0, 0, 0, 0, 0]);
        let same_front = near.0 & !(Self::LOW - 1) | low;
        let candidates = [
            Some(same_front),
            same_front.checked_sub(Self::LOW),
            Some(same_front + Self::LOW).filter(|next| *next <= Self::MAX.0),
        ];
        let candidates = candidates.into_iter().flatten();
        candidates.min_by_key(|one| one.abs_diff(near.0)).map_or(near, Self)
    }

    /// The lowest three bytes.
    pub(super) fn low(self) -> [u8; 3] {
        let [a, b, c, ..] = self.0.to_le_bytes();
        [a, b, c]
    }

    pub(super) fn to_bytes(self) -> [u8; 6] {
        let [a, b, c, d, e, f, _, _] = self.0.to_le_bytes();
        [a, b, c, d, e, f]
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let [a, b, c, d, e, f] = reader.array()?;
        Ok(Self(u64::from_le_bytes([a, b, c, d, e, f, 0, 0])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_starts_at_its_epoch_and_ends() {
        assert_eq!(Counter::of_epoch(1_000).next().number(), 16_001);
        assert_eq!(Counter::of_epoch(u64::MAX), Counter::MAX);
        assert_eq!(Counter::MAX.next(), Counter::MAX);
        let in_the_year_2400 = Counter::of_epoch(13_600_000_000_000);
        assert!(in_the_year_2400 < Counter::MAX);
    }

    #[test]
    fn a_counter_is_found_by_its_lowest_bytes_from_eight_million_away() {
        let last = Counter::MAX.number();
        for near in [0, 1, 1 << 23, (1 << 24) - 1, 1 << 24, 5 << 30, last - (1 << 23), last] {
            for away in [0, 1, 77, (1 << 23) - 1] {
                for number in [near.checked_sub(away), Some(near + away)].into_iter().flatten() {
                    let counter = Counter::new(number);
                    assert_eq!(Counter::next_to(Counter::new(near), counter.low()), counter);
                }
            }
        }
        let far = Counter::new(1 << 24);
        assert_ne!(Counter::next_to(Counter::new(0), far.low()), far);
    }
}
