//! The queue of rumors. Each node that hears a change for the first time sends it once to a few peers.
//!
//! Demers et al., "Epidemic algorithms for replicated database maintenance", PODC 1987, with infect-and-die forwarding.
//! Two of the targets are the ring neighbours, so that no node is left out by chance alone. Rumors wait when there is
//! no bandwidth, and the rumors that were sent least go first: the first copy of a rumor does the most, and the last
//! one is the most likely to be known already.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::identity::NodeId;
use crate::base::limits::MAX_RUMOR_QUEUE;
use crate::base::time::Time;
use crate::catalog::{Delta, Version};
use crate::wire::{Ages, Packed};

/// The size of a rumor with a small record.
const TYPICAL_RUMOR_BYTES: usize = 100;

/// The age of a change, as it grows while the change is held here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age {
    /// The age with which the change came; zero for one of our own.
    came_with: Duration,
    /// The time at which it came, or was made here.
    at: Time,
}

impl Age {
    /// The age of a change that came, or was made, at this time.
    pub(crate) fn new(came_with: Duration, at: Time) -> Self {
        Self { came_with, at }
    }

    fn now(self, now: Time) -> Duration {
        self.came_with + now.since(self.at)
    }
}

/// Our own writes that no rumor has carried yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnUnsent {
    /// All versions after this one.
    pub(crate) after: Version,
    /// The age of the oldest of them; `None` when one was told before.
    pub(crate) age: Option<Age>,
    /// The version after which they were made while others waited, and the age of the first of these.
    younger: Option<(Version, Age)>,
}

impl OwnUnsent {
    /// What is left once all up to this version were sent. However long others wait, no write is told as older than the
    /// first one that came while the write before it waited.
    pub(crate) fn beyond(self, sent: Version) -> Self {
        match self.younger {
            Some((after, age)) if after <= sent => {
                Self { after: sent, age: Some(age), younger: None }
            }
            _ => Self { after: sent, ..self },
        }
    }
}

/// A delta of another origin, to be passed on.
#[derive(Clone, Debug)]
pub(crate) struct Rumor {
    pub(crate) delta: Delta,
    /// The node that sent it to us; we ourselves for a force-leave by our operator.
    pub(crate) from: NodeId,
    /// Its age, if it is known.
    pub(crate) age: Option<Age>,
    /// Whether it goes to as many peers as our own writes do: nobody else in the pool may have it.
    pub(crate) is_wide: bool,
}

/// Rumors packed into one datagram, which goes to several peers one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) packed: Packed,
    /// The age of each rumor in the datagram, if it is known.
    pub(crate) ages: Vec<Option<Age>>,
    /// The peers that it still has to be sent to; the first is next.
    pub(crate) targets: VecDeque<SocketAddr>,
}

/// The queue of rumors. New rumors leave at once when the line was idle, else after `coalesce`, so that several share a
/// datagram.
///
/// Our own writes are no entries of the queue. It keeps the version after which nobody was told yet, and the writes are
/// cut from the catalog when their turn comes. So they take no room, however many they are, and nothing pushes them
/// out.
#[derive(Debug)]
pub(crate) struct Rumors {
    own_unsent: Option<OwnUnsent>,
    fresh: VecDeque<Rumor>,
    /// The batches that were sent `n` times, at index `n`.
    batches: Vec<VecDeque<Batch>>,
    /// The number of rumors in the batches.
    in_batches: usize,
    coalesce: Duration,
    /// The time at which new rumors are due; `None` when there are none.
    flush_at: Option<Time>,
    /// The earliest time at which new rumors may leave.
    not_before: Time,
}

impl Rumors {
    pub(crate) fn new(coalesce: Duration) -> Self {
        Self {
            own_unsent: None,
            fresh: VecDeque::new(),
            batches: Vec::new(),
            in_batches: 0,
            coalesce,
            flush_at: None,
            not_before: Time::ZERO,
        }
    }

    /// Queues our own writes after a version, which are new, or are told again.
    pub(crate) fn push_own(&mut self, after: Version, is_new: bool, now: Time) {
        let age = is_new.then(|| Age::new(Duration::ZERO, now));
        let own = match (self.own_unsent, age) {
            (None, age) => OwnUnsent { after, age, younger: None },
            (Some(earlier), None) => {
                OwnUnsent { after: after.min(earlier.after), age: None, younger: None }
            }
            (Some(earlier), Some(age)) => OwnUnsent {
                after: after.min(earlier.after),
                younger: earlier.younger.or(Some((after, age))),
                ..earlier
            },
        };
        self.own_unsent = Some(own);
        self.flush_at.get_or_insert(self.not_before.max(now));
    }

