//! Ranges: versions of an origin that wait to be told, and are cut from the catalog when their turn comes.

use std::cmp::Ordering;

use super::{Catalog, Delta, Version};
use crate::base::identity::{Epoch, NodeId};

/// Versions of one origin in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) epoch: Epoch,
    pub(crate) after: Version,
    pub(crate) to: Version,
}

impl Range {
    /// The range of a delta.
    pub(crate) fn of(delta: &Delta) -> Self {
        Self { epoch: delta.epoch, after: delta.after, to: delta.to }
    }

    /// The smallest range with both. Of two epochs only the later one counts.
    pub(crate) fn join(self, other: Self) -> Self {
        match self.epoch.cmp(&other.epoch) {
            Ordering::Less => other,
            Ordering::Greater => self,
            Ordering::Equal => {
                Self { after: self.after.min(other.after), to: self.to.max(other.to), ..self }
            }
        }
    }

    /// Whether nothing is left of it.
    pub(crate) fn is_empty(self) -> bool {
        self.after >= self.to
    }

    /// Cuts a delta of at most `bytes` from the front of the range, and removes that from the range. A record
    /// that does not fit even `whole` bytes is left to repair.
    pub(crate) fn cut(
        &mut self,
        origin: NodeId,
        catalog: &Catalog,
        bytes: usize,
        whole: usize,
    ) -> Option<Delta> {
        while self.after < self.to {
            if let Some(delta) = catalog.cut(origin, self.epoch, self.after, bytes) {
                // The range may begin in a gap, and end in the middle of what is known.
                self.after = delta.to.max(self.after + 1);
                return Some(delta);
            }
            if bytes < whole || !catalog.has_after(origin, self.epoch, self.after) {
                return None;
            }
            self.after += 1;
        }
        None
    }
}
