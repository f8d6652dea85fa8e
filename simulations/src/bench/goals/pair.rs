//! A pair of agents joined by a cable: what passes when one joins the other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hobnob_membership::record::{Key, NodeRecord, Support, Value};
use hobnob_membership::wire::Frame;
use hobnob_membership::{
    ClusterId, Config, Epoch, Identity, Input, Node, NodeId, Output, Protocol, StreamId, Time,
};

/// Bandwidth of the cable in each direction, in bytes a second: a gigabit.
const BANDWIDTH: u64 = 125_000_000;
/// Bytes of the length before each frame on a stream.
const LENGTH_BYTES: u64 = 4;
/// The longest time for an exchange.
const LIMIT: Duration = Duration::from_secs(10);

/// An agent of a pair. Its clock stops while it is not connected.
pub(super) struct PairAgent {
    pub(super) node: Node,
    now: Time,
}

impl PairAgent {
    /// An agent with this number and these registered records.
    pub(super) fn new(number: usize, records: Vec<(Key, Value)>) -> Self {
        let [_, high, mid, low] = (number as u32 + 1).to_be_bytes();
        let config = Config {
            cluster: ClusterId::default(),
            identity: Identity {
                node_id: NodeId(0x1000 + number as u64),
                epoch: Epoch(1),
                addr: SocketAddr::from(([10, high, mid, low], 7_946)),
                sync_port: 7_947,
            },
            node: NodeRecord {
                name: format!("n{number}").into(),
                datacenter: "dc1".into(),
                zone: "".into(),
                software: "simulation".into(),
                instance_key_hash: number as u64,
                left: None,
                support: Support::OURS,
            },
            records,
            seed: number as u64,
            protocol: Protocol::default(),
        };
        Self { node: Node::new(config, Time::ZERO), now: Time::ZERO }
    }

    /// Writes a record for a client.
    pub(super) fn write(&mut self, key: Key, value: Value) {
        self.node.handle(Input::Write(vec![(key, Some(value))]), self.now);
    }
}

/// What passed between the agents of a pair.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    /// From the first hello until both held the same records.
    pub(super) took: Duration,
    /// Bytes of frames and of the lengths before them, in both directions.
    pub(super) frame_bytes: u64,
    /// The part of them that is about members.
    pub(super) member_bytes: u64,
}

enum CableDelivery {
    Datagram(SocketAddr, Vec<u8>),
    Accepted(StreamId),
    Frame(StreamId, Vec<u8>),
    Written(StreamId),
    Closed(StreamId),
}

/// The cable.
struct Cable {
    latency: Duration,
    now: Time,
    queue: BTreeMap<(Time, u64), (usize, CableDelivery)>,
    sequence: u64,
    /// The other end of each stream, and whether this end has finished.
    streams: BTreeMap<(usize, StreamId), (StreamId, bool)>,
    /// The end of the transmission in progress in each direction.
    busy: [Time; 2],
    frame_bytes: u64,
    member_bytes: u64,
    sessions: u64,
}

/// Joins one agent to another, and runs both until they hold the same records and have no session left. `None` when
/// they never do.
pub(super) fn exchange(
    newcomer: &mut PairAgent,
    host: &mut PairAgent,
    latency: Duration,
) -> Option<Exchange> {
    let start = newcomer.now.max(host.now);
    let mut cable = Cable {
        latency,
        now: start,
        queue: BTreeMap::new(),
        sequence: 0,
        streams: BTreeMap::new(),
        busy: [start; 2],
        frame_bytes: 0,
        member_bytes: 0,
        sessions: 0,
    };
    let mut ends = [&mut newcomer.node, &mut host.node];
    let address = ends[1].identity().addr;
    let mut equal_at = None;
    cable.hand(&mut ends, 0, Input::Join(vec![address]));
    loop {
        let equal = ends[0].catalog().digest() == ends[1].catalog().digest();
        equal_at = equal.then_some(equal_at.unwrap_or(cable.now));
        let silent = cable.streams.is_empty() && ends.iter().all(|end| end.load().sessions == 0);
        if (equal && silent && cable.sessions > 0) || cable.now - start > LIMIT {
            break;
        }
        cable.step(&mut ends);
    }
    newcomer.now = cable.now;
    host.now = cable.now;
    let Cable { frame_bytes, member_bytes, .. } = cable;
    Some(Exchange { took: equal_at? - start, frame_bytes, member_bytes })
}

