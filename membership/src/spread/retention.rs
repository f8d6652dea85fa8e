//! Retention: how long the records of dead origins are kept, and how force-leave drops them earlier.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Spread;
use super::facts::Fact;
use super::peers::Peers;
use super::provenance::ForceLeft;
use super::rumors::Rumor;
use crate::base::identity::{Identity, NodeId};
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::catalog::record::Key;
use crate::catalog::{Delta, OriginTombstone, Standing, Want};
use crate::wire::{Ages, Message};

/// The period of the retention timer is the retention divided by this, within the two bounds below.
const SHARE: u32 = 16;
const MIN_PERIOD: Duration = Duration::from_millis(100);
const MAX_PERIOD: Duration = Duration::from_secs(10);

/// For each origin that is no active member, the time at which we noticed that.
#[derive(Debug, Default)]
pub(super) struct Retention {
    absent: BTreeMap<NodeId, Time>,
    /// The members and the records, as hashes, when all origins were last found to be active members.
    all_active: Option<(u64, u64)>,
}

impl Spread {
    /// Drops the records of origins that have been dead for the retention.
    pub(super) fn handle_retention_deadline(&mut self, peers: &mut dyn Peers, now: Time) {
        if !self.timers.is_expired(Timer::Retention, now) {
            return;
        }
        let kept = self.protocol.retention;
        let period = (kept / SHARE).clamp(MIN_PERIOD, MAX_PERIOD);
        self.timers.set(Timer::Retention, now + period);
        let absent = std::mem::take(&mut self.retention.absent);
        self.tell_the_living(peers, now);
        self.ask_the_living(peers, now);
        self.out.counters.origin_tombstones_given_up = self.catalog.origin_tombstones_given_up();
        // A node that hears nobody cannot tell which origins are dead. The times begin anew when it hears peers again.
        if !peers.is_connected() {
            return;
        }
        // With the same members and the same records, there is nothing to look for.
        let found = (peers.standings(), self.catalog.digest());
        if self.retention.all_active == Some(found) {
            return;
        }
        let mut ended = Vec::new();
        for (id, _) in self.catalog.origins() {
            if id == self.own || peers.standing(id) == Standing::Active {
                continue;
            }
            let since = absent.get(&id).copied().unwrap_or(now);
            if now.since(since) < kept {
                self.retention.absent.insert(id, since);
            } else {
                ended.push(id);
            }
        }
        let are_active = ended.is_empty() && self.retention.absent.is_empty();
        self.retention.all_active = are_active.then_some(found);
        for id in ended {
            let keys = self.catalog.reap(id);
            self.out.counters.origins_reaped += 1;
            self.tell_records_dropped(id, keys);
        }
        self.out.counters.origin_tombstones_given_up = self.catalog.origin_tombstones_given_up();
    }

    /// Drops the records of an origin so that one of a higher standing has its room: of an origin that is no member, or
    /// else, for an active member, of a member that is down. The one that has been no active member for longest goes
    /// first. Returns whether there was one.
    pub(super) fn make_room(&mut self, standing: Standing, peers: &dyn Peers, now: Time) -> bool {
        let since = |id: &NodeId| self.retention.absent.get(id).copied().unwrap_or(now);
        let unvouched = || self.catalog.unvouched().min_by_key(since);
        let origins = || self.catalog.origins().map(|(id, _)| id).filter(|id| *id != self.own);
        let dead =
            || origins().filter(|id| peers.standing(*id) != Standing::Active).min_by_key(since);
        let yields = match standing {
            Standing::Unvouched => None,
            Standing::Down => unvouched(),
            Standing::Active => unvouched().or_else(dead),
        };
        let Some(id) = yields else { return false };
        let keys = self.catalog.reap(id);
        self.out.counters.origins_yielded += 1;
        self.out.counters.origin_tombstones_given_up = self.catalog.origin_tombstones_given_up();
        self.tell_records_dropped(id, keys);
        true
    }

