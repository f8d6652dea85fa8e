//! The memory of a receiver for the counters of one sender (RFC 4303, section 3.4.3).

use super::Counter;

/// How far behind the highest counter a datagram may arrive and still count.
pub const WINDOW: u64 = 64;

/// The counters of one sender that a receiver has seen: the highest one, and which of the 63 before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayWindow {
    highest: u64,
    /// Bit `n` stands for `highest - n`.
    seen: u64,
}

/// A counter is not new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The datagram came before.
    #[error("a datagram with this counter came before")]
    Seen,
    /// It is too far behind the highest one to tell.
    #[error("the counter is {WINDOW} or more behind the highest one")]
    Old,
}

impl ReplayWindow {
    /// Takes counters above this one only.
    ///
    /// For a sender that proved its present counter over a connection. A receiver that starts with a lower counter takes what
    /// somebody recorded above it, once.
    #[must_use]
    pub fn above(counter: Counter) -> Self {
        Self { highest: counter.number(), seen: u64::MAX }
    }

    /// Whether a counter is new. Changes nothing: the datagram may be forged.
    ///
    /// # Errors
    /// It was seen, or is too old to tell.
    pub fn check(&self, counter: Counter) -> Result<(), ReplayError> {
        let counter = counter.number();
        if counter > self.highest {
            return Ok(());
        }
        match self.highest - counter {
            WINDOW.. => Err(ReplayError::Old),
            behind if self.seen >> behind & 1 == 1 => Err(ReplayError::Seen),
            _ => Ok(()),
        }
    }

    /// Records the counter of a datagram that was opened.
    ///
    /// # Errors
    /// It was seen, or is too old to tell.
    pub fn record(&mut self, counter: Counter) -> Result<(), ReplayError> {
        self.check(counter)?;
        let counter = counter.number();
        if counter > self.highest {
            let ahead = u32::try_from(counter - self.highest).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = counter;
        } else {
            self.seen |= 1 << (self.highest - counter);
        }
        Ok(())
    }
}
