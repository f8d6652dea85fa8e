//! Picks that choose among given instances only: those that a strong read found.

use std::collections::BTreeMap;
use std::sync::Arc;

use hobnob_api::{ApiError, Grade};
use hobnob_balancer::Selector;
use hobnob_membership::NodeId;
use hobnob_membership::record::Text;
use rand::seq::IndexedRandom;

use super::resolve::bad_selector;
use crate::services::{Entry, Instances, Scope, matches};

/// The instances that a pick may choose.
pub(super) struct Only<'a> {
    entries: BTreeMap<(NodeId, &'a Text), &'a Arc<Entry>>,
    /// Those of them that a pick would be offered, and that the balancer does not know yet.
    new: Vec<&'a Arc<Entry>>,
}

impl<'a> Only<'a> {
    /// Those of some instances that a scope has. `known` are those that the balancer knows.
    ///
    /// # Errors
    /// The selector of the scope cannot be read.
    pub(super) fn new(
        entries: &'a [Arc<Entry>],
        scope: &Scope,
        strict: bool,
        known: Option<&Instances>,
    ) -> Result<Self, ApiError> {
        let selector = scope.selector.as_deref().unwrap_or_default();
        let selector: Selector = selector.parse().map_err(|error| bad_selector(&error))?;
        let is_match = |entry: &&Arc<Entry>| matches(&selector, &scope.datacenter, entry);
        let matching: Vec<_> = entries.iter().filter(is_match).collect();
        let best = Grade::offered(matching.iter().map(|entry| entry.grade()), strict);
        let is_new = |entry: &&Arc<Entry>| {
            let place = (entry.id.clone(), entry.origin);
            entry.is_offered(best) && !known.is_some_and(|known| known.contains_key(&place))
        };
        let new = matching.iter().copied().filter(is_new).collect();
        let entries = matching.into_iter().map(|entry| ((entry.origin, &entry.id), entry));
        Ok(Self { entries: entries.collect(), new })
    }

    /// The instance of the same agent and id.
    pub(super) fn get(&self, of: &Entry) -> Option<&'a Arc<Entry>> {
        self.entries.get(&(of.origin, &of.id)).copied()
    }

    /// An instance for a call for which the balancer has none, of those that were registered just now.
    pub(super) fn stand_in(&self) -> Option<&'a Arc<Entry>> {
        self.new.choose(&mut rand::rng()).copied()
    }
}
