//! The limits of the HTTP door, and places within them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hobnob_api::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Refused;
use super::counters::{HttpCounters, count};

/// The longest head of a request, in bytes and fields.
pub(super) const MAX_HEAD_BYTES: usize = 16 << 10;
pub(super) const MAX_HEAD_FIELDS: usize = 64;
/// The time from the end of an answer, or from the begin of the connection, to the end of the next head. Afterwards the
/// connection is closed.
pub(super) const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// The longest body of a request.
pub(super) const MAX_BODY_BYTES: usize = 1 << 20;
/// The time for a body.
pub(super) const BODY_WITHIN: Duration = Duration::from_secs(10);
/// Requests that are answered at the same time, those that wait for a change aside.
const MAX_IN_FLIGHT: usize = 256;
/// Streams of events at the same time.
const MAX_STREAMS: usize = 256;
/// The most bytes that the connections of this door make the agent hold. The rest of the budget is for the sockets.
pub(super) const MAX_HTTP_BYTES: usize = 48 << 20;
/// The most of them for bodies that are being read. The rest is left to answers, however slowly bodies come.
pub(super) const MAX_BODIES_BYTES: usize = 16 << 20;

/// What is limited by number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    /// Requests that are answered.
    InFlight,
    /// Requests that wait for a change.
    Waiting,
    /// Streams of events.
    Streams,
}

/// The places for requests.
pub(super) struct Limits {
    in_flight: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    counters: Arc<HttpCounters>,
}

impl Limits {
    /// The limits of a door for so many connections. One in five of them is left to requests that do not wait.
    pub(super) fn new(connections: usize, counters: Arc<HttpCounters>) -> Self {
        let waiting = connections - connections / 5;
        Self {
            in_flight: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            waiting: Arc::new(Semaphore::new(waiting)),
            streams: Arc::new(Semaphore::new(MAX_STREAMS.min(waiting))),
            counters,
        }
    }

    /// A place for a request.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn take(&self, limit: Limit) -> Result<Taken, Refused> {
        let (places, what) = match limit {
            Limit::InFlight => (&self.in_flight, "requests are answered"),
            Limit::Waiting => (&self.waiting, "requests wait for a change"),
            Limit::Streams => (&self.streams, "streams of events are open"),
        };
        match places.clone().try_acquire_owned() {
            Ok(permit) => {
                let level = self.counters.level(limit);
                if let Some(level) = level {
                    count(level);
                }
                Ok(Taken { _permit: permit, limit, counters: self.counters.clone() })
            }
            Err(_) => {
                count(self.counters.refusals(limit));
                let message = format!("as many {what} as may be: ask again in a moment");
                Err(Refused::for_now(ErrorCode::TooManyConnections, message))
            }
        }
    }
}

/// A place, until it is dropped.
pub(super) struct Taken {
    _permit: OwnedSemaphorePermit,
    limit: Limit,
    counters: Arc<HttpCounters>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(level) = self.counters.level(self.limit) {
            AtomicU64::fetch_sub(level, 1, Ordering::Relaxed);
        }
    }
}
