//! The queue of events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hobnob_keys::PublicKey;
use hobnob_membership::{
    HoldEnd, HoldId, NodeId, ReachId, ReachOutcome, StreamId, TcpProbeId, Time,
};

/// One end of a stream: the host, and the stream's id there.
pub(super) type Endpoint = (usize, StreamId);

/// Why a host connects to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// To hold the connection to this node.
    Hold(HoldId, NodeId),
    /// To see whether a process listens.
    Reach(ReachId),
}

/// An input on its way to a process.
#[derive(Debug)]
pub(super) enum Delivery {
    /// A datagram from an address.
    Datagram { from: u32, bytes: Vec<u8> },
    /// A peer opened a stream.
    Accept { stream: StreamId },
    /// A stream is secured: the peer proved its key.
    Secured { stream: StreamId, peer: PublicKey, binding: [u8; 32] },
    /// A frame of a stream.
    Frame { stream: StreamId, bytes: Vec<u8> },
    /// The acknowledgement that a frame was written.
    Written { stream: StreamId },
    /// The end of a stream.
    Closed { stream: StreamId },
    /// The answer to a TCP probe.
    TcpProbeAnswered { tcp_probe: TcpProbeId },
    /// The peer holds a connection, too.
    Held { hold: HoldId },
    /// The end of a held connection.
    HoldEnded { hold: HoldId, end: HoldEnd },
    /// The outcome of an attempt to reach a process.
    Reached { reach: ReachId, outcome: ReachOutcome },
}

/// A scheduled event.
#[derive(Debug)]
pub(super) enum WorldEvent {
    /// A datagram reaches an address. `late` is set when it has already waited at the receiver.
    Datagram { from: u32, to: u32, bytes: Vec<u8>, late: bool },
    /// A TCP probe reaches an address.
    TcpProbe { from: usize, to: u32, tcp_probe: TcpProbeId },
    /// An attempt to connect reaches an address.
    Connect { from: usize, to: u32, attempt: Attempt },
    /// A delivery on a stream, or the answer to a TCP probe, reaches a host.
    Stream { to: usize, delivery: Delivery },
    /// The opener of a stream of a sealed cluster has the answer of the other side.
    Handshake { opener: Endpoint, accepted: Endpoint },
    /// A stalled stream tries again.
    Retry { from: Endpoint },
    /// A process wakes: for a deadline, or because it is no longer busy.
    Wake { host: usize, life: u32 },
}

/// Scheduled events, earliest first. Events at the same time keep the order in which they were scheduled.
#[derive(Default)]
pub(super) struct Queue {
    /// Time, sequence number, and index into `events`. Events themselves do not move while the heap is sorted.
    heap: BinaryHeap<Reverse<(Time, u64, u32)>>,
    events: Vec<Option<WorldEvent>>,
    free: Vec<u32>,
    sequence: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Time, what: WorldEvent) {
        self.sequence += 1;
        let place = match self.free.pop() {
            Some(place) => {
                self.events[place as usize] = Some(what);
                place
            }
            None => {
                self.events.push(Some(what));
                (self.events.len() - 1) as u32
            }
        };
        self.heap.push(Reverse((at, self.sequence, place)));
    }

    pub(super) fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    pub(super) fn pop_until(&mut self, end: Time) -> Option<(Time, WorldEvent)> {
        if self.next_at().is_none_or(|at| at > end) {
            return None;
        }
        let Reverse((at, _, place)) = self.heap.pop()?;
        self.free.push(place);
        Some((at, self.events[place as usize].take()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_due_together_keep_their_order() {
        let mut queue = Queue::default();
        for (at, host) in [(2, 0), (1, 1), (1, 2), (3, 3)] {
            queue.push(Time::from_millis(at), WorldEvent::Wake { host, life: 0 });
        }
        let mut order = Vec::new();
        while let Some((_, WorldEvent::Wake { host, .. })) = queue.pop_until(Time::from_millis(2)) {
            order.push(host);
        }
        assert_eq!(order, [1, 2, 0]);
        assert_eq!(queue.next_at(), Some(Time::from_millis(3)));
    }
}
