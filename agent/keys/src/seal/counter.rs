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
}
