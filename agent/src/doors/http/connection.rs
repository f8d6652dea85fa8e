//! The state that a connection keeps from request to request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Mutex;

use super::answer::Refused;
use super::counters::{HttpCounters, count};
use super::read_ahead::Lookout;
use crate::budget::{Budget, MAX_CONNECTION_BYTES};
use crate::caller::Caller;
use crate::queries::pick::Picks;

/// A connection, for the requests on it. One is answered at a time.
pub(super) struct Connection {
    requests: AtomicU64,
    picks: OnceLock<Mutex<Picks>>,
    lookout: Lookout,
}

impl Connection {
    pub(super) fn new(lookout: Lookout) -> Self {
        Self { requests: AtomicU64::new(0), picks: OnceLock::new(), lookout }
    }

    /// Waits for something while the client waits for it. Counts a wait that is cut.
    ///
    /// # Errors
    /// The client went, or sent more behind its request than is read ahead.
    pub(super) async fn while_awaited<T>(
        &self,
        counters: &HttpCounters,
        wait: impl Future<Output = T>,
    ) -> Result<T, Refused> {
        tokio::select! {
            biased;
            done = wait => Ok(done),
            () = self.lookout.end() => {
                count(&counters.waits_cut);
                let message = "this request waits for a change, and too much came behind it: send the next one after its answer";
                Err(Refused::bad(message))
            }
        }
    }

    pub(super) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it had a request.
    pub(super) fn was_used(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    /// The picks of this connection, which take turns from one to the next.
    pub(super) fn picks(&self, budget: &Arc<Budget>) -> &Mutex<Picks> {
        self.picks.get_or_init(|| Mutex::new(Picks::new(budget.part(MAX_CONNECTION_BYTES))))
    }
}

/// The caller of a request over TCP. The kernel names no process there, so the agent stands for it.
pub(super) fn caller() -> Caller {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Caller { uid, gid: Some(gid), pid: Some(std::process::id()), agent: None }
}
