//! Bulk: what a session with another datacenter brought, on its way through the own pool. It is sent behind all first
//! and second copies of rumors, so that thousands of old changes hold up no new one.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::Spread;
use super::news::Learned;
use super::peers::Peers;
use super::provenance::Route;
use super::sending::news_seed;
use crate::base::identity::NodeId;
use crate::base::limits::MAX_ORIGINS;
use crate::base::time::Time;
use crate::catalog::{Catalog, Delta, Range};
use crate::wire::{Message, Packed};

/// After bulk, more of it is expected for this long.
const UNDER_WAY_FOR: Duration = Duration::from_millis(300);

/// What waits to be told on: for each origin one range, cut from the catalog when its turn comes. So it takes little
/// room, however much it is.
#[derive(Debug, Default)]
pub(super) struct Bulk {
    ranges: BTreeMap<NodeId, Range>,
    turns: VecDeque<NodeId>,
    /// The datagram that is being sent, and the peers that it still has to be sent to.
    under_way: Option<(Packed, VecDeque<SocketAddr>)>,
}

impl Bulk {
    /// Queues a range. Returns whether there was room for it.
    fn push(&mut self, origin: NodeId, range: Range) -> bool {
        if let Some(waits) = self.ranges.get_mut(&origin) {
            *waits = waits.join(range);
            return true;
        }
        if self.ranges.len() >= MAX_ORIGINS {
            return false;
        }
        self.ranges.insert(origin, range);
        self.turns.push_back(origin);
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_none() && self.turns.is_empty()
    }

    /// Takes the deltas of the next datagram.
    fn take(&mut self, catalog: &Catalog, bytes: usize) -> Vec<Delta> {
        let mut deltas = Vec::new();
        let mut room = bytes;
        while let Some(origin) = self.turns.front().copied() {
            let Some(range) = self.ranges.get_mut(&origin) else {
                self.turns.pop_front();
                continue;
            };
            if let Some(delta) = range.cut(origin, catalog, room, bytes) {
                room = room.saturating_sub(delta.encoded_len());
                deltas.push(delta);
                if !range.is_empty() {
                    continue;
                }
            } else if !deltas.is_empty() && room < bytes / 2 {
                break;
            }
            self.turns.pop_front();
            self.ranges.remove(&origin);
        }
        deltas
    }
}

impl Spread {
    /// Queues what a session with another datacenter brought, to be told on inside the pool.
    pub(super) fn push_bulk(&mut self, delta: &Delta) {
        let is_kept = self.bulk.push(delta.origin, Range::of(delta));
        self.out.counters.bulk_dropped += u64::from(!is_kept);
    }

    /// Takes the bulk rumors of one message. A range that is missing is left to digests: the rest is under way as bulk.
    pub(crate) fn handle_bulk(
        &mut self,
        sender: NodeId,
        deltas: Vec<Delta>,
        peers: &mut dyn Peers,
        now: Time,
    ) {
        for delta in deltas {
            self.out.counters.bulk_received += 1;
            if self.learn(&delta, sender, Route::Rumor, peers, now) == Learned::News {
                self.push_bulk(&delta);
            }
        }
        self.bulk_at = Some(now);
    }

    /// Whether bulk came or went lately. What is missing then is likely to be under way.
    pub(super) fn is_bulk_under_way(&self, now: Time) -> bool {
        self.bulk_at.is_some_and(|at| now.since(at) < UNDER_WAY_FOR)
    }

    /// Sends one copy of bulk, if any waits. Returns whether there was one.
    pub(super) fn send_bulk(&mut self, peers: &mut dyn Peers, now: Time) -> bool {
        if self.bulk.under_way.is_none() {
            let deltas = self.bulk.take(&self.catalog, self.rumors_bytes());
            if deltas.is_empty() {
                return false;
            }
            let targets = peers.rumor_targets(news_seed(&deltas), self.protocol.rumor_fanout);
            let targets: VecDeque<SocketAddr> = targets.iter().map(|peer| peer.addr).collect();
            let packed = self.out.pack_one(&Message::Bulk(self.own, deltas));
            self.bulk.under_way = packed.map(|packed| (packed, targets));
        }
        let Some((packed, mut targets)) = self.bulk.under_way.take() else { return false };
        let Some(to) = targets.pop_front() else { return true };
        if !targets.is_empty() {
            self.bulk.under_way = Some((packed.clone(), targets));
        }
        self.out.counters.bulk_sent += 1;
        self.bulk_at = Some(now);
        self.send_within_budget(to, packed, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::identity::Epoch;
    use crate::catalog::Version;
    use crate::catalog::record::{Health, Key, Value};

    const ORIGIN: NodeId = NodeId(1);

    fn written(writes: u64) -> Catalog {
        let mut catalog = Catalog::new(ORIGIN, Epoch(5));
        for n in 0..writes {
            let key = Key::Health(format!("instance-{n}").into());
            catalog.write(vec![(key, Some(Value::Health(Health::Passing)))]).expect("legal");
        }
        catalog
    }

    fn range(after: Version, to: Version) -> Range {
        Range { epoch: Epoch(5), after, to }
    }

    #[test]
    fn ranges_of_one_origin_become_one_and_are_told_in_datagrams() {
        let catalog = written(100);
        let mut bulk = Bulk::default();
        assert!(bulk.push(ORIGIN, range(0, 40)));
        assert!(bulk.push(ORIGIN, range(40, 100)));
        let mut known_to = 0;
        let mut datagrams = 0;
        while !bulk.is_empty() {
            for delta in bulk.take(&catalog, 500) {
                assert!(delta.encoded_len() <= 500);
                assert_eq!(delta.after, known_to);
                known_to = delta.to;
            }
            datagrams += 1;
        }
        assert_eq!(known_to, 100);
        assert!((4..20).contains(&datagrams), "{datagrams}");
    }

    #[test]
    fn a_later_epoch_replaces_a_range_and_an_unknown_one_is_given_up() {
        let catalog = written(3);
        let mut bulk = Bulk::default();
        let later = Range { epoch: Epoch(6), after: 0, to: 9 };
        assert!(bulk.push(ORIGIN, range(0, 3)));
        assert!(bulk.push(ORIGIN, later));
        assert_eq!(bulk.ranges[&ORIGIN], later);
        assert!(bulk.take(&catalog, 500).is_empty());
        assert!(bulk.is_empty());
    }
}
