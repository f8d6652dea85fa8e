//! The latest outcome of each check, for people who ask why an instance has its status. Verdicts do not rest on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// The latest outcomes of all running checks, by instance and name of the check: one for each, at most 512 bytes long.
#[derive(Debug, Default)]
pub struct LatestOutcomes(Mutex<Known>);

type Known = BTreeMap<(Arc<str>, Arc<str>), Latest>;

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
        self.with(|known| known.get(&(instance.into(), check.into())).cloned())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where one running check notes its outcomes. What it noted is forgotten with it.
#[derive(Debug)]
pub(super) struct OutcomeNotes {
    all: Arc<LatestOutcomes>,
    key: (Arc<str>, Arc<str>),
}

impl OutcomeNotes {
    pub(super) fn new(all: Arc<LatestOutcomes>, instance: Arc<str>, check: &str) -> Self {
        Self { all, key: (instance, check.into()) }
    }

    /// Notes an outcome. Most are equal to the one before.
    pub(super) fn note(&self, output: &str) {
        let at = Instant::now();
        self.all.with(|known| match known.get_mut(&self.key) {
            Some(latest) if latest.output == output => latest.at = at,
            _ => drop(known.insert(self.key.clone(), Latest { at, output: output.to_owned() })),
        });
    }
}

impl Drop for OutcomeNotes {
    fn drop(&mut self) {
        self.all.with(|known| known.remove(&self.key));
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
}