    /// Drops the records of a dead origin at this node alone, as at the end of its retention. The origin tombstone that
    /// stays keeps repair from bringing them back, so they are kept if there is no room for it. Returns whether nothing
    /// of the origin is held now.
    pub(crate) fn prune(&mut self, id: NodeId) -> bool {
        if self.catalog.origin(id).is_some() {
            if !self.catalog.has_room_for_origin_tombstone() {
                return false;
            }
            let keys = self.catalog.reap(id);
            self.out.counters.origins_pruned += 1;
            self.tell_records_dropped(id, keys);
        }
        self.retention.absent.remove(&id);
        self.provenances.forget(id);
        true
    }

    /// When an origin was first noticed to be no active member.
    pub(crate) fn absent_since(&self, id: NodeId) -> Option<Time> {
        self.retention.absent.get(&id).copied()
    }

    /// Handles a member that came, went or changed. Its records have the room of its standing. Its origin tombstone stands
    /// while it is down, and yields while it is active.
    pub(crate) fn review_origin_tombstone(&mut self, id: NodeId, peers: &dyn Peers, now: Time) {
        self.catalog.set_standing(id, peers.standing(id));
        if let Some(tombstone) = self.yielding_tombstone(id) {
            self.note_gap(tombstone.head(id), id, now);
        }
    }

    /// Makes an origin force-leave, on the word of an operator that it does not come back. Its records are dropped here
    /// and, by rumor and repair, on every other node to which it is no active member.
    pub(crate) fn force_leave(&mut self, id: NodeId, peers: &dyn Peers, now: Time) {
        let record = self.catalog.origin(id).and_then(|origin| origin.node()).cloned();
        let Some((delta, keys)) = self.catalog.force_leave(id) else { return };
        self.out.counters.origins_force_left += 1;
        if let Some(record) = record {
            self.note_force_leave(id, ForceLeft { record, at: now, told_by: self.own });
        }
        self.tell_records_dropped(id, keys);
        self.recent.moved(id, now);
        self.digests.news(now);
        let rumor = Rumor { delta, from: self.own, age: None, is_wide: false };
        self.out.counters.rumors_dropped += self.rumors.push(rumor, now) as u64;
        self.catalog.set_lives(id, peers.standing(id) == Standing::Active);
    }

    /// Tells active members their own origin tombstones. If this node alone has such a tombstone, it may take long
    /// until the origin sends it a digest.
    fn tell_the_living(&mut self, peers: &dyn Peers, now: Time) {
        let yielding = self.catalog.origin_tombstones().filter(|(_, tombstone)| tombstone.yields());
        let origins: Vec<NodeId> = yielding.map(|(origin, _)| origin).collect();
        for origin in origins {
            if let Some(peer) = peers.active(origin) {
                self.tell_its_origin_tombstone(&peer, now);
            }
        }
    }

    /// Tells a member its own origin tombstone, if we have one. An origin that was forced to leave while it lived, and
    /// missed the rumor, takes a new epoch once it hears of that. It is told when it sends a digest, and in each period
    /// of the retention timer.
    pub(super) fn tell_its_origin_tombstone(&mut self, peer: &Identity, now: Time) {
        if let Some(tombstone) = self.yielding_tombstone(peer.node_id) {
            let told = vec![Delta::origin_tombstone(tombstone.head(peer.node_id))];
            self.send_repair(peer, &Message::Rumors(self.own, told, Ages::default()), now);
        }
    }

    fn yielding_tombstone(&self, id: NodeId) -> Option<OriginTombstone> {
        self.catalog.origin_tombstone(id).copied().filter(OriginTombstone::yields)
    }

    /// Asks living origins for the rest of epochs of which we have a part. It may be that no other node has the rest,
    /// and no digest shows that we wait for it. An origin that never reached that epoch takes a later one once it is
    /// asked.
    fn ask_the_living(&mut self, peers: &dyn Peers, now: Time) {
        let wants: Vec<Want> = self.catalog.half_received().collect();
        for want in wants {
            if let Some(peer) = peers.active(want.origin) {
                self.send_pull(&peer, vec![want], now);
            }
        }
    }

    /// Tells the node that the records of an origin were dropped.
    fn tell_records_dropped(&mut self, origin: NodeId, mut keys: Vec<Key>) {
        keys.push(Key::Node);
        self.out.tell(Fact::Records { origin, keys });
    }
}
