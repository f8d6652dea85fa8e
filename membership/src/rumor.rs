//! Rumors waiting to be sent: each change once, to a few peers, by everybody who hears it for the first time.
//!
//! Demers et al., "Epidemic algorithms for replicated database maintenance", PODC 1987, section 1.4, with infect-and-die
//! forwarding and two of the targets fixed as ring neighbours, so that no node is left out by chance alone.

use std::collections::VecDeque;
use std::time::Duration;

use crate::catalog::Delta;
use crate::identity::NodeId;
use crate::limits::MAX_RUMOR_QUEUE;
use crate::time::Time;

/// A delta to be passed on.
#[derive(Clone, Debug)]
pub(crate) struct Rumor {
    pub(crate) delta: Delta,
    /// Who told us; `None` when it is our own.
    pub(crate) from: Option<NodeId>,
}

/// The queue, flushed at once when the line was idle, else after a moment that lets company arrive.
#[derive(Debug)]
pub(crate) struct Rumors {
    queue: VecDeque<Rumor>,
    coalesce: Duration,
    flush_at: Option<Time>,
    not_before: Time,
}

impl Rumors {
    pub(crate) fn new(coalesce: Duration) -> Self {
        Self { queue: VecDeque::new(), coalesce, flush_at: None, not_before: Time::ZERO }
    }

    /// Queues a rumor. When the queue is full, the oldest foreign rumor gives way; never one of our own, which nobody
    /// else could pass on. Returns false when a rumor was dropped.
    pub(crate) fn push(&mut self, rumor: Rumor, now: Time) -> bool {
        self.queue.push_back(rumor);
        self.flush_at.get_or_insert(self.not_before.max(now));
        if self.queue.len() <= MAX_RUMOR_QUEUE {
            return true;
        }
        match self.queue.iter().position(|rumor| rumor.from.is_some()) {
            Some(oldest) => {
                self.queue.remove(oldest);
                false
            }
            None => true,
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.flush_at
    }

    /// How many of our own wait.
    pub(crate) fn own(&self) -> usize {
        self.queue.iter().filter(|rumor| rumor.from.is_none()).count()
    }

    /// How many of others wait.
    pub(crate) fn foreign(&self) -> usize {
        self.queue.len() - self.own()
    }

    /// Everything that waits, when its time has come.
    pub(crate) fn take_due(&mut self, now: Time) -> VecDeque<Rumor> {
        if self.flush_at.is_none_or(|at| at > now) {
            return VecDeque::new();
        }
        self.flush_at = None;
        self.not_before = now + self.coalesce;
        std::mem::take(&mut self.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Epoch;

    fn rumor(version: u64, from: Option<u64>) -> Rumor {
        let delta = Delta {
            origin: NodeId(1),
            epoch: Epoch(1),
            after: version - 1,
            to: version,
            head: version,
            gc_floor: 0,
            entries: Vec::new(),
        };
        Rumor { delta, from: from.map(NodeId) }
    }

    #[test]
    fn the_first_rumor_leaves_at_once_and_the_next_waits_for_company() {
        let mut rumors = Rumors::new(Duration::from_millis(1));
        let start = Time::from_millis(10);
        rumors.push(rumor(1, None), start);
        assert_eq!(rumors.next_deadline(), Some(start));
        assert_eq!(rumors.take_due(start).len(), 1);
        rumors.push(rumor(2, None), start);
        rumors.push(rumor(3, None), start + Duration::from_micros(500));
        assert_eq!(rumors.next_deadline(), Some(start + Duration::from_millis(1)));
        assert!(rumors.take_due(start).is_empty());
        assert_eq!(rumors.take_due(start + Duration::from_millis(1)).len(), 2);
        assert_eq!(rumors.next_deadline(), None);
    }

    #[test]
    fn a_full_queue_drops_the_oldest_foreign_rumor_and_never_an_own_one() {
        let mut rumors = Rumors::new(Duration::ZERO);
        rumors.push(rumor(1, None), Time::ZERO);
        rumors.push(rumor(2, Some(7)), Time::ZERO);
        for version in 3..=MAX_RUMOR_QUEUE as u64 {
            assert!(rumors.push(rumor(version, None), Time::ZERO));
        }
        assert!(!rumors.push(rumor(5_000, Some(7)), Time::ZERO));
        assert!(!rumors.push(rumor(5_001, None), Time::ZERO));
        assert!(rumors.push(rumor(5_002, None), Time::ZERO));
        let kept = rumors.take_due(Time::ZERO);
        assert!(kept.iter().all(|rumor| rumor.from.is_none()));
        assert_eq!(kept.len(), MAX_RUMOR_QUEUE + 1);
    }
}
