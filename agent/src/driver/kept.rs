//! Whether the disk has the keys of a sealed cluster as the node has them. The driver counts their changes, and the registrar tells
//! which of them are durable.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// The changes of the keys, and how far the disk follows.
#[derive(Debug, Default)]
pub(crate) struct KeysKept(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    /// The number of the latest change.
    changed: u64,
    /// The latest change that is durable.
    kept: u64,
    /// The latest one that the disk refused, and why.
    refused: Option<(u64, String)>,
}

impl State {
    /// The fate of a change, if it is decided.
    fn fate(&self, change: u64) -> Option<Result<(), String>> {
        if self.kept >= change {
            return Some(Ok(()));
        }
        let refused = self.refused.as_ref().filter(|(refused, _)| *refused >= change);
        refused.map(|(_, reason)| Err(reason.clone()))
    }
}

impl KeysKept {
    /// Counts a change.
    pub(super) fn note_change(&self) {
        self.0.send_modify(|state| state.changed += 1);
    }

    /// The number of the latest change.
    pub(super) fn latest_change(&self) -> u64 {
        self.0.borrow().changed
    }

    /// Notes what the disk made of the keys as they were after this change.
    pub(crate) fn note_outcome(&self, change: u64, outcome: Result<(), String>) {
        self.0.send_modify(|state| match outcome {
            Ok(()) => state.kept = state.kept.max(change),
            Err(reason) => state.refused = Some((change, reason)),
        });
    }

    /// Waits until the disk has all changes that were made until now. After this time it counts as one that does not answer.
    ///
    /// # Errors
    /// The disk has not taken them, for this reason.
    pub(crate) async fn wait(&self, within: Duration) -> Result<(), String> {
        let (change, mut state) = (self.latest_change(), self.0.subscribe());
        let decided = state.wait_for(|state| state.fate(change).is_some());
        match timeout(within, decided).await {
            Ok(Ok(state)) => state.fate(change).unwrap_or(Ok(())),
            _ => Err("the disk of the data directory does not answer".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_when_the_disk_has_all_or_refuses() {
        let (kept, soon) = (KeysKept::default(), Duration::from_secs(1));
        assert_eq!(kept.wait(soon).await, Ok(()), "nothing changed");
        kept.note_change();
        assert!(kept.wait(soon).await.expect_err("nobody told").contains("does not answer"));
        kept.note_outcome(1, Err("full".to_owned()));
        assert_eq!(kept.wait(soon).await, Err("full".to_owned()));
        kept.note_change();
        assert!(kept.wait(soon).await.is_err(), "nothing is known of the second one");
        let (waited, ()) = tokio::join!(kept.wait(soon), async { kept.note_outcome(2, Ok(())) });
        assert_eq!(waited, Ok(()));
    }
}
