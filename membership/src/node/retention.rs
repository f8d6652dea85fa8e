//! A node and the dead: what it keeps of them, and for how long.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Node;
use crate::base::identity::{Identity, NodeId};
use crate::base::time::Time;
use crate::catalog::record::Key;
use crate::catalog::{Delta, Want};
use crate::spread::rumors::Rumor;
use crate::wire::{Message, Pull};

/// How exactly the time is kept, as a share of it, within these bounds.
const SHARE: u32 = 16;
const MIN_PERIOD: Duration = Duration::from_millis(100);
const MAX_PERIOD: Duration = Duration::from_secs(10);

/// Since when origins are no active members.
#[derive(Debug, Default)]
pub(super) struct Retention {
    absent: BTreeMap<NodeId, Time>,
    due: Time,
}

impl Node {
    pub(super) fn next_retention_deadline(&self) -> Time {
        self.retention.due
    }

    pub(super) fn handle_retention_deadline(&mut self, now: Time) {
        if self.retention.due > now {
            return;
        }
        let kept = self.protocol.retention;
        self.retention.due = now + (kept / SHARE).clamp(MIN_PERIOD, MAX_PERIOD);
        let absent = std::mem::take(&mut self.retention.absent);
        self.tell_the_living(now);
        self.ask_the_living(now);
        // Who hears nobody cannot tell who is dead.
        if !self.connected {
            return;
        }
        let own = self.identity().node_id;
        let mut ended = Vec::new();
        for (id, _) in self.catalog.origins() {
            if id == own || self.swim.active_peer(id).is_some() {
                continue;
            }
            let since = absent.get(&id).copied().unwrap_or(now);
            if now.since(since) < kept {
                self.retention.absent.insert(id, since);
            } else {
                ended.push(id);
            }
        }
        for id in ended {
            let keys = self.catalog.reap(id);
            self.counters.origins_reaped += 1;
            self.show_end(id, keys);
        }
        self.counters.origin_tombstones_given_up = self.catalog.origin_tombstones_given_up();
    }

    /// SWIM has news of a member: its origin_tombstone stands while it is down, and gives way while it is active.
    pub(super) fn review_origin_tombstone(&mut self, id: NodeId, now: Time) {
        let lives = self.swim.active_peer(id).is_some();
        self.catalog.set_lives(id, lives);
        let origin_tombstone =
            self.catalog.origin_tombstone(id).filter(|origin_tombstone| origin_tombstone.yields());
        if let Some(head) = origin_tombstone.map(|origin_tombstone| origin_tombstone.head(id)) {
            self.note_gap(head, id, now);
        }
    }

    /// An operator says that an origin does not come back: its records are dropped here and, by rumor and repair,
    /// everywhere else where it is not an active member.
    pub(super) fn force_leave(&mut self, id: NodeId, now: Time) {
        let record = self.catalog.origin(id).and_then(|origin| origin.node()).cloned();
        let Some((delta, keys)) = self.catalog.force_leave(id) else { return };
        self.counters.origins_force_left += 1;
        let from = self.identity().node_id;
        self.note_force_leave(id, record, from, now);
        self.show_end(id, keys);
        self.recent.moved(id, now);
        self.digests.news(now);
        self.counters.rumors_dropped += self.rumors.push(Rumor { delta, from }, now) as u64;
        self.catalog.set_lives(id, self.swim.active_peer(id).is_some());
    }

    /// Whoever has a origin_tombstone alone may wait for long until a digest of its origin comes.
    fn tell_the_living(&mut self, now: Time) {
        let origin_tombstones = self
            .catalog
            .origin_tombstones()
            .filter(|(_, origin_tombstone)| origin_tombstone.yields());
        let origins: Vec<NodeId> = origin_tombstones.map(|(origin, _)| origin).collect();
        for origin in origins {
            if let Some(peer) = self.swim.active_peer(origin).copied() {
                self.tell_its_origin_tombstone(&peer, now);
            }
        }
    }

    /// An origin that was buried alive, and missed the rumor, takes a new epoch once it hears of its origin_tombstone. It is told when
    /// it sends a digest, and now and then.
    pub(super) fn tell_its_origin_tombstone(&mut self, peer: &Identity, now: Time) {
        let origin_tombstone = self
            .catalog
            .origin_tombstone(peer.node_id)
            .filter(|origin_tombstone| origin_tombstone.yields());
        if let Some(head) =
            origin_tombstone.map(|origin_tombstone| origin_tombstone.head(peer.node_id))
        {
            let told =
                Message::Rumors(self.identity().node_id, vec![Delta::origin_tombstone(head)]);
            self.send_repair(peer.addr, &told, now);
        }
    }

    /// Nobody but the origin may have the rest of an epoch of which we have a part, and no digest shows that we wait for
    /// it. An origin that never reached that epoch takes a later one once it is asked.
    fn ask_the_living(&mut self, now: Time) {
        let wants: Vec<Want> = self.catalog.half_received().collect();
        for want in wants {
            if let Some(peer) = self.swim.active_peer(want.origin).copied() {
                let pull = Pull { sender: self.identity().node_id, wants: vec![want] };
                self.counters.pulls_sent += 1;
                self.send_repair(peer.addr, &Message::Pull(pull), now);
            }
        }
    }

    /// The instances of an origin whose records were dropped are gone.
    fn show_end(&mut self, id: NodeId, mut keys: Vec<Key>) {
        keys.push(Key::Node);
        self.refresh(id, &keys);
        self.refresh_member(id);
    }
}
