//! Links: what a gateway forwards to other datacenters, within the bandwidth of each pair.
//!
//! News leave after a short wait, so that several share a datagram. What does not fit the bandwidth waits, and the newest
//! goes first. Second copies are shed before anything waits; first copies wait for as long as it takes. Of one origin
//! only a range of versions waits, so a link takes little room however much waits. What changes too often is held back by
//! a breaker before it comes to that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::breakers::{Admission, Breaker, Rates};
use super::parts::COPIES;
use crate::base::bucket::Bucket;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::NodeId;
use crate::base::limits::MAX_ORIGINS;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::protocol::Protocol;
use crate::base::time::Time;
use crate::catalog::{Catalog, Delta, Range};

/// The share of the bandwidth of a pair that one gateway may take, in hundredths. Each of three gateways has two thirds of
/// a copy on average, and two of them the whole of one.
const SHARE_PERCENT: u64 = 45;
/// The time whose bytes an idle link may send at once.
const BURST: Duration = Duration::from_millis(20);

/// The news of one origin that wait.
#[derive(Clone, Debug)]
struct Item {
    range: Range,
    /// The news as they were told; `None` when they have to be cut from the catalog.
    news: Option<Arc<Delta>>,
    order: u64,
}

/// What waits for one copy over one link.
#[derive(Clone, Debug, Default)]
struct Queue {
    items: BTreeMap<NodeId, Item>,
    /// The origins, in the order of their latest news.
    order: BTreeMap<u64, NodeId>,
    next: u64,
}

impl Queue {
    /// Queues news. Returns whether there was room.
    fn push(&mut self, news: &Arc<Delta>) -> bool {
        let (range, order) = (Range::of(news), self.next);
        self.next += 1;
        if let Some(item) = self.items.get_mut(&news.origin) {
            self.order.remove(&item.order);
            *item = Item { range: item.range.join(range), news: None, order };
        } else if self.items.len() >= MAX_ORIGINS {
            return false;
        } else {
            self.items.insert(news.origin, Item { range, news: Some(news.clone()), order });
        }
        self.order.insert(order, news.origin);
        true
    }

    /// Takes the newest for one datagram of at most `bytes`.
    fn take(&mut self, catalog: &Catalog, bytes: usize) -> Vec<Delta> {
        let mut deltas = Vec::new();
        let mut room = bytes;
        while let Some((_, origin)) = self.order.last_key_value().map(|(at, id)| (*at, *id)) {
            let Some(item) = self.items.get_mut(&origin) else { break };
            let whole = item.news.take_if(|news| news.encoded_len() <= room);
            let delta = match whole {
                Some(news) => {
                    item.range.after = item.range.to;
                    Some(Arc::unwrap_or_clone(news))
                }
                // It fits the next datagram as it is.
                None if item.news.is_some() && !deltas.is_empty() => break,
                None => item.range.cut(origin, catalog, room, bytes),
            };
            let Some(delta) = delta else {
                if !deltas.is_empty() && room < bytes / 2 {
                    break;
                }
                self.remove(origin);
                continue;
            };
            room = room.saturating_sub(delta.encoded_len());
            deltas.push(delta);
            if item.range.is_empty() {
                self.remove(origin);
            }
        }
        deltas
    }

    fn remove(&mut self, origin: NodeId) {
        if let Some(item) = self.items.remove(&origin) {
            self.order.remove(&item.order);
        }
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// The link to one other datacenter.
#[derive(Debug)]
struct Link {
    bucket: Bucket,
    queues: [Queue; COPIES],
    breakers: [Breaker; COPIES],
    held: HeldBack,
    /// When what waits may leave; `None` when nothing waits.
    flush_at: Option<Time>,
}

/// What the breakers of the link to a datacenter held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldBack {
    /// The changes that were held back since the start of the node. Of those of one key the last one crosses.
    pub changes: u64,
    /// The origin whose changes were held back last, and when.
    pub last: Option<(NodeId, Time)>,
    /// Origins whose changes wait.
    pub waiting: usize,
}

/// What became of news for a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// They are on their way.
    Queued,
    /// A breaker holds them back.
    Held,
    /// A breaker holds the first copy back, and this is the second one.
    Shed,
    /// A breaker holds back as many origins as it may.
    GivenUp,
    /// Too many origins wait for bandwidth.
    Dropped,
}

/// The links to all other datacenters.
#[derive(Debug)]
pub(crate) struct Links {
    links: BTreeMap<DatacenterId, Link>,
    bytes_per_second: u64,
    rates: Rates,
    coalesce: Duration,
}

