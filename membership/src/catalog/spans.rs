//! The ranges of an origin's versions that are known beyond the first gap.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Version;
use crate::base::limits::MAX_SPANS_PER_ORIGIN;

/// A range of known versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The version before the first one of the range.
    pub(super) after: Version,
    /// The last version of the range.
    pub(super) to: Version,
    /// The head of the delta that the range came from.
    pub(super) head: Version,
}

/// Ranges beyond a gap, ordered by their beginnings.
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
        // Drop the farthest range: repair reaches it last, and asks for it again then.
        self.0.truncate(MAX_SPANS_PER_ORIGIN);
    }

    /// Removes and returns the first range if nothing before it is missing.
    pub(super) fn take_reached(&mut self, known_to: Version) -> Option<Span> {
        self.0.first().filter(|span| span.after <= known_to)?;
        let span = self.0.remove(0);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(span)
    }

    /// The ranges as `(after, to]`, in order. Ranges that touch or overlap are joined into one.
    pub(super) fn joined(&self) -> impl Iterator<Item = (Version, Version)> + '_ {
        let mut spans = self.0.iter().peekable();
        std::iter::from_fn(move || {
            let Span { after, mut to, .. } = *spans.next()?;
            while let Some(next) = spans.next_if(|next| next.after <= to) {
                to = to.max(next.to);
            }
            Some((after, to))
        })
    }

    /// The last version of the farthest range; 0 when there are no ranges.
    pub(super) fn end(&self) -> Version {
        self.0.iter().map(|span| span.to).max().unwrap_or(0)
    }

    /// The highest head of all ranges; 0 when there are no ranges. It is at least [`Spans::end`]. Every version that
    /// the ranges left out was overwritten up to it.
    pub(super) fn head(&self) -> Version {
        self.0.iter().map(|span| span.head).max().unwrap_or(0)
    }

    /// One hash of the joined ranges, independent of how they arrived; 0 when there are no ranges.
    pub(super) fn hash(&self) -> u64 {
        self.joined().fold(0, |hash, (after, to)| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&after.to_le_bytes());
            bytes[8..].copy_from_slice(&to.to_le_bytes());
            xxh3_64_with_seed(&bytes, hash)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(ranges: &[(Version, Version)]) -> Spans {
        let mut spans = Spans::default();
        for (after, to) in ranges {
            spans.insert(Span { after: *after, to: *to, head: 50 });
        }
        spans
    }

    #[test]
    fn touching_spans_are_one_range_and_hash_as_such() {
        let parts = spans(&[(7, 9), (3, 5), (12, 14), (4, 7), (13, 20)]);
        let whole = spans(&[(3, 9), (12, 20)]);
        assert_eq!(parts.joined().collect::<Vec<_>>(), [(3, 9), (12, 20)]);
        assert_eq!(parts.hash(), whole.hash());
        assert_ne!(parts.hash(), spans(&[(3, 9)]).hash());
        assert_eq!(Spans::default().hash(), 0);
    }
}
