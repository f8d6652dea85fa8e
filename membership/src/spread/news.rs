//! News of records: our own writes, and the writes of other origins by rumor, pull or session.

use std::time::Duration;

use super::Spread;
use super::facts::Fact;
use super::peers::Peers;
use super::provenance::{Arrival, ForceLeft, Route};
use super::rumors::{Age, Rumor};
use crate::base::identity::{Epoch, NodeId};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::catalog::record::{Key, Value};
use crate::catalog::{Applied, Delta, Head, Shortage, Version, WriteError};
use crate::gateways::gaps::MAX_PULLED;
use crate::wire::Ages;

/// The outcome of a delta of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learned {
    News,
    Nothing,
    /// There was no room, or it withholds what we have.
    Refused,
}

impl Spread {
    /// Writes records of our own.
    ///
    /// # Errors
    /// They were refused, and none was written.
    pub(crate) fn write(
        &mut self,
        records: Vec<(Key, Option<Value>)>,
        now: Time,
    ) -> Result<(), WriteError> {
        let written = self.catalog.write(records);
        self.out.counters.writes_refused += u64::from(written.is_err());
        let (before, changed) = written?;
        if !changed.is_empty() {
            self.out.tell(Fact::Records { origin: self.own, keys: changed });
            self.spread_own(before, true, now);
            self.set_timers();
        }
        Ok(())
    }

    /// Makes a rumor of our own writes after a version, which are new, or are told again.
    fn spread_own(&mut self, after: Version, is_new: bool, now: Time) {
        self.rumors.push_own(after, is_new, now);
        self.recent.moved(self.own, now);
        self.digests.news(now);
        self.gateways.beats.news(now);
    }

    /// Makes a rumor of our latest write again.
    pub(crate) fn repeat_own(&mut self, now: Time) {
        let last = self.catalog.head(self.own).map_or(0, |head| head.known_to);
        self.spread_own(last.saturating_sub(1), false, now);
    }

    /// Our records begin a new epoch.
    pub(crate) fn begin_epoch(&mut self, epoch: Epoch, now: Time) {
        self.catalog.raise_epoch(epoch);
        self.spread_own(0, true, now);
    }

    /// Begins an epoch beyond one that a peer remembers and we forgot, unless we took a new epoch too recently.
    fn refute(&mut self, remembered: Epoch, peers: &mut dyn Peers, now: Time) {
        if let Some(epoch) = peers.pass_epoch(remembered, now) {
            self.begin_epoch(epoch, now);
        }
    }

    /// Compares an epoch that a peer names for an origin with ours, if we are that origin. The peer knows the epoch or
    /// waits for it. If we never reached it, the peer would wait for ever, so we take a later epoch.
    pub(super) fn compare_epoch(
        &mut self,
        origin: NodeId,
        epoch: Epoch,
        peers: &mut dyn Peers,
        now: Time,
    ) {
        if origin == self.own && epoch > self.catalog.epoch() {
            self.refute(epoch, peers, now);
        }
    }

    /// Takes the rumors of one message.
    pub(crate) fn handle_rumors(
        &mut self,
        sender: NodeId,
        deltas: Vec<Delta>,
        ages: &Ages,
        peers: &mut dyn Peers,
        now: Time,
    ) {
        for (index, delta) in deltas.into_iter().enumerate() {
            self.handle_rumor(sender, delta, ages.get(index), peers, now);
        }
    }

