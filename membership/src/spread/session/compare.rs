//! Comparing the heads of the peer with ours.

use std::collections::BTreeSet;

use super::{ProtocolViolation, Role, Session, SessionStep, near};
use crate::base::identity::{Epoch, NodeId};
use crate::base::limits::{MAX_ORIGIN_TOMBSTONES, MAX_ORIGINS};
use crate::base::time::Time;
use crate::catalog::{Catalog, Head, Version, Want};
use crate::wire::{Heads, Lag};

/// The most heads that a peer may tell: of the states that it serves, of those that it receives, and of origin
/// tombstones. A peer may send twice as many heads, lags and hashes in all.
const MAX_HEADS: usize = 2 * MAX_ORIGINS + MAX_ORIGIN_TOMBSTONES;

impl Session {
    pub(super) fn take_heads(&mut self, heads: Heads) -> Result<SessionStep, ProtocolViolation> {
        self.heads_received += heads.len();
        if self.heads_complete || self.heads_received > 2 * MAX_HEADS {
            return Err(ProtocolViolation);
        }
        self.heads_complete = heads.is_last();
        match self.role {
            Role::Undecided => Err(ProtocolViolation),
            // Only a teller knows hashes of the other side, so a comparer sends no lags.
            Role::Teller if !heads.lags.is_empty() => Err(ProtocolViolation),
            Role::Teller => {
                self.ends = true;
                self.lacking.extend(heads.heads);
                Ok(SessionStep::Nothing)
            }
            Role::Comparer => {
                self.peer_is_whole = heads.is_whole();
                self.awaits_end |= heads.is_beyond();
                let told = heads.heads.into_iter();
                self.peer_heads.extend(told.map(|want| ((want.origin, want.epoch), want)));
                heads.lags.iter().try_for_each(|lag| self.take_lag(lag))?;
                self.peer_unknown.extend(heads.unknown);
                Ok(if self.heads_complete { SessionStep::Compare } else { SessionStep::Nothing })
            }
        }
    }

    /// Finds the head of ours that a lag means. If two heads have the prefix, the peer is taken to lack versions of
    /// both; a version that it already has does no harm.
    fn take_lag(&mut self, lag: &Lag) -> Result<(), ProtocolViolation> {
        let mut meant = near::beginning(lag.head, &self.snapshot).peekable();
        meant.peek().ok_or(ProtocolViolation)?;
        for head in meant {
            let Head { origin, epoch, known_to } = *head;
            let after = known_to.saturating_sub(Version::from(lag.versions));
            let want = Want { origin, epoch, after, gc_floor: lag.gc_floor };
            self.peer_heads.entry((origin, epoch)).or_insert(want);
        }
        Ok(())
    }

    /// The latest epoch of an origin that the peer knows or waits for.
    pub(crate) fn told_epoch(&self, origin: NodeId) -> Option<Epoch> {
        let told = self.peer_heads.range((origin, Epoch(0))..=(origin, Epoch::MAX));
        told.map(|((_, epoch), _)| *epoch).next_back()
    }

    /// Compares the heads that the peer told with ours: lists the versions that the peer lacks, and asks for those that
    /// we lack. `moved` returns the time at which a head of ours moved, if that was within the last second. Heads that
    /// moved last go first, then the heads of which most versions are missing.
    pub(crate) fn compare(&mut self, catalog: &Catalog, moved: impl Fn(NodeId) -> Option<Time>) {
        self.encoder = None;
        let told = std::mem::take(&mut self.peer_heads);
        let unknown = std::mem::take(&mut self.peer_unknown);
        let snapshot = std::mem::take(&mut self.snapshot);
        let mut candidates: BTreeSet<NodeId> = told.keys().map(|(origin, _)| *origin).collect();
        if self.peer_is_whole {
            candidates.extend(catalog.heads_of(self.scope).map(|head| head.origin));
        }
        let named = unknown.iter().flat_map(|prefix| near::beginning(*prefix, &snapshot));
        candidates.extend(named.map(|head| head.origin));
        let mut lacking = Vec::new();
        let mut wants = Vec::new();
        for origin in candidates {
            let nothing = Want { origin, epoch: Epoch(0), after: 0, gc_floor: 0 };
            let in_epoch = |epoch: Epoch| told.get(&(origin, epoch)).copied();
            let latest = told.range((origin, Epoch(0))..=(origin, Epoch::MAX)).next_back();
            let latest = latest.map_or(nothing, |(_, want)| *want);
            let mut newest = true;
            for ours in catalog.wants(origin) {
                let behind = match in_epoch(ours.epoch) {
                    Some(theirs) => ours.after < theirs.after,
                    None => newest && ours.epoch < latest.epoch,
                };
                wants.extend(behind.then_some(ours));
                newest = false;
            }
            let Some(head) = catalog.head(origin) else { continue };
            let theirs = in_epoch(head.epoch).unwrap_or(latest);
            let told = (theirs.epoch, theirs.after);
            let level = told == (head.epoch, head.known_to) && catalog.has_beyond(origin);
            if told < (head.epoch, head.known_to) || level {
                let missing = head.known_to.saturating_sub(theirs.after);
                lacking.push(((moved(origin), missing), theirs));
            }
        }
        lacking.sort_by_key(|(order, _)| *order);
        self.lacking = lacking.into_iter().map(|(_, want)| want).collect();
        if !wants.is_empty() {
            self.awaits_end = true;
            self.push_list(Heads::part(wants, vec![], vec![]));
        }
    }
}
