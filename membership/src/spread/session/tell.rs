//! Telling members and heads.

use std::collections::BTreeSet;

use super::near::{Near, prefix};
use super::{Role, Session};
use crate::base::identity::{Identity, NodeId};
use crate::catalog::{Catalog, Head, Want};
use crate::spread::sketch::Difference;
use crate::wire::{Frame, Heads};

/// A number of members, or heads, that always fits one frame.
const ITEMS_PER_FRAME: usize = 1_000;

impl Session {
    /// Tells our members, once.
    pub(crate) fn tell_members(&mut self, roster: &[Identity]) {
        if !std::mem::replace(&mut self.told_members, true) {
            let members = roster.chunks(ITEMS_PER_FRAME);
            self.ready.extend(members.map(|chunk| Frame::Members(chunk.to_vec())));
        }
    }

    pub(super) fn tell_all(&mut self, catalog: &Catalog) {
        let heads: Vec<Want> = catalog.all_wants(self.scope).collect();
        self.tell_heads(Heads::part(heads, vec![], vec![]).whole(), catalog);
    }

    /// Tells our heads that differ. If the peer's head of an origin is close to ours, we find it by its hash: we send
    /// the versions that the peer lacks unasked, and ask for those that we lack with a lag.
    pub(super) fn tell(&mut self, difference: &Difference, catalog: &Catalog) {
        self.decoder = None;
        let mut theirs: BTreeSet<u64> = difference.theirs.iter().copied().collect();
        let mut list = Heads::default();
        let mut far = 0;
        for hash in &difference.ours {
            let place = self.snapshot.binary_search_by_key(hash, |(hash, _)| *hash).ok();
            let Some((_, head)) = place.and_then(|place| self.snapshot.get(place)) else {
                continue;
            };
            match Near::find(head.origin, &mut theirs, catalog) {
                Some(Near::Behind(lag)) => {
                    list.lags.push(lag);
                    self.send_beyond(head.origin, catalog);
                }
                Some(Near::Ahead(want)) => self.lacking.push(want),
                None => {
                    far += 1;
                    list.heads.extend(catalog.wants(head.origin));
                }
            }
        }
        // An origin that both sides know is told by our head. If the peer has no more heads than we told, they most
        // likely belong to the same origins. If not, the next session finds the rest.
        if theirs.len() > far {
            list.unknown = theirs.into_iter().map(prefix).collect();
        }
        self.tell_heads(list, catalog);
    }

    fn tell_heads(&mut self, list: Heads, catalog: &Catalog) {
        self.role = Role::Teller;
        let origins: BTreeSet<NodeId> = list.heads.iter().map(|want| want.origin).collect();
        origins.into_iter().for_each(|origin| self.send_beyond(origin, catalog));
        let unasked = !self.lacking.is_empty();
        self.ends |= unasked;
        self.push_list(if unasked { list.beyond() } else { list });
    }

    /// Sends the ranges of an origin beyond gaps, unasked: no head shows them, so the peer cannot ask for them.
    fn send_beyond(&mut self, origin: NodeId, catalog: &Catalog) {
        if let Some(head) = catalog.head(origin).filter(|_| catalog.has_beyond(origin)) {
            let Head { origin, epoch, known_to: after } = head;
            self.lacking.push(Want { origin, epoch, after, gc_floor: 0 });
        }
    }

    /// Queues a list of heads, as many frames as it needs. The last frame has the flags.
    pub(super) fn push_list(&mut self, mut list: Heads) {
        let longest = list.heads.len().max(list.lags.len()).max(list.unknown.len());
        for _ in 1..longest.div_ceil(ITEMS_PER_FRAME) {
            let (heads, lags) = (front(&mut list.heads), front(&mut list.lags));
            let part = Heads::part(heads, lags, front(&mut list.unknown));
            self.ready.push_back(Frame::Heads(part));
        }
        self.ready.push_back(Frame::Heads(list.last()));
    }
}

/// Removes and returns the front of a list, as much as fits a frame.
fn front<T>(list: &mut Vec<T>) -> Vec<T> {
    list.drain(..list.len().min(ITEMS_PER_FRAME)).collect()
}
