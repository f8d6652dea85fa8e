//! The latest outcome of each check, for people who ask why an instance has its status. Verdicts do not rest on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// The latest outcomes of all running checks, by instance and name of the check: one for each, at most 512 bytes long.
#[derive(Debug, Default)]
pub struct LatestOutcomes(Mutex<Known>);

/// The number of the notes that hold an outcome, and that outcome.
type Held = (u64, Latest);

#[derive(Debug, Default)]
struct Known {
    by_check: BTreeMap<(Arc<str>, Arc<str>), Held>,
    /// The number of the newest notes.
    notes: u64,
}

/// The latest outcome of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    /// When the probe ended, or the service reported.
    pub at: Instant,
    /// What it gave, for people.
    pub output: String,
}

impl LatestOutcomes {
    /// The latest outcome of a check of an instance; `None` before the first.
    #[must_use]
    pub fn get(&self, instance: &str, check: &str) -> Option<Latest> {
        let key: (Arc<str>, Arc<str>) = (instance.into(), check.into());
        self.with(|known| known.by_check.get(&key).map(|(_, latest)| latest.clone()))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The notes of the outcomes of one running check. The end of the check removes its note.
#[derive(Debug)]
pub(super) struct OutcomeNotes {
    all: Arc<LatestOutcomes>,
    key: (Arc<str>, Arc<str>),
    /// A check that replaces another one has the same key, and a higher number.
    number: u64,
}

impl OutcomeNotes {
    pub(super) fn new(all: Arc<LatestOutcomes>, instance: Arc<str>, check: &str) -> Self {
        let number = all.with(|known| {
            known.notes += 1;
            known.notes
        });
        Self { all, key: (instance, check.into()), number }
    }

    /// Notes an outcome. Most are equal to the one before.
    pub(super) fn note(&self, output: &str) {
        let at = Instant::now();
        self.all.with(|known| match known.by_check.get_mut(&self.key) {
            Some((number, _)) if *number > self.number => {}
            Some((number, latest)) if latest.output == output => {
                (*number, latest.at) = (self.number, at);
            }
            _ => {
                let latest = Latest { at, output: output.to_owned() };
                known.by_check.insert(self.key.clone(), (self.number, latest));
            }
        });
    }
}

impl Drop for OutcomeNotes {
    fn drop(&mut self) {
        self.all.with(|known| {
            let is_own = |(number, _): &Held| *number == self.number;
            if known.by_check.get(&self.key).is_some_and(is_own) {
                known.by_check.remove(&self.key);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_outcome_stays_until_its_check_ends() {
        let all = Arc::<LatestOutcomes>::default();
        let notes = OutcomeNotes::new(all.clone(), "web-1".into(), "deep");
        assert_eq!(all.get("web-1", "deep"), None);
        notes.note("200 OK");
        notes.note("503");
        let output = |latest: Option<Latest>| latest.map(|latest| latest.output);
        assert_eq!(output(all.get("web-1", "deep")).as_deref(), Some("503"));
        assert_eq!(all.get("web-1", "other"), None);
        drop(notes);
        assert_eq!(all.get("web-1", "deep"), None);
    }

    #[test]
    fn the_end_of_a_replaced_check_leaves_the_note_of_its_successor() {
        let all = Arc::<LatestOutcomes>::default();
        let notes = || OutcomeNotes::new(all.clone(), "web-1".into(), "deep");
        let before = notes();
        before.note("503");
        let now = notes();
        for output in ["200 OK", "503"] {
            now.note(output);
            before.note("refused");
            assert_eq!(
                all.get("web-1", "deep").map(|latest| latest.output).as_deref(),
                Some(output)
            );
        }
        drop(before);
        assert_eq!(all.get("web-1", "deep").map(|latest| latest.output).as_deref(), Some("503"));
        drop(now);
        assert_eq!(all.get("web-1", "deep"), None);
    }
}
