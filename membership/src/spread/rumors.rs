//! Rumors waiting to be sent: each change once, to a few peers, by everybody who hears it for the first time.
//!
//! Demers et al., "Epidemic algorithms for replicated database maintenance", PODC 1987, with infect-and-die forwarding
//! and two of the targets fixed as ring neighbours, so that no node is left out by chance alone. What the bandwidth does
//! not allow at once waits, and what was sent least goes first: the first copy of a rumor does the most, the last one is
//! the most likely to be heard already.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::identity::NodeId;
use crate::base::limits::MAX_RUMOR_QUEUE;
use crate::base::time::Time;
use crate::catalog::{Delta, Version};

/// What a small record takes as a rumor.
const TYPICAL_RUMOR_BYTES: usize = 100;

/// A delta of somebody else, to be passed on.
#[derive(Clone, Debug)]
pub(crate) struct Rumor {
    pub(crate) delta: Delta,
    /// Who told us.
    pub(crate) from: NodeId,
}

/// Rumors packed into one datagram, which goes to several peers one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// How many rumors are in it.
    pub(crate) rumors: usize,
    /// To whom it goes yet; the first is next.
    pub(crate) targets: VecDeque<SocketAddr>,
}

/// The queue. New rumors leave at once when the line was idle, else after a moment that lets company arrive.
///
/// What we write ourselves is no entry here but the version after which nobody was told yet: it is cut from the catalog
/// when its turn comes. So it takes no room, however much is written, and nothing can push it out.
#[derive(Debug)]
pub(crate) struct Rumors {
    own_unsent_after: Option<Version>,
    fresh: VecDeque<Rumor>,
    /// By how often each was sent; all in one place were sent equally often.
    batches: Vec<VecDeque<Batch>>,
    /// How many rumors are in the batches.
    in_batches: usize,
    coalesce: Duration,
    flush_at: Option<Time>,
    not_before: Time,
}

impl Rumors {
    pub(crate) fn new(coalesce: Duration) -> Self {
        Self {
            own_unsent_after: None,
            fresh: VecDeque::new(),
            batches: Vec::new(),
            in_batches: 0,
            coalesce,
            flush_at: None,
            not_before: Time::ZERO,
        }
    }

    /// We wrote something after a version.
    pub(crate) fn push_own(&mut self, after: Version, now: Time) {
        let earlier = self.own_unsent_after.unwrap_or(after);
        self.own_unsent_after = Some(after.min(earlier));
        self.flush_at.get_or_insert(self.not_before.max(now));
    }

    /// Queues what we heard. Returns how many rumors were dropped for it.
    pub(crate) fn push(&mut self, rumor: Rumor, now: Time) -> usize {
        self.fresh.push_back(rumor);
        self.flush_at.get_or_insert(self.not_before.max(now));
        self.make_room()
    }

    /// Queues a datagram that was sent to nobody yet. Returns how many rumors were dropped for it.
    pub(crate) fn push_batch(&mut self, batch: Batch) -> usize {
        self.insert(0, batch);
        self.make_room()
    }

    /// How many wait, sent to some already or not. What we wrote ourselves and told nobody is not among them.
    pub(crate) fn len(&self) -> usize {
        self.fresh.len() + self.in_batches
    }

    /// About how many bytes are sent before something that is new now.
    pub(crate) fn backlog_bytes(&self) -> usize {
        self.fresh.len() * TYPICAL_RUMOR_BYTES
    }

    pub(crate) fn own_unsent_after(&self) -> Option<Version> {
        self.own_unsent_after
    }

