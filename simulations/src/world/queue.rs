//! What happens next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hobnob_membership::{StreamId, TcpProbeId, Time};

/// One end of a stream: the host, and the stream's number there.
pub(super) type Endpoint = (usize, StreamId);

/// Something that reaches a process.
#[derive(Debug)]
pub(super) enum Delivery {
    /// A datagram, from an address.
    Datagram { from: u32, bytes: Vec<u8> },
    /// A peer opened a stream.
    Accept { stream: StreamId },
    /// A frame arrived.
    Frame { stream: StreamId, bytes: Vec<u8> },
    /// A frame was written.
    Written { stream: StreamId },
    /// A stream is over.
    Closed { stream: StreamId },
    /// A host answered a touch.
    TcpProbeAnswered { tcp_probe: TcpProbeId },
}

/// Something that will happen.
#[derive(Debug)]
pub(super) enum WorldEvent {
    /// A datagram reaches an address, whoever has it then. `late` when it has waited at the receiver already.
    Datagram { from: u32, to: u32, bytes: Vec<u8>, late: bool },
    /// A host touches an address, whoever has it then.
    TcpProbe { from: usize, to: u32, tcp_probe: TcpProbeId },
    /// Something of a stream, or the answer to a touch, reaches a host.
    Stream { to: usize, delivery: Delivery },
    /// A stream that is stalled tries again.
    Retry { from: Endpoint },
    /// A process asked to be woken, or can go on.
    Wake { host: usize, life: u32 },
}

/// Everything that will happen, the earliest first, and what is due together in the order in which it was scheduled.
#[derive(Default)]
pub(super) struct Queue {
    /// When, which in that order, and where it stands; the events themselves need not move while these are sorted.
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
    fn what_is_due_together_keeps_its_order() {
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