impl Links {
    /// Links between pairs that have the bandwidth and the rates of a protocol.
    pub(crate) fn new(protocol: &Protocol) -> Self {
        let bytes_per_second =
            (protocol.wan_bytes_per_second.saturating_mul(SHARE_PERCENT) / 100).max(1_000);
        let (rates, coalesce) = (Rates::of(protocol), protocol.coalesce);
        Self { links: BTreeMap::new(), bytes_per_second, rates, coalesce }
    }

    fn at(&mut self, to: DatacenterId, now: Time) -> &mut Link {
        let (rate, rates) = (self.bytes_per_second, self.rates);
        self.links.entry(to).or_insert_with(|| Link {
            bucket: Bucket::with_burst(rate, BURST, now),
            queues: Default::default(),
            breakers: std::array::from_fn(|_| Breaker::new(rates, now)),
            held: HeldBack::default(),
            flush_at: None,
        })
    }

    /// Queues one copy of news, unless a breaker holds it back.
    pub(crate) fn push(
        &mut self,
        to: DatacenterId,
        copy: usize,
        news: &Arc<Delta>,
        now: Time,
    ) -> Pushed {
        let (coalesce, copy) = (self.coalesce, copy % COPIES);
        let link = self.at(to, now);
        let is_first = copy == 0;
        let admission = link.breakers[copy].admit(news, is_first, now);
        if admission != Admission::Passed && is_first {
            link.held.changes += news.entries.len() as u64;
            link.held.last = Some((news.origin, now));
        }
        match admission {
            Admission::Held => return Pushed::Held,
            Admission::Refused if is_first => return Pushed::GivenUp,
            Admission::Refused => return Pushed::Shed,
            Admission::Passed => {}
        }
        link.flush_at.get_or_insert(now + coalesce);
        if link.queues[copy].push(news) { Pushed::Queued } else { Pushed::Dropped }
    }

    /// Queues what breakers held back and may go now. Returns the number of origins whose news are left to repair.
    pub(crate) fn release(&mut self, catalog: &Catalog, bytes: usize, now: Time) -> u64 {
        let mut left = 0;
        for link in self.links.values_mut() {
            let [first, ..] = &mut link.breakers;
            if first.next_deadline().is_none_or(|at| at > now) {
                continue;
            }
            let (deltas, given_up) = first.release(catalog, bytes, now);
            left += given_up;
            for delta in deltas {
                link.flush_at.get_or_insert(now);
                left += u64::from(!link.queues[0].push(&Arc::new(delta)));
            }
        }
        left
    }

    /// Whether a breaker holds back changes of an origin on their way to a datacenter.
    pub(crate) fn holds(&self, to: DatacenterId, origin: NodeId, now: Time) -> bool {
        let link = self.links.get(&to);
        link.is_some_and(|link| link.breakers.iter().any(|breaker| breaker.holds(origin, now)))
    }

    /// What breakers held back on its way to a datacenter.
    pub(crate) fn held_back(&self, to: DatacenterId) -> HeldBack {
        let of = |link: &Link| HeldBack { waiting: link.breakers[0].len(), ..link.held };
        self.links.get(&to).map(of).unwrap_or_default()
    }