    /// When something may be sent, as far as it is up to the queue.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        if self.in_batches > 0 { Some(Time::ZERO) } else { self.flush_at }
    }

    /// What waits to be told for the first time, when its time has come: after which version of our own, and the rumors
    /// of others.
    pub(crate) fn take_fresh(&mut self, now: Time) -> Option<(Option<Version>, VecDeque<Rumor>)> {
        self.flush_at.take_if(|at| *at <= now)?;
        self.not_before = now + self.coalesce;
        Some((self.own_unsent_after.take(), std::mem::take(&mut self.fresh)))
    }

    /// Puts back what there was no bandwidth for; it is due at once.
    pub(crate) fn put_back(&mut self, own: Option<Version>, rumors: VecDeque<Rumor>, now: Time) {
        if own.is_some() || !rumors.is_empty() {
            self.own_unsent_after = own;
            self.fresh = rumors;
            self.flush_at = Some(now);
        }
    }

    /// The next copy to send: of what was sent least, the oldest.
    pub(crate) fn take_copy(&mut self) -> Option<(SocketAddr, Vec<u8>, usize)> {
        let sent = self.batches.iter().position(|batches| !batches.is_empty())?;
        let mut batch = self.remove(sent)?;
        let to = batch.targets.pop_front()?;
        let rumors = batch.rumors;
        if batch.targets.is_empty() {
            return Some((to, batch.bytes, rumors));
        }
        let bytes = batch.bytes.clone();
        self.insert(sent + 1, batch);
        Some((to, bytes, rumors))
    }

    fn insert(&mut self, sent: usize, batch: Batch) {
        if batch.targets.is_empty() {
            return;
        }
        if self.batches.len() <= sent {
            self.batches.resize_with(sent + 1, VecDeque::new);
        }
        self.in_batches += batch.rumors;
        self.batches[sent].push_back(batch);
    }

    fn remove(&mut self, sent: usize) -> Option<Batch> {
        let batch = self.batches.get_mut(sent)?.pop_front()?;
        self.in_batches -= batch.rumors;
        Some(batch)
    }

    fn make_room(&mut self) -> usize {
        let mut dropped = 0;
        while self.len() > MAX_RUMOR_QUEUE {
            let most = self.batches.iter().rposition(|batches| !batches.is_empty());
            match most.and_then(|most| self.remove(most)) {
                Some(batch) => dropped += batch.rumors,
                None => dropped += usize::from(self.fresh.pop_front().is_some()),
            }
        }
        dropped
    }
}

/// Everybody who told us something of a datagram.
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
        Rumor { delta, from: NodeId(7) }
    }

    fn batch(content: u8, rumors: usize, targets: u16) -> Batch {
        let targets = (1..=targets).map(|port| SocketAddr::from(([10, 0, 0, 1], port))).collect();
        Batch { bytes: vec![content; 100], rumors, targets }
    }

    fn sent(rumors: &mut Rumors) -> Vec<(u16, u8)> {
        let copies = std::iter::from_fn(|| rumors.take_copy());
        copies.map(|(to, bytes, _)| (to.port(), bytes[0])).collect()
    }

    #[test]
    fn the_first_rumor_leaves_at_once_and_the_next_waits_for_company() {
        let mut rumors = Rumors::new(Duration::from_millis(1));
        let start = Time::from_millis(10);
        rumors.push_own(4, start);
        assert_eq!(rumors.next_deadline(), Some(start));
        assert!(matches!(rumors.take_fresh(start), Some((Some(4), heard)) if heard.is_empty()));
        rumors.push(rumor(2), start);
        rumors.push_own(6, start + Duration::from_micros(500));
        rumors.push_own(5, start + Duration::from_micros(600));
        assert_eq!(rumors.next_deadline(), Some(start + Duration::from_millis(1)));
        assert!(rumors.take_fresh(start).is_none());
        let due = rumors.take_fresh(start + Duration::from_millis(1));
        assert!(matches!(due, Some((Some(5), heard)) if heard.len() == 1));
        assert_eq!(rumors.next_deadline(), None);
    }

    #[test]
    fn what_was_sent_least_goes_first() {
        let mut rumors = Rumors::new(Duration::ZERO);
        rumors.push_batch(batch(1, 1, 3));
        assert_eq!(rumors.take_copy().map(|(to, ..)| to.port()), Some(1));
        rumors.push_batch(batch(2, 1, 3));
        assert_eq!(sent(&mut rumors), [(1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]);
        assert_eq!(rumors.len(), 0);
    }

    #[test]
    fn a_full_queue_drops_what_was_sent_most_and_never_what_we_told_nobody() {
        let mut rumors = Rumors::new(Duration::ZERO);
        rumors.push_own(9, Time::ZERO);
        rumors.push_batch(batch(1, 10, 3));
        rumors.push_batch(batch(2, 10, 3));
        rumors.take_copy();
        for version in 1..=MAX_RUMOR_QUEUE as u64 - 20 {
            assert_eq!(rumors.push(rumor(version), Time::ZERO), 0);
        }
        assert_eq!(rumors.push(rumor(5_000), Time::ZERO), 10, "the batch that one has heard");
        assert_eq!(rumors.batches.iter().flatten().map(|batch| batch.bytes[0]).max(), Some(2));
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
}