    /// Holds our own writes for told.
    #[cfg(feature = "testing")]
    pub(crate) fn forget_own(&mut self) {
        self.own_unsent = None;
        self.flush_at.take_if(|_| self.fresh.is_empty());
    }

    /// Queues a rumor that we heard. Returns how many rumors were dropped to make room.
    pub(crate) fn push(&mut self, rumor: Rumor, now: Time) -> usize {
        self.fresh.push_back(rumor);
        self.flush_at.get_or_insert(self.not_before.max(now));
        self.make_room()
    }

    /// Queues a datagram that was sent to nobody yet. Returns how many rumors were dropped to make room.
    pub(crate) fn push_batch(&mut self, batch: Batch) -> usize {
        self.insert(0, batch);
        self.make_room()
    }

    /// The number of waiting rumors, in the batches and new. Our own writes that nobody was told yet do not count.
    pub(crate) fn len(&self) -> usize {
        self.fresh.len() + self.in_batches
    }

    /// About how many bytes are sent before a rumor that arrives now.
    pub(crate) fn backlog_bytes(&self) -> usize {
        self.fresh.len() * TYPICAL_RUMOR_BYTES
    }

    pub(crate) fn own_unsent_after(&self) -> Option<Version> {
        self.own_unsent.map(|own| own.after)
    }

    /// The time at which something may be sent, without regard to bandwidth.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        if self.in_batches > 0 { Some(Time::ZERO) } else { self.flush_at }
    }

    /// Takes what waits to be told for the first time, if it is due: our own writes, and the rumors that we heard.
    pub(crate) fn take_fresh(&mut self, now: Time) -> Option<(Option<OwnUnsent>, VecDeque<Rumor>)> {
        self.flush_at.take_if(|at| *at <= now)?;
        self.not_before = now + self.coalesce;
        Some((self.own_unsent.take(), std::mem::take(&mut self.fresh)))
    }

    /// Puts back the rest for which there was no bandwidth. It is due at once.
    pub(crate) fn put_back(&mut self, own: Option<OwnUnsent>, rumors: VecDeque<Rumor>, now: Time) {
        if own.is_some() || !rumors.is_empty() {
            self.own_unsent = own;
            self.fresh = rumors;
            self.flush_at = Some(now);
        }
    }

    /// How often the batch of the next copy was sent; `None` when there is no batch.
    pub(crate) fn least_sent(&self) -> Option<usize> {
        self.batches.iter().position(|batches| !batches.is_empty())
    }

    /// Takes the next copy to send: the oldest among the batches that were sent least. It tells how old its rumors are now, as
    /// far as that fits `room` bytes.
    pub(crate) fn take_copy(
        &mut self,
        room: usize,
        now: Time,
    ) -> Option<(SocketAddr, Packed, usize)> {
        let sent = self.least_sent()?;
        let mut batch = self.remove(sent)?;
        let to = batch.targets.pop_front()?;
        let rumors = batch.ages.len();
        let ages = Ages::new(batch.ages.iter().map(|age| age.map(|age| age.now(now))));
        if batch.targets.is_empty() {
            return Some((to, batch.packed.with_ages(&ages, room), rumors));
        }
        let packed = batch.packed.clone().with_ages(&ages, room);
        self.insert(sent + 1, batch);
        Some((to, packed, rumors))
    }

    fn insert(&mut self, sent: usize, batch: Batch) {
        if batch.targets.is_empty() {
            return;
        }
        if self.batches.len() <= sent {
            self.batches.resize_with(sent + 1, VecDeque::new);
        }
        self.in_batches += batch.ages.len();
        self.batches[sent].push_back(batch);
    }

    fn remove(&mut self, sent: usize) -> Option<Batch> {
        let batch = self.batches.get_mut(sent)?.pop_front()?;
        self.in_batches -= batch.ages.len();
        Some(batch)
    }

    fn make_room(&mut self) -> usize {
        let mut dropped = 0;
        while self.len() > MAX_RUMOR_QUEUE {
            let most = self.batches.iter().rposition(|batches| !batches.is_empty());
            match most.and_then(|most| self.remove(most)) {
                Some(batch) => dropped += batch.ages.len(),
                None => dropped += usize::from(self.fresh.pop_front().is_some()),
            }
        }
        dropped
    }
}