    /// When the next link has something to send and the bandwidth for it, or a breaker lets something go.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let due = |link: &Link| link.flush_at.map(|at| at.max(link.bucket.ready_at()));
        let held = self.links.values().filter_map(|link| link.breakers[0].next_deadline());
        self.links.values().filter_map(due).chain(held).min()
    }

    /// The links that are due.
    pub(crate) fn due(&self, now: Time) -> Vec<DatacenterId> {
        let is_due = |link: &Link| {
            link.flush_at.is_some_and(|at| at <= now) && link.bucket.ready_at() <= now
        };
        self.links.iter().filter(|(_, link)| is_due(link)).map(|(to, _)| *to).collect()
    }

    /// Takes one datagram of a copy that is due, if there is bandwidth.
    pub(crate) fn take(
        &mut self,
        to: DatacenterId,
        copy: usize,
        catalog: &Catalog,
        bytes: usize,
        now: Time,
    ) -> Vec<Delta> {
        let link = self.at(to, now);
        if !link.bucket.is_ready(now) {
            return Vec::new();
        }
        link.queues[copy % COPIES].take(catalog, bytes)
    }

    /// Ends a turn of a link: second copies that found no bandwidth are shed, and first copies wait. Returns the number of
    /// origins whose news were shed.
    pub(crate) fn end_turn(&mut self, to: DatacenterId, now: Time) -> usize {
        let link = self.at(to, now);
        let [first, rest @ ..] = &mut link.queues;
        let shed = rest.iter().map(|queue| queue.items.len()).sum();
        for queue in rest {
            *queue = Queue::default();
        }
        if mutant::is(Mutant::BudgetDrops) {
            *first = Queue::default();
        }
        link.flush_at = (!first.is_empty()).then_some(now);
        shed
    }

    /// Whether the bandwidth of a link allows to send.
    pub(crate) fn is_ready(&mut self, to: DatacenterId, now: Time) -> bool {
        self.at(to, now).bucket.is_ready(now)
    }

    /// When the bandwidth of a link allows to send.
    pub(crate) fn ready_at(&self, to: DatacenterId) -> Time {
        self.links.get(&to).map_or(Time::ZERO, |link| link.bucket.ready_at())
    }

    /// Takes the cost of bytes that were sent over a link.
    pub(crate) fn spend(&mut self, to: DatacenterId, bytes: usize, now: Time) {
        self.at(to, now).bucket.spend(bytes, now);
    }

    /// The number of origins whose news wait.
    pub(crate) fn len(&self) -> usize {
        let queued = self.links.values().flat_map(|link| &link.queues);
        let held = self.links.values().map(|link| link.breakers[0].len());
        queued.map(|queue| queue.items.len()).chain(held).sum()
    }

    /// Forgets the links to other datacenters than these.
    pub(crate) fn retain(&mut self, others: &[DatacenterId]) {
        self.links.retain(|to, _| others.contains(to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::identity::Epoch;
    use crate::catalog::record::{Health, Key, Value};

    const TO: DatacenterId = DatacenterId(7);
    const MS: fn(u64) -> Time = Time::from_millis;

    fn written(id: u64, writes: u64) -> Catalog {
        let mut catalog = Catalog::new(NodeId(id), Epoch(5));
        for n in 0..writes {
            let key = Key::Health(format!("instance-{n}").into());
            catalog.write(vec![(key, Some(Value::Health(Health::Passing)))]).expect("legal");
        }
        catalog
    }

    fn news(catalog: &Catalog, id: u64, after: u64) -> Arc<Delta> {
        let cut = catalog.cut(NodeId(id), Epoch(5), after, 90);
        Arc::new(cut.expect("something"))
    }

    #[test]
    fn the_newest_goes_first_and_news_of_one_origin_become_one_range() {
        let catalog = written(1, 40);
        let mut queue = Queue::default();
        let first = news(&catalog, 1, 0);
        assert!(queue.push(&first));
        let deltas = queue.take(&catalog, 1_000);
        assert_eq!(deltas, [(*first).clone()], "as it was told");
        assert!(queue.is_empty());
        let second = news(&catalog, 1, first.to);
        let other = Arc::new(Delta { origin: NodeId(2), ..(*first).clone() });
        assert!(queue.push(&first) && queue.push(&other) && queue.push(&second));
        let origins: Vec<_> =
            queue.take(&catalog, 1_000).iter().map(|delta| (delta.origin.0, delta.after)).collect();
        assert_eq!(origins, [(1, 0), (2, 0)]);
        assert!(queue.is_empty());
    }

    #[test]
    fn over_the_bandwidth_second_copies_are_shed_and_first_ones_wait() {
        let catalog = written(1, 400);
        let wan_bytes_per_second = 100_000;
        let mut links = Links::new(&Protocol { wan_bytes_per_second, ..Protocol::default() });
        let mut at = 0;
        while at < 400 {
            let news = news(&catalog, 1, at);
            at = news.to;
            for copy in 0..COPIES {
                assert_eq!(links.push(TO, copy, &news, MS(10)), Pushed::Queued);
            }
        }
        assert_eq!((links.next_deadline(), links.due(MS(10)).len()), (Some(MS(11)), 0));
        let (mut now, mut known_to, mut shed) = (MS(11), 0, 0);
        while let Some(due) = links.next_deadline() {
            now = now.max(due);
            assert_eq!(links.due(now), [TO]);
            for copy in 0..COPIES {
                loop {
                    let deltas = links.take(TO, copy, &catalog, 1_300, now);
                    if deltas.is_empty() {
                        break;
                    }
                    assert_eq!(copy, 0);
                    assert_eq!(deltas[0].after, known_to);
                    known_to = deltas[0].to;
                    links.spend(TO, deltas.iter().map(Delta::encoded_len).sum(), now);
                }
            }
            shed += links.end_turn(TO, now);
        }
        assert_eq!((known_to, shed, links.len()), (400, 1, 0), "delayed, and not lost");
        assert!(now > MS(100), "{now}");
    }
}
