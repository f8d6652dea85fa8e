//! The ages of rumors: how long ago each change was made when a datagram left its sender.
//!
//! No clocks of two hosts are compared. Each sender adds the time for which it held a rumor to the age with which the rumor
//! came, so an age lacks the time on the wire, and nothing else.

use std::time::Duration;

use crate::codec::{DecodeError, Field, Reader, Writer};

/// The unit of an age on the wire. One byte holds ages up to 25 ms, three bytes up to 6.5 s.
const UNIT: Duration = Duration::from_micros(100);

/// Bytes that one age takes at most.
pub(crate) const MAX_AGE_BYTES: usize = 5;

/// The age of each rumor of a message, in the order of the rumors. Unknown ages at the end are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ages(Vec<u32>);

impl Ages {
    /// The ages of rumors; `None` is one that is not known.
    pub fn new(ages: impl IntoIterator<Item = Option<Duration>>) -> Self {
        let mut codes: Vec<u32> = ages.into_iter().map(|age| age.map_or(0, code)).collect();
        let known = codes.iter().rposition(|code| *code > 0).map_or(0, |last| last + 1);
        codes.truncate(known);
        Self(codes)
    }

    /// The age of a rumor, if it is known.
    #[must_use]
    pub fn get(&self, rumor: usize) -> Option<Duration> {
        let units = self.0.get(rumor)?.checked_sub(1)?;
        Some(UNIT * units)
    }
}

/// The code of an age: 0 stands for an unknown one, so a known one is a unit more than it is.
fn code(age: Duration) -> u32 {
    let units = (age + UNIT / 2).as_nanos() / UNIT.as_nanos();
    u32::try_from(units).map_or(u32::MAX, |units| units.saturating_add(1))
}

impl Field for Ages {
    fn put(&self, writer: &mut Writer) {
        self.0.put(writer);
    }

    /// Reads a late field: versions before this one end their rumors without it.
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.is_empty() { Ok(Self::default()) } else { Vec::take(reader).map(Self) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode, encode};

    #[test]
    fn ages_are_rounded_to_their_unit_and_unknown_ones_at_the_end_are_left_out() {
        let ms = Duration::from_millis;
        let ages =
            Ages::new([Some(Duration::ZERO), None, Some(Duration::from_micros(1_260)), None]);
        assert_eq!(encode(&ages), [3, 1, 0, 14], "a count, then a byte for each");
        assert_eq!(decode(&encode(&ages)), Ok(ages.clone()));
        let read: Vec<_> = (0..5).map(|rumor| ages.get(rumor)).collect();
        let rounded = Duration::from_micros(1_300);
        assert_eq!(read, [Some(Duration::ZERO), None, Some(rounded), None, None]);
        for (age, bytes) in [(ms(24), 2), (ms(25), 4), (ms(6_553), 4), (ms(7_000), 6)] {
            assert_eq!(encode(&Ages::new([Some(age)])).len(), bytes, "{age:?}");
        }
        let longest = encode(&Ages::new([Some(Duration::MAX / 2)]));
        assert_eq!(longest.len(), 1 + MAX_AGE_BYTES);
    }

    #[test]
    fn ages_that_are_all_unknown_take_a_byte_and_missing_ones_are_unknown() {
        assert_eq!(encode(&Ages::new([None, None])), [0]);
        assert_eq!(decode(&[]), Ok(Ages::default()));
    }
}
