//! Picks that choose among given instances only: those that a strong read found.

use std::collections::BTreeMap;
use std::sync::Arc;

use hobnob_api::{ApiError, Grade};
use hobnob_balancer::Selector;
use hobnob_membership::NodeId;
use hobnob_membership::record::Text;
use rand::seq::IndexedRandom;

use super::resolve::bad_selector;
use crate::services::{Entry, Scope, matches};

/// The instances that a pick may choose.
pub(super) struct Only<'a> {
    entries: BTreeMap<(NodeId, &'a Text), &'a Arc<Entry>>,
    /// Those of them that a pick of this scope would be offered.
    offered: Vec<&'a Arc<Entry>>,
}

impl<'a> Only<'a> {
    /// # Errors
    /// The selector of the scope cannot be read.
    pub(super) fn new(
        entries: &'a [Arc<Entry>],
        scope: &Scope,
        strict: bool,
    ) -> Result<Self, ApiError> {
        let selector = scope.selector.as_deref().unwrap_or_default();
        let selector: Selector = selector.parse().map_err(|error| bad_selector(&error))?;
        let is_match = |entry: &&Arc<Entry>| matches(&selector, &scope.datacenter, entry);
        let matching: Vec<_> = entries.iter().filter(is_match).collect();
        let best = Grade::offered(matching.iter().map(|entry| entry.grade()), strict);
        let offered = matching.into_iter().filter(|entry| entry.is_offered(best)).collect();
        let entries = entries.iter().map(|entry| ((entry.origin, &entry.id), entry)).collect();
        Ok(Self { entries, offered })
    }

    /// The instance of the same agent and id.
    pub(super) fn get(&self, of: &Entry) -> Option<&'a Arc<Entry>> {
        self.entries.get(&(of.origin, &of.id)).copied()
    }

    /// An instance for a call for which the balancer has none: it does not know those that were registered just now.
    pub(super) fn stand_in(&self) -> Option<&'a Arc<Entry>> {
        self.offered.choose(&mut rand::rng()).copied()
    }
}
