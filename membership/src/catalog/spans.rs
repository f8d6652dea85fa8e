//! What is known of an origin beyond the first gap.

use super::Version;
use crate::limits::MAX_SPANS_PER_ORIGIN;

/// A range of versions that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Where it begins, itself not included.
    pub(super) after: Version,
    /// Where it ends, itself included.
    pub(super) to: Version,
    /// How far its sender knew the origin.
    pub(super) head: Version,
}

/// Ranges beyond a gap, by where each begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<Span>);

impl Spans {
    pub(super) fn insert(&mut self, span: Span) {
        match self.0.binary_search_by_key(&span.after, |known| known.after) {
            Ok(place) => {
                let known = &mut self.0[place];
                known.to = known.to.max(span.to);
                known.head = known.head.max(span.head);
            }
            Err(place) => self.0.insert(place, span),
        }
        // The farthest is the one that repair reaches last; it is asked for again then.
        self.0.truncate(MAX_SPANS_PER_ORIGIN);
    }

    /// The first, if nothing is missing before it.
    pub(super) fn take_reached(&mut self, known_to: Version) -> Option<Span> {
        self.0.first().filter(|span| span.after <= known_to)?;
        let span = self.0.remove(0);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(span)
    }
}