/// The nodes that sent us any rumor of a datagram.
pub(crate) type ToldBy = BTreeSet<NodeId>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::identity::Epoch;

    fn rumor(version: u64) -> Rumor {
        let delta = Delta {
            origin: NodeId(1),
            epoch: Epoch(1),
            after: version - 1,
            to: version,
            head: version,
            gc_floor: 0,
            entries: Vec::new(),
        };
        Rumor { delta, from: NodeId(7), age: None, is_wide: false }
    }

    fn batch(content: u8, rumors: usize, targets: u16) -> Batch {
        let targets = (1..=targets).map(|port| SocketAddr::from(([10, 0, 0, 1], port))).collect();
        Batch { packed: vec![content; 100].into(), ages: vec![None; rumors], targets }
    }

    fn sent(rumors: &mut Rumors) -> Vec<(u16, u8)> {
        let copies = std::iter::from_fn(|| rumors.take_copy(0, Time::ZERO));
        copies.map(|(to, packed, _)| (to.port(), packed.bytes()[0])).collect()
    }

    #[test]
    fn the_first_rumor_leaves_at_once_and_the_next_waits_for_company() {
        let mut rumors = Rumors::new(Duration::from_millis(1));
        let start = Time::from_millis(10);
        rumors.push_own(4, true, start);
        assert_eq!(rumors.next_deadline(), Some(start));
        assert!(
            matches!(rumors.take_fresh(start), Some((Some(OwnUnsent { after: 4, .. }), heard)) if heard.is_empty())
        );
        rumors.push(rumor(2), start);
        rumors.push_own(6, true, start + Duration::from_micros(500));
        rumors.push_own(5, true, start + Duration::from_micros(600));
        assert_eq!(rumors.next_deadline(), Some(start + Duration::from_millis(1)));
        assert!(rumors.take_fresh(start).is_none());
        let due = rumors.take_fresh(start + Duration::from_millis(1));
        assert!(matches!(due, Some((Some(OwnUnsent { after: 5, .. }), heard)) if heard.len() == 1));
        assert_eq!(rumors.next_deadline(), None);
    }

    #[test]
    fn the_rumor_that_was_sent_least_goes_first() {
        let mut rumors = Rumors::new(Duration::ZERO);
        rumors.push_batch(batch(1, 1, 3));
        assert_eq!(rumors.take_copy(0, Time::ZERO).map(|(to, ..)| to.port()), Some(1));
        rumors.push_batch(batch(2, 1, 3));
        assert_eq!(sent(&mut rumors), [(1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]);
        assert_eq!(rumors.len(), 0);
    }

    #[test]
    fn a_full_queue_drops_what_was_sent_most_and_never_what_we_told_nobody() {
        let mut rumors = Rumors::new(Duration::ZERO);
        rumors.push_own(9, true, Time::ZERO);
        rumors.push_batch(batch(1, 10, 3));
        rumors.push_batch(batch(2, 10, 3));
        rumors.take_copy(0, Time::ZERO);
        for version in 1..=MAX_RUMOR_QUEUE as u64 - 20 {
            assert_eq!(rumors.push(rumor(version), Time::ZERO), 0);
        }
        assert_eq!(rumors.push(rumor(5_000), Time::ZERO), 10, "the batch that was sent once");
        assert_eq!(
            rumors.batches.iter().flatten().map(|batch| batch.packed.bytes()[0]).max(),
            Some(2)
        );
        for version in 1..=9 {
            assert_eq!(rumors.push(rumor(6_000 + version), Time::ZERO), 0);
        }
        assert_eq!(rumors.push(rumor(7_000), Time::ZERO), 10);
        for version in 1..=9 {
            assert_eq!(rumors.push(rumor(8_000 + version), Time::ZERO), 0);
        }
        assert_eq!(rumors.push(rumor(9_000), Time::ZERO), 1, "the oldest that we heard");
        assert_eq!(rumors.len(), MAX_RUMOR_QUEUE);
        assert_eq!(rumors.own_unsent_after(), Some(9));
    }

    #[test]
    fn a_backlog_that_never_ends_makes_no_write_older_than_its_wait() {
        let mut rumors = Rumors::new(Duration::ZERO);
        let at = Time::from_millis;
        let mut version = 0;
        for ms in 0..1_000 {
            rumors.push_own(version, true, at(ms));
            version += 2;
            // One of two writes is sent each time, so that the backlog grows.
            let own = rumors.take_fresh(at(ms)).and_then(|(own, _)| own).expect("writes wait");
            rumors.put_back(Some(own.beyond(own.after + 1)), VecDeque::new(), at(ms));
        }
        let own = rumors.own_unsent.expect("half of the writes");
        let age = own.age.expect("all are new").now(at(1_000));
        assert!(age < Duration::from_millis(1_000), "{age:?}");
        rumors.push_own(own.after, false, at(1_000));
        assert_eq!(rumors.own_unsent.and_then(|own| own.age), None, "one was told before");
    }
}
