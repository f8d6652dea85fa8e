//! The state that a connection keeps from request to request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Mutex;

use crate::budget::{Budget, MAX_CONNECTION_BYTES};
use crate::caller::Caller;
use crate::queries::pick::Picks;

/// A connection, for the requests on it. One is answered at a time.
#[derive(Default)]
pub(super) struct Connection {
    requests: AtomicU64,
    picks: OnceLock<Mutex<Picks>>,
}

impl Connection {
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
