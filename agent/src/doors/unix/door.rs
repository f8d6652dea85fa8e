//! A socket as its connections share it: what may be asked there, and how much.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hobnob_api::{ApiError, ErrorCode, Request};

use super::counters::Counters;
use super::places::{Place, Places};
use crate::budget::Budget;
use crate::caller::Caller;

/// A socket of the agent.
#[derive(Debug)]
pub(crate) struct Door {
    access: Access,
    pub(super) places: Arc<Places>,
    /// The budget of all connections of this socket.
    pub(super) budget: Arc<Budget>,
    pub(super) counters: Counters,
}

/// The requests that a socket answers.
#[derive(Debug)]
enum Access {
    /// All.
    Full,
    /// Those that change nothing.
    Query {
        path: PathBuf,
        /// The socket that takes changes.
        full: PathBuf,
    },
}

/// A connection that was accepted.
pub(crate) struct Accepted {
    pub(super) door: Arc<Door>,
    pub(super) place: Place,
    pub(super) caller: Caller,
}

impl Door {
    /// The socket that takes changes.
    pub(crate) fn full(path: PathBuf, connections: usize, budget: Arc<Budget>) -> Self {
        Self::new(Access::Full, path, connections, budget)
    }

    /// A socket that refuses changes, and names the one that takes them.
    pub(crate) fn query(
        path: PathBuf,
        full: &Path,
        connections: usize,
        budget: Arc<Budget>,
    ) -> Self {
        // Clients may run in other directories.
        let access = Access::Query { path: absolute(&path), full: absolute(full) };
        Self::new(access, path, connections, budget)
    }

    fn new(access: Access, path: PathBuf, connections: usize, budget: Arc<Budget>) -> Self {
        let places = Arc::new(Places::new(path, connections));
        Self { access, places, budget, counters: Counters::default() }
    }

    /// Whether this socket answers such a request. Counts a refusal.
    ///
    /// # Errors
    /// The request changes something, and this is a query socket.
    pub(super) fn check(&self, request: &Request) -> Result<(), ApiError> {
        let (Access::Query { path, full }, Some(change)) = (&self.access, request.change()) else {
            return Ok(());
        };
        self.counters.count_change_refused();
        let message = format!(
            "`{change}` is a change, and the socket {} answers questions only: the socket {} of this agent takes changes",
            path.display(),
            full.display()
        );
        Err(ApiError::new(ErrorCode::SocketReadOnly, message))
    }

    /// The counters and levels of this socket, by their names in `info`.
    pub(super) fn report(&self) -> Vec<(String, u64)> {
        let (prefix, own) = match self.access {
            Access::Full => ("api", None),
            Access::Query { .. } => (
                "query",
                Some([
                    ("changes_refused", self.counters.changes_refused()),
                    ("bytes", self.budget.held() as u64),
                ]),
            ),
        };
        let levels = [
            ("connections", self.places.taken() as u64),
            ("watches", self.counters.watches.load(Ordering::Relaxed)),
        ];
        let all = self.counters.snapshot().into_iter().chain(levels);
        let all = all.chain(own.into_iter().flatten());
        all.map(|(name, count)| (format!("{prefix}_{name}"), count)).collect()
    }
}

/// The path as it is named to a client; as it was given, if this process has no directory any more.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> Door {
        Door::query("/run/q.sock".into(), Path::new("/run/full.sock"), 16, Budget::new(1))
    }

    fn full() -> Door {
        Door::full("/run/full.sock".into(), 16, Budget::new(1))
    }

    #[test]
    fn a_query_socket_refuses_a_change_and_names_the_other_one() {
        let door = query();
        let refused = door.check(&Request::Leave {}).expect_err("a change");
        assert_eq!(refused.code, ErrorCode::SocketReadOnly);
        for part in ["`leave`", "/run/q.sock", "/run/full.sock"] {
            assert!(refused.message.contains(part), "no {part} in: {refused}");
        }
        assert!(
            door.check(&Request::Report { reports: Vec::new(), calls: Vec::new() }).is_ok(),
            "as picks may"
        );
        assert!(full().check(&Request::Leave {}).is_ok());
        assert_eq!(door.counters.changes_refused(), 1);
    }

    #[test]
    fn each_socket_has_counters_of_its_own() {
        let names = |door: &Door| -> Vec<String> {
            door.report().into_iter().map(|(name, _)| name).collect()
        };
        let full = names(&full());
        assert!(full.iter().all(|name| name.starts_with("api_")), "{full:?}");
        let query = names(&query());
        assert!(query.iter().all(|name| name.starts_with("query_")), "{query:?}");
        assert!(query.contains(&"query_changes_refused".to_owned()), "{query:?}");
    }
}