    fn handle_rumor(
        &mut self,
        sender: NodeId,
        delta: Delta,
        age: Option<Duration>,
        peers: &mut dyn Peers,
        now: Time,
    ) {
        self.out.counters.rumors_received += 1;
        let head = Head { origin: delta.origin, epoch: delta.epoch, known_to: delta.head };
        // An origin tombstone makes no gap: it may have been ignored because its origin lives.
        let is_tombstone = delta.is_origin_tombstone();
        let pulled = self.gaps.is_pulled(delta.origin);
        let route = if pulled { Route::Pull } else { Route::Rumor };
        let learned = self.learn(&delta, sender, route, peers, now);
        if learned == Learned::News {
            self.out.counters.rumors_news += 1;
            age.into_iter().for_each(|age| self.convergence.add(age));
            let age = age.map(|age| Age::new(age, now));
            let rumor = Rumor { delta, from: sender, age, is_wide: false };
            self.out.counters.rumors_dropped += self.rumors.push(rumor, now) as u64;
        }
        // The rest of what was refused would be refused, too. Digests bring it once there is room.
        if !is_tombstone && learned != Learned::Refused {
            self.note_gap(head, sender, now + self.protocol.pull_after);
        }
    }

    /// Applies a delta. If there is no room for it, others give way whose right to room is less.
    pub(super) fn learn(
        &mut self,
        delta: &Delta,
        from: NodeId,
        by: Route,
        peers: &mut dyn Peers,
        now: Time,
    ) -> Learned {
        let origin = delta.origin;
        if self.is_withheld_from_home(delta, peers) {
            self.out.counters.withheld_refused += 1;
            return Learned::Refused;
        }
        let standing = peers.standing(origin);
        let before = self.catalog.origin(origin).and_then(|origin| origin.node());
        let force_left = before.filter(|_| delta.is_origin_tombstone()).cloned();
        let applied = loop {
            match self.catalog.apply(delta, standing) {
                Applied::Full(Shortage::Origins | Shortage::Bytes)
                    if self.make_room(standing, peers, now) => {}
                applied => break applied,
            }
        };
        match applied {
            Applied::Known => Learned::Nothing,
            Applied::Full(shortage) => {
                *match shortage {
                    Shortage::Origins => &mut self.out.counters.origins_refused,
                    Shortage::Bytes | Shortage::OriginBytes => {
                        &mut self.out.counters.records_refused
                    }
                } += 1;
                Learned::Refused
            }
            Applied::Refuted(epoch) => {
                self.refute(epoch, peers, now);
                Learned::Nothing
            }
            Applied::News(keys) => {
                if !delta.is_origin_tombstone() {
                    self.provenances.returned(origin);
                } else if let Some(record) = force_left {
                    self.note_force_leave(origin, ForceLeft { record, at: now, told_by: from });
                }
                self.out.tell(Fact::Records { origin, keys });
                self.out.counters.records_unknown += delta.unknown() as u64;
                self.provenances.news(origin, Arrival { at: now, from, by });
                self.recent.moved(origin, now);
                self.digests.news(now);
                self.note_far_news(origin, peers, now);
                let want = self.catalog.want_in(origin, delta.epoch);
                self.gateways.gaps.check(&want);
                let missing_since = self.gaps.since(origin);
                self.gaps.check(&want);
                if let Some(since) = missing_since.filter(|_| !self.gaps.is_open(origin)) {
                    self.gaps_closed.add(now.since(since));
                }
                self.answer_confirms(origin, peers, now);
                Learned::News
            }
        }
    }

    /// Notes that the records of a node were dropped because an operator made it force-leave.
    pub(super) fn note_force_leave(&mut self, node: NodeId, force_left: ForceLeft) {
        let told_by = force_left.told_by;
        self.provenances.note_force_leave(node, force_left);
        self.out.tell(Fact::ForceLeft { node, told_by });
    }

    /// Notes a gap if a peer has more of an origin than we do. Returns whether it has.
    pub(super) fn note_gap(&mut self, head: Head, source: NodeId, due: Time) -> bool {
        let want = self.catalog.want_in(head.origin, head.epoch);
        let known = (want.epoch, want.after) >= (head.epoch, head.known_to);
        if head.origin == self.own || known || mutant::is(Mutant::NeverRepair) {
            return false;
        }
        // The rest is under way as bulk. A session would bring it a second time.
        if self.is_bulk_under_way(due) && self.missing(head) > MAX_PULLED {
            return true;
        }
        if !self.gaps.note(head, &want, source, due) {
            self.out.counters.gaps_dropped += 1;
        }
        true
    }
}
