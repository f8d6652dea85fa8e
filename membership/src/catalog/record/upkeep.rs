//! What an operator did to an instance, for all agents to follow: maintenance and drains.

use std::time::Duration;

use super::Text;
use super::rules::{RecordError, text};
use crate::base::limits;
use crate::codec::{DecodeError, Field, Reader, Writer, block};

/// What an operator did to an instance.
///
/// It is the last field of a definition, and takes no bytes while there is nothing to say. Fields of later versions belong in its
/// own block. Bytes that are no such block are those of a version that put something else here, and are skipped.
///
/// Few instances have any, so all others pay for a pointer only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Upkeep(Option<Box<Acts>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Acts {
    maintenance: Option<Text>,
    drain: Option<Drain>,
}
block!(Acts { maintenance, drain });

/// A drain: the weight of an instance falls to nothing, linearly.
///
/// Clocks differ, so it has no time of day: it is as old as it was when its origin wrote it, and grows older from its arrival on.
/// Its origin writes it again as it goes on, so that a node that starts later begins near the right share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Drain {
    /// Milliseconds since it began.
    pub elapsed_ms: u64,
    /// Milliseconds from its beginning to its end.
    pub over_ms: u64,
}
block!(Drain { elapsed_ms, over_ms });

impl Drain {
    /// Whether it was at its end when its origin wrote it. The health of the instance says that it fails then.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.elapsed_ms >= self.over_ms
    }

    /// The time that was left when its origin wrote it.
    #[must_use]
    pub const fn left(&self) -> Duration {
        Duration::from_millis(self.over_ms.saturating_sub(self.elapsed_ms))
    }

    /// The time from its beginning to its end.
    #[must_use]
    pub const fn over(&self) -> Duration {
        Duration::from_millis(self.over_ms)
    }
}

impl Upkeep {
    /// An instance in maintenance for this reason, with this drain.
    #[must_use]
    pub fn new(maintenance: Option<Text>, drain: Option<Drain>) -> Self {
        let is_any = maintenance.is_some() || drain.is_some();
        Self(is_any.then(|| Box::new(Acts { maintenance, drain })))
    }

    /// Why the instance is in maintenance; `None` when it is not. Its health says that it fails, so that versions without
    /// maintenance do not use it.
    #[must_use]
    pub fn maintenance(&self) -> Option<&Text> {
        self.0.as_ref()?.maintenance.as_ref()
    }

    /// The drain of the instance.
    #[must_use]
    pub fn drain(&self) -> Option<Drain> {
        self.0.as_ref()?.drain
    }

    pub(super) fn validate(&self) -> Result<(), RecordError> {
        if let Some(reason) = self.maintenance() {
            text("maintenance reason", reason, limits::MAX_META_VALUE_BYTES)?;
        }
        match self.drain() {
            Some(drain) if drain.over_ms > 86_400_000 => {
                Err(RecordError::OutOfRange { field: "over_ms", expected: "at most a day" })
            }
            _ => Ok(()),
        }
    }
}

impl Field for Upkeep {
    fn put(&self, writer: &mut Writer) {
        if let Some(acts) = &self.0 {
            Field::put(&**acts, writer);
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let acts = Acts::take(reader).ok();
        Ok(acts.map_or_else(Self::default, |Acts { maintenance, drain }| {
            Self::new(maintenance, drain)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode, encode};

    #[test]
    fn it_takes_no_bytes_while_there_is_nothing_to_say() {
        assert!(encode(&Upkeep::default()).is_empty());
        for upkeep in [
            Upkeep::new(Some("disk".into()), None),
            Upkeep::new(None, Some(Drain { elapsed_ms: 7, over_ms: 30_000 })),
        ] {
            assert_eq!(decode::<Upkeep>(&encode(&upkeep)), Ok(upkeep));
        }
        let other = Upkeep::take(&mut Reader::new(b"something else"));
        assert_eq!(other, Ok(Upkeep::default()), "of a later version");
    }

    #[test]
    fn a_drain_knows_what_is_left_of_it() {
        let drain = |elapsed_ms| Drain { elapsed_ms, over_ms: 1_000 };
        assert_eq!((drain(250).left(), drain(250).is_over()), (Duration::from_millis(750), false));
        assert_eq!((drain(2_000).left(), drain(1_000).is_over()), (Duration::ZERO, true));
    }
}
