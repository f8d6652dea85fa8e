//! Telling members and heads.

use super::compare::prefix;
use super::{Role, Session};
use crate::catalog::{Catalog, Want};
use crate::identity::Identity;
use crate::reconcile::Difference;
use crate::wire::{Frame, Heads};

/// Members, or heads, that surely fit one frame.
const ITEMS_PER_FRAME: usize = 1_000;

impl Session {
    /// Tells our members, once.
    pub(crate) fn tell_members(&mut self, roster: &[(Identity, u16)]) {
        if !std::mem::replace(&mut self.told_members, true) {
            let members = roster.chunks(ITEMS_PER_FRAME);
            self.ready.extend(members.map(|chunk| Frame::Members(chunk.to_vec())));
        }
    }

    pub(super) fn tell_all(&mut self, catalog: &Catalog) {
        let heads: Vec<Want> = catalog.all_wants().collect();
        self.push_heads(&heads, &[], catalog, true);
    }

    pub(super) fn tell(&mut self, difference: &Difference, catalog: &Catalog) {
        self.decoder = None;
        let origin = |hash: &u64| {
            let place = self.snapshot.binary_search_by_key(hash, |(hash, _)| *hash).ok()?;
            self.snapshot.get(place).map(|(_, origin)| *origin)
        };
        let heads: Vec<Want> =
            difference.ours.iter().filter_map(origin).flat_map(|id| catalog.wants(id)).collect();
        // A head that both have in different states is told by ours. When the other side has no more than we told, all of
        // its own are most likely those; if not, the next session finds the rest.
        let unknown = if difference.theirs.len() > difference.ours.len() {
            difference.theirs.iter().map(|hash| prefix(*hash)).collect()
        } else {
            Vec::new()
        };
        self.push_heads(&heads, &unknown, catalog, false);
    }

    /// Lists heads as the teller. What we know beyond gaps is sent in any case: nobody can ask for what no head shows.
    fn push_heads(&mut self, heads: &[Want], unknown: &[[u8; 4]], catalog: &Catalog, whole: bool) {
        self.role = Role::Teller;
        let beyond = heads.iter().filter(|want| catalog.has_beyond(want.origin));
        let served = beyond
            .filter_map(|want| catalog.head(want.origin).filter(|head| head.epoch == want.epoch));
        self.lacking.extend(served.map(|head| Want {
            origin: head.origin,
            epoch: head.epoch,
            after: head.known_to,
            gc_floor: 0,
        }));
        let marked = |heads: Heads| if whole { heads.whole() } else { heads };
        let has_beyond = !self.lacking.is_empty();
        self.ends |= has_beyond;
        let beyond = |heads: Heads| if has_beyond { heads.beyond() } else { heads };
        self.push_lists(heads, unknown, |heads| beyond(marked(heads)));
    }

    pub(super) fn push_lists(
        &mut self,
        heads: &[Want],
        unknown: &[[u8; 4]],
        last: impl FnOnce(Heads) -> Heads,
    ) {
        let frames = heads.len().max(unknown.len()).div_ceil(ITEMS_PER_FRAME).max(1);
        let mut heads = heads.chunks(ITEMS_PER_FRAME);
        let mut unknown = unknown.chunks(ITEMS_PER_FRAME);
        let mut lists: Vec<Heads> = (0..frames)
            .map(|_| {
                let heads = heads.next().unwrap_or_default().to_vec();
                Heads::part(heads, unknown.next().unwrap_or_default().to_vec())
            })
            .collect();
        let end = lists.pop().unwrap_or_default();
        self.ready.extend(lists.into_iter().map(Frame::Heads));
        self.ready.push_back(Frame::Heads(last(end.last())));
    }
}
