//! The checks by reports of this agent's instances, which services reach while the registrar waits for the disk.

use std::sync::Arc;

use arc_swap::ArcSwap;
use imbl::OrdMap;
use tokio::sync::mpsc::Sender;

use crate::checks::{Checker, SelfReport};

/// The queue of each check by reports, by the id of the instance. The registrar is the only writer; readers wait for nothing.
#[derive(Debug, Default)]
pub(super) struct Hearings(ArcSwap<OrdMap<Arc<str>, Arc<[Hearing]>>>);

/// A check by reports.
#[derive(Clone, Debug)]
struct Hearing {
    check: Arc<str>,
    hear: Sender<SelfReport>,
}

impl Hearings {
    /// Follows the running checks of an instance.
    pub(super) fn set(&self, instance: &Arc<str>, checkers: &[Checker]) {
        let of = |one: &Checker| {
            Some(Hearing { check: one.name().into(), hear: one.hearing()?.clone() })
        };
        let hearings: Arc<[Hearing]> = checkers.iter().filter_map(of).collect();
        let known = self.0.load();
        let changed = match hearings.is_empty() {
            true if known.contains_key(instance) => known.without(instance),
            true => return,
            false => known.update(instance.clone(), hearings),
        };
        self.0.store(Arc::new(changed));
    }

    /// The check of this name, or the only one, with its queue.
    pub(super) fn find(
        &self,
        instance: &str,
        check: Option<&str>,
    ) -> Option<(Arc<str>, Sender<SelfReport>)> {
        let known = self.0.load();
        let hearings = known.get(instance)?;
        let found = match (check, &hearings[..]) {
            (None, [only]) => only,
            (None, _) => return None,
            (Some(name), _) => hearings.iter().find(|one| &*one.check == name)?,
        };
        Some((found.check.clone(), found.hear.clone()))
    }
}
