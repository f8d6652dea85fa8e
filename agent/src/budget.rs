//! Bytes that clients make the agent hold, within limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hobnob_api::{ApiError, ErrorCode};

/// The most bytes that all connections together hold in the agent: calls, answers that wait, watches, pickers.
pub(crate) const MAX_CLIENT_BYTES: usize = 256 << 20;
/// The most of these bytes that the connections of the query socket hold. The rest is for those that may make changes.
pub(crate) const MAX_QUERY_BYTES: usize = 192 << 20;
/// The most bytes that one connection holds. The longest answer fits twice.
pub(crate) const MAX_CONNECTION_BYTES: usize = 40 << 20;
/// The most bytes in the balancers of scopes and in the tables of strategies, which clients ask for.
pub(crate) const MAX_BALANCER_BYTES: usize = 256 << 20;

/// A limit on bytes. A part of a budget has a limit of its own and counts in the whole.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    held: AtomicUsize,
    refused: AtomicU64,
    whole: Option<Arc<Budget>>,
}

/// The limit of a budget does not allow what was asked for. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the agent already holds as much for its clients as it may ({} MiB): ask for less, or close connections and watches that \
     are not needed", .limit >> 20
)]
pub(crate) struct Exhausted {
    limit: usize,
}

impl From<Exhausted> for ApiError {
    fn from(exhausted: Exhausted) -> Self {
        Self::new(ErrorCode::TooMuchHeld, exhausted.to_string())
    }
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, held: AtomicUsize::new(0), refused: AtomicU64::new(0), whole: None })
    }

    /// A part with a limit of its own.
    pub(crate) fn part(self: &Arc<Self>, limit: usize) -> Arc<Self> {
        let whole = Some(self.clone());
        Arc::new(Self { limit, held: AtomicUsize::new(0), refused: AtomicU64::new(0), whole })
    }

    /// Counts bytes until the returned value is dropped.
    ///
    /// # Errors
    /// There is no room for them, in this budget or in the whole.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize) -> Result<Held, Exhausted> {
        self.take(bytes)?;
        Ok(Held { budget: self.clone(), bytes })
    }

    /// The bytes that are held.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// The number of refusals for lack of room.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> Result<(), Exhausted> {
        let add = |held: usize| held.checked_add(bytes).filter(|held| *held <= self.limit);
        if self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_err() {
            self.count_refusal();
            return Err(Exhausted { limit: self.limit });
        }
        let whole = self.whole.as_ref().map_or(Ok(()), |whole| whole.take(bytes));
        whole.inspect_err(|_| {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
        })
    }

    fn count_refusal(&self) {
        match &self.whole {
            Some(whole) => whole.count_refusal(),
            None => {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.give_back(bytes);
        }
    }
}

/// Bytes that count in a budget. Dropping it gives them back.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Held {
    /// Counts this many bytes instead.
    ///
    /// # Errors
    /// There is no room for more. The bytes so far still count.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), Exhausted> {
        if bytes > self.bytes {
            self.budget.take(bytes - self.bytes)?;
        } else {
            self.budget.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_bytes_are_given_back_to_the_part_and_the_whole() {
        let whole = Budget::new(100);
        let (one, other) = (whole.part(60), whole.part(60));
        let mut first = one.hold(50).expect("room");
        assert!(one.hold(20).is_err(), "the part is full");
        let second = other.hold(50).expect("room");
        assert!(other.hold(5).is_err(), "the whole is full");
        assert_eq!((one.held(), other.held(), whole.held(), whole.refused()), (50, 50, 100, 2));
        first.resize(10).expect("less");
        assert!(first.resize(61).is_err());
        assert_eq!((one.held(), whole.held()), (10, 60), "a refusal changes nothing");
        let half = whole.part(60);
        let inner = half.part(40).hold(35).expect("room in all three");
        assert_eq!((half.held(), whole.held()), (35, 95), "a part of a part counts in each");
        assert!(half.part(40).hold(30).is_err(), "the half is full");
        drop((first, second, inner));
        assert_eq!((one.held(), other.held(), whole.held()), (0, 0, 0));
    }
}
