//! The keys of a sealed cluster, kept for the next start.

use std::time::Duration;

use tokio::time::Instant;

use super::{Driver, Persist};
use crate::storage::KeptKeys;

/// The time from a change of the keys to saving them. Changes come in groups.
const SAVE_KEYS_AFTER: Duration = Duration::from_millis(20);
/// The least time between two saves: as many members enter at once, each of them changes the keys.
const SAVE_KEYS_EVERY: Duration = Duration::from_millis(500);

/// When the keys are saved.
#[derive(Debug, Default)]
pub(super) struct KeySaving {
    due_at: Option<Instant>,
    saved_at: Option<Instant>,
}

impl KeySaving {
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    fn changed(&mut self, now: Instant) {
        let earliest = self.saved_at.map_or(now, |at| at + SAVE_KEYS_EVERY);
        self.due_at.get_or_insert(earliest.max(now + SAVE_KEYS_AFTER));
    }
}

impl Driver {
    pub(super) fn note_changed_keys(&mut self) {
        self.inbox.keys_kept.note_change();
        self.key_saving.changed(Instant::now());
        self.note_entry();
    }

    pub(super) fn save_keys_if_due(&mut self, now: Instant) {
        if self.key_saving.due_at.is_some_and(|at| at <= now) {
            self.save_changed_keys();
        }
    }

    /// Asks for the keys to be kept, if they changed.
    pub(super) fn save_changed_keys(&mut self) {
        let now = Instant::now();
        if self.key_saving.due_at.take().is_none() {
            return;
        }
        self.key_saving.saved_at = Some(now);
        let keys = KeptKeys {
            generations: self.node.generations(self.clock.now()),
            revocations: self.node.revocations(),
            succession: self.node.trust().and_then(|trust| trust.succession().cloned()),
            certificates: self.node.certificates(),
        };
        let change = self.inbox.keys_kept.latest_change();
        if !self.persist(Persist::Keys(Box::new(keys), change)) {
            self.key_saving.changed(now);
        }
    }
}