impl Cable {
    /// Processes the next event.
    fn step(&mut self, ends: &mut [&mut Node; 2]) {
        let deadlines = ends.iter().enumerate();
        let deadline = deadlines.filter_map(|(end, node)| Some((node.next_deadline()?, end))).min();
        let arrival = self.queue.first_key_value().map(|((at, _), _)| *at);
        match (deadline, arrival) {
            (Some((due, end)), arrival) if arrival.is_none_or(|arrival| due < arrival) => {
                self.now = self.now.max(due);
                self.hand(ends, end, Input::Deadline);
            }
            (_, Some(at)) => {
                self.now = self.now.max(at);
                if let Some((_, (end, delivery))) = self.queue.pop_first() {
                    self.deliver(ends, end, &delivery);
                }
            }
            // No event will ever follow: skip to the limit.
            _ => self.now = self.now + LIMIT,
        }
    }

    fn deliver(&mut self, ends: &mut [&mut Node; 2], end: usize, delivery: &CableDelivery) {
        let input = match delivery {
            CableDelivery::Datagram(from, bytes) => Input::Datagram { from: *from, bytes },
            CableDelivery::Accepted(stream) => Input::StreamAccepted { stream: *stream },
            CableDelivery::Closed(stream) => {
                self.streams.remove(&(end, *stream));
                Input::StreamClosed { stream: *stream }
            }
            CableDelivery::Frame(stream, _) | CableDelivery::Written(stream)
                if !self.streams.contains_key(&(end, *stream)) =>
            {
                return;
            }
            CableDelivery::Frame(stream, bytes) => Input::StreamFrame { stream: *stream, bytes },
            CableDelivery::Written(stream) => Input::StreamWritten { stream: *stream },
        };
        self.hand(ends, end, input);
    }

    /// Hands an input to one end, and carries out its outputs.
    fn hand(&mut self, ends: &mut [&mut Node; 2], end: usize, input: Input<'_>) {
        let other = ends[1 - end].identity().addr.ip();
        let own = ends[end].identity().addr;
        ends[end].handle(input, self.now);
        while let Some(output) = ends[end].poll_output() {
            match output {
                Output::Datagram { to, bytes } if to.ip() == other => {
                    self.send(
                        1 - end,
                        self.now + self.latency,
                        CableDelivery::Datagram(own, bytes),
                    );
                }
                Output::OpenStream { stream, to, .. } if to.ip() == other => {
                    self.sessions += 1;
                    let accepted = StreamId::accepted(self.sequence);
                    self.streams.insert((end, stream), (accepted, false));
                    self.streams.insert((1 - end, accepted), (stream, false));
                    // The handshake takes three ways.
                    let at = self.now + self.latency * 3;
                    self.busy = self.busy.map(|busy| busy.max(at));
                    self.send(1 - end, at, CableDelivery::Accepted(accepted));
                }
                // Other agents are not part of the pair.
                Output::OpenStream { stream, .. } => {
                    self.send(end, self.now + self.latency, CableDelivery::Closed(stream));
                }
                Output::StreamFrame { stream, bytes } => self.send_frame(end, stream, bytes),
                Output::FinishStream { stream } => self.finish(end, stream),
                Output::ResetStream { stream } => {
                    if let Some((other, _)) = self.streams.remove(&(end, stream)) {
                        self.send(1 - end, self.now + self.latency, CableDelivery::Closed(other));
                    }
                }
                // The pair needs no TCP probes, and no datagrams to others.
                Output::TcpProbe { .. } | Output::Datagram { .. } | Output::Event(_) => {}
            }
        }
    }

    fn send_frame(&mut self, end: usize, stream: StreamId, bytes: Vec<u8>) {
        let Some((other, _)) = self.streams.get(&(end, stream)).copied() else { return };
        let len = LENGTH_BYTES + bytes.len() as u64;
        self.frame_bytes += len;
        if matches!(Frame::decode(&bytes), Ok(Frame::Members(_))) {
            self.member_bytes += len;
        }
        let takes = Duration::from_nanos(bytes.len() as u64 * 1_000_000_000 / BANDWIDTH);
        self.busy[end] = self.busy[end].max(self.now) + takes;
        let at = self.busy[end] + self.latency;
        self.send(1 - end, at, CableDelivery::Frame(other, bytes));
        self.send(end, self.busy[end], CableDelivery::Written(stream));
    }

    fn finish(&mut self, end: usize, stream: StreamId) {
        let Some((other, finished)) = self.streams.get_mut(&(end, stream)) else { return };
        *finished = true;
        let other = *other;
        if self.streams.get(&(1 - end, other)).is_none_or(|(_, finished)| *finished) {
            self.streams.remove(&(end, stream));
            self.streams.remove(&(1 - end, other));
        }
    }

    fn send(&mut self, to: usize, at: Time, delivery: CableDelivery) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), (to, delivery));
    }
}
