//! The calls that clients promised to report, on any connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hobnob_api::CallReport;
use hobnob_balancer::{Completion, Pick, Token};

use super::Entry;

/// Open calls. Beyond this number the oldest one counts as cancelled.
const MAX_OPEN_CALLS: usize = 100_000;
/// A call that is not reported for this long counts as cancelled.
const REPORT_WITHIN: Duration = Duration::from_secs(60);

/// The open calls of all clients.
pub(crate) struct Ledger {
    calls: Mutex<hobnob_balancer::Ledger<Arc<Entry>>>,
}

impl Default for Ledger {
    fn default() -> Self {
        let salt = rand::random();
        let calls = hobnob_balancer::Ledger::new(MAX_OPEN_CALLS, REPORT_WITHIN, salt);
        Self { calls: Mutex::new(calls) }
    }
}

impl Ledger {
    /// Keeps a call until it is reported, and names it.
    pub(crate) fn open(&self, pick: Pick<Arc<Entry>>, now: Duration) -> u64 {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.issue(pick, now).into()
    }

    /// Ends calls, and says how many of them were open.
    pub(crate) fn close(&self, reports: &[CallReport], now: Duration) -> usize {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.expire(now);
        calls.report_all(reports.iter().map(|report| Completion {
            token: Token::from(report.token),
            outcome: report.outcome,
            latency: Duration::from_micros(report.latency_us),
        }))
    }

    /// Cancels the calls whose time is up.
    pub(crate) fn expire(&self, now: Duration) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).expire(now);
    }
}
