//! A few nodes in virtual time, on a network without faults that records all traffic.

use std::borrow::BorrowMut;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use hobnob_keys::PublicKey;

use super::samples::{identity, node};
use super::sealed::WALL_MS;
use crate::limits::REACH_STAYS_OPEN;
use crate::record::{Key, Value};
use crate::{
    Event, HoldEnd, HoldId, Input, Node, Output, ReachId, ReachOutcome, StreamId, TcpProbeId, Time,
};

/// After this time, an attempt to reach a node that says nothing is over.
const REACH_TIMEOUT: Duration = Duration::from_secs(1);

/// The link between any two nodes.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Time that a datagram or frame takes to the other node.
    pub latency: Duration,
    /// Time that a new stream takes until its first frame arrives.
    pub handshake: Duration,
    /// Bytes of frames that pass in a second, in each direction. `None` means no limit.
    pub bytes_per_second: Option<u64>,
}

impl Default for Link {
    fn default() -> Self {
        let latency = Duration::from_millis(1);
        Self { latency, handshake: latency, bytes_per_second: None }
    }
}

/// The nodes and what is under way between them. `N` is [`Node`] or a reference to one.
#[derive(Debug)]
pub struct Network<N = Node> {
    /// The time at all nodes.
    pub now: Time,
    /// The nodes, found by the IP addresses of their identities. Each needs an entry in `events`.
    pub nodes: Vec<N>,
    /// Every datagram that was sent.
    pub datagrams: Vec<Vec<u8>>,
    /// Every frame that was sent.
    pub frames: Vec<Vec<u8>>,
    /// The events that each node told its owner.
    pub events: Vec<Vec<Event>>,
    /// Number of deadline calls.
    pub deadlines: usize,
    /// Number of streams opened to nodes that exist.
    pub streams_opened: u64,
    /// Nodes whose hosts complete TCP handshakes, and hold connections.
    pub listening: BTreeSet<usize>,
    /// Nodes whose hosts refuse TCP connections.
    pub refusing: BTreeSet<usize>,
    /// The held connections: the node that connected, and the other one.
    pub held: BTreeMap<(usize, HoldId), usize>,
    /// Nodes whose datagrams are dropped, in both directions.
    pub blocked: BTreeSet<usize>,
    /// Nodes whose datagrams take longer by this time, in both directions.
    pub far: BTreeMap<usize, Duration>,
    /// The datacenter of each node, by number. Nodes that are not listed are in the first one.
    pub groups: Vec<usize>,
    /// Time that datagrams and frames take longer between datacenters.
    pub wan_latency: Duration,
    /// The part of the datagrams between datacenters that is lost, in percent.
    pub wan_loss_percent: u64,
    /// Draws of losses so far.
    draws: u64,
    /// Pairs of nodes, the lower one first, between which neither datagrams nor new streams pass.
    pub cut: BTreeSet<(usize, usize)>,
    /// Every TCP probe that was asked for.
    pub tcp_probes: Vec<TcpProbeId>,
    /// How far the wall clock of a node is from that of the others, in ms.
    pub wall_skew_ms: BTreeMap<usize, i64>,
    /// Everything that arrived at a node.
    pub arrivals: Vec<(Time, usize, Arrival)>,
    link: Link,
    queue: BTreeMap<(Time, u64), (usize, Arrival)>,
    streams: BTreeMap<(usize, StreamId), StreamEnd>,
    /// Until when each line, from one node to another, is busy with frames.
    busy: BTreeMap<(usize, usize), Time>,
    /// Deadline calls in a row after which the next deadline had passed already.
    overdue: usize,
    sequence: u64,
}

/// One end of a stream.
#[derive(Clone, Copy, Debug)]
struct StreamEnd {
    peer: usize,
    /// The id of the stream at the peer.
    there: StreamId,
    is_finished: bool,
}

/// Something that arrives at a node.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the inputs of a node with what they carry")]
pub enum Arrival {
    Datagram(SocketAddr, Vec<u8>),
    Accepted(StreamId),
    Answered(StreamId),
    Secured { stream: StreamId, peer: PublicKey, binding: [u8; 32], wall_ms: u64 },
    Frame(StreamId, Vec<u8>),
    Written(StreamId),
    Closed(StreamId),
    TcpProbeAnswered(TcpProbeId),
    Held(HoldId),
    HoldEnded(HoldId, HoldEnd),
    Reached(ReachId, ReachOutcome),
}

impl Arrival {
    fn input(&self) -> Input<'_> {
        match self {
            Self::Datagram(from, bytes) => Input::Datagram { from: *from, bytes },
            Self::Accepted(stream) => Input::StreamAccepted { stream: *stream },
            Self::Answered(stream) => Input::StreamAnswered { stream: *stream },
            Self::Secured { stream, peer, binding, wall_ms } => Input::StreamSecured {
                stream: *stream,
                peer: *peer,
                binding: *binding,
                wall_ms: *wall_ms,
            },
            Self::Frame(stream, bytes) => Input::StreamFrame { stream: *stream, bytes },
            Self::Written(stream) => Input::StreamWritten { stream: *stream },
            Self::Closed(stream) => Input::StreamClosed { stream: *stream },
            Self::TcpProbeAnswered(tcp_probe) => Input::TcpProbeAnswered { tcp_probe: *tcp_probe },
            Self::Held(hold) => Input::Held { hold: *hold },
            Self::HoldEnded(hold, end) => Input::HoldEnded { hold: *hold, end: *end },
            Self::Reached(reach, outcome) => Input::Reached { reach: *reach, outcome: *outcome },
        }
    }
}

impl Network {
    /// Nodes that have joined through the first one.
    ///
    /// # Panics
    /// When they do not find each other within five seconds.
    #[must_use]
    pub fn joined(count: usize) -> Self {
        let mut network = Self::new((0..count).map(node).collect(), Link::default(), Time::ZERO);
        for n in 1..count {
            network.handle(n, Input::Join(vec![identity(0).addr]));
        }
        network.run_for(Duration::from_secs(5));
        assert!(network.nodes.iter().all(|node| node.active_members() == count), "not joined");
        assert!(network.is_converged(), "not converged");
        network
    }
}

impl<N: BorrowMut<Node>> Network<N> {
    /// Nodes that know nothing of each other yet.
    #[must_use]
    pub fn new(nodes: Vec<N>, link: Link, now: Time) -> Self {
        Self {
            now,
            events: nodes.iter().map(|_| Vec::new()).collect(),
            nodes,
            datagrams: Vec::new(),
            frames: Vec::new(),
            deadlines: 0,
            streams_opened: 0,
            listening: BTreeSet::new(),
            refusing: BTreeSet::new(),
            held: BTreeMap::new(),
            blocked: BTreeSet::new(),
            far: BTreeMap::new(),
            groups: Vec::new(),
            wan_latency: Duration::ZERO,
            wan_loss_percent: 0,
            draws: 0,
            cut: BTreeSet::new(),
            tcp_probes: Vec::new(),
            wall_skew_ms: BTreeMap::new(),
            arrivals: Vec::new(),
            link,
            queue: BTreeMap::new(),
            streams: BTreeMap::new(),
            busy: BTreeMap::new(),
            overdue: 0,
            sequence: 0,
        }
    }

    /// Whether all nodes hold the same records.
    #[must_use]
    pub fn is_converged(&self) -> bool {
        let mut digests = self.nodes.iter().map(|node| node.borrow().catalog().digest());
        digests.next().is_none_or(|first| digests.all(|digest| digest == first))
    }

    /// Whether no stream is open.
    #[must_use]
    pub fn is_without_streams(&self) -> bool {
        self.streams.is_empty()
    }

    /// Gives a node an input, and carries out and returns its outputs.
    ///
    /// # Panics
    /// When a deadline stays in the past.
    pub fn handle(&mut self, n: usize, input: Input<'_>) -> Vec<Output> {
        let is_deadline = matches!(input, Input::Deadline);
        let node = self.nodes[n].borrow_mut();
        node.handle(input, self.now);
        if is_deadline {
            self.deadlines += 1;
            let is_due = node.next_deadline().is_some_and(|next| next <= self.now);
            self.overdue = if is_due { self.overdue + 1 } else { 0 };
            // Isolation is followed by hellos at once, in a second call.
            assert!(self.overdue <= 1, "a deadline stays in the past");
        }
        self.drain(n)
    }

    /// Makes a node write records, and carries out and returns its outputs.
    ///
    /// # Panics
    /// When the node refuses them.
    pub fn write(&mut self, n: usize, records: Vec<(Key, Option<Value>)>) -> Vec<Output> {
        self.nodes[n].borrow_mut().write(records, self.now).expect("legal records");
        self.drain(n)
    }

    fn drain(&mut self, n: usize) -> Vec<Output> {
        let node = self.nodes[n].borrow_mut();
        let outputs: Vec<Output> = std::iter::from_fn(|| node.poll_output()).collect();
        for output in outputs.clone() {
            self.carry_out(n, output);
        }
        outputs
    }

    /// Carries out the outputs of a node after a call that was no input.
    pub fn flush(&mut self, n: usize) {
        while let Some(output) = self.nodes[n].borrow_mut().poll_output() {
            self.carry_out(n, output);
        }
    }

    /// Lets time pass, and does everything that is due within it.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Does the next thing that is due, unless it is due after `end`. Returns whether there was one.
    pub fn step(&mut self, end: Time) -> bool {
        let deadlines = self.nodes.iter().map(|node| node.borrow().next_deadline());
        let deadlines = deadlines.enumerate().filter_map(|(n, due)| Some((due?, n)));
        let deadline = deadlines.min();
        let arrival = self.queue.first_key_value().map(|((at, _), _)| *at);
        let next = [deadline.map(|(at, _)| at), arrival].into_iter().flatten().min();
        let Some(at) = next.filter(|at| *at <= end) else { return false };
        self.now = at.max(self.now);
        if arrival.is_some_and(|arrival| arrival <= at) {
            if let Some((_, (n, arrival))) = self.queue.pop_first() {
                self.handle(n, arrival.input());
                self.arrivals.push((self.now, n, arrival));
            }
        } else if let Some((_, n)) = deadline {
            self.handle(n, Input::Deadline);
        }
        true
    }

    fn carry_out(&mut self, n: usize, output: Output) {
        let soon = self.now + self.link.latency;
        let is_at = matches!(output, Output::OpenStreamAt { .. });
        match output {
            Output::Datagram { to, bytes } => {
                self.datagrams.push(bytes.clone());
                let passes = |to: &usize| !self.blocked.contains(to) && !self.blocked.contains(&n);
                let to = self.number_of(to).filter(|to| !self.is_cut(n, *to));
                let to = to.filter(passes);
                if let Some(to) = to.filter(|to| !self.is_lost(n, *to)) {
                    let further: Duration =
                        [n, to].iter().filter_map(|end| self.far.get(end)).sum();
                    let at = soon + further + self.further(n, to);
                    self.send(to, at, Arrival::Datagram(self.address_of(n), bytes));
                }
            }
            Output::OpenStream { stream, to, .. } | Output::OpenStreamAt { stream, to } => {
                match self.number_of(to) {
                    Some(peer) if !self.is_cut(n, peer) => {
                        if is_at {
                            self.send(n, soon, Arrival::Answered(stream));
                        }
                        self.open(n, stream, peer);
                    }
                    _ => self.send(n, soon, Arrival::Closed(stream)),
                }
            }
            Output::StreamFrame { stream, bytes } => {
                self.frames.push(bytes.clone());
                self.send_frame(n, stream, bytes);
            }
            Output::FinishStream { stream } => self.finish(n, stream),
            Output::ResetStream { stream } => {
                if let Some(StreamEnd { peer, there, .. }) = self.streams.remove(&(n, stream)) {
                    self.streams.remove(&(peer, there));
                    self.send(peer, soon, Arrival::Closed(there));
                }
            }
            Output::TcpProbe { to, tcp_probe } => {
                self.tcp_probes.push(tcp_probe);
                if self.number_of(to).is_some_and(|to| self.listening.contains(&to)) {
                    self.send(n, soon, Arrival::TcpProbeAnswered(tcp_probe));
                }
            }
            Output::Hold { hold, to, .. } => {
                let to = self.number_of(to).filter(|to| self.listening.contains(to));
                let arrival = match to {
                    Some(_) => Arrival::Held(hold),
                    None => Arrival::HoldEnded(hold, HoldEnd::Failed),
                };
                self.held.extend(to.map(|to| ((n, hold), to)));
                self.send(n, soon, arrival);
            }
            Output::Release { hold } => drop(self.held.remove(&(n, hold))),
            Output::Reach { to, reach } => {
                let (outcome, at) = match self.number_of(to) {
                    Some(to) if self.refusing.contains(&to) => (ReachOutcome::Refused, soon),
                    Some(to) if self.listening.contains(&to) => {
                        (ReachOutcome::Open, soon + REACH_STAYS_OPEN)
                    }
                    _ => (ReachOutcome::Silent, soon + REACH_TIMEOUT),
                };
                self.send(n, at, Arrival::Reached(reach, outcome));
            }
            Output::Event(event) => self.events[n].push(event),
        }
    }

    /// Ends all connections that are held to a node, in this way.
    pub fn end_connections(&mut self, n: usize, end: HoldEnd) {
        let soon = self.now + self.link.latency;
        let ended: Vec<_> = self.held.extract_if(.., |_, to| *to == n).collect();
        for ((from, hold), _) in ended {
            self.send(from, soon, Arrival::HoldEnded(hold, end));
        }
    }

    fn open(&mut self, n: usize, stream: StreamId, peer: usize) {
        self.streams_opened += 1;
        let there = StreamId::accepted(self.sequence);
        self.streams.insert((n, stream), StreamEnd { peer, there, is_finished: false });
        let end = StreamEnd { peer: n, there: stream, is_finished: false };
        self.streams.insert((peer, there), end);
        let handshake = self.link.handshake + self.further(n, peer);
        let at = self.now + handshake;
        let begin = self.now + handshake.saturating_sub(self.link.latency);
        for line in [(n, peer), (peer, n)] {
            let busy = self.busy.entry(line).or_default();
            *busy = begin.max(*busy);
        }
        self.send(peer, at, Arrival::Accepted(there));
        let key = |n: usize| self.nodes[n].borrow().public_key();
        if let (Some(ours), Some(theirs)) = (key(n), key(peer)) {
            let mut binding = [0; 32];
            binding[..8].copy_from_slice(&self.sequence.to_le_bytes());
            for (at_node, stream, peer) in [(peer, there, ours), (n, stream, theirs)] {
                let wall_ms = self.wall_ms(at_node, at);
                self.send(at_node, at, Arrival::Secured { stream, peer, binding, wall_ms });
            }
        }
    }

    /// The wall clock of a node.
    fn wall_ms(&self, n: usize, at: Time) -> u64 {
        let skew = self.wall_skew_ms.get(&n).copied().unwrap_or(0);
        (WALL_MS + at.as_micros() / 1_000).saturating_add_signed(skew)
    }

    fn send_frame(&mut self, n: usize, stream: StreamId, bytes: Vec<u8>) {
        let Some(StreamEnd { peer, there, .. }) = self.streams.get(&(n, stream)).copied() else {
            return;
        };
        if self.is_cut(n, peer) {
            // Neither end hears of that.
            return;
        }
        let nanos =
            self.link.bytes_per_second.map_or(0, |rate| bytes.len() as u64 * 1_000_000_000 / rate);
        let busy = self.busy.entry((n, peer)).or_default();
        *busy = self.now.max(*busy) + Duration::from_nanos(nanos);
        let written = *busy;
        let latency = self.link.latency + self.further(n, peer);
        self.send(peer, written + latency, Arrival::Frame(there, bytes));
        self.send(n, written, Arrival::Written(stream));
    }

    /// Finishes one end of a stream. The stream is over when both ends are finished.
    fn finish(&mut self, n: usize, stream: StreamId) {
        let Some(end) = self.streams.get_mut(&(n, stream)) else { return };
        end.is_finished = true;
        let other = (end.peer, end.there);
        if self.streams.get(&other).is_none_or(|end| end.is_finished) {
            self.streams.remove(&(n, stream));
            self.streams.remove(&other);
        } else if !self.is_cut(n, other.0) {
            // After the frames that are on their way.
            let busy = self.busy.get(&(n, other.0)).copied().unwrap_or(self.now);
            let at = busy.max(self.now) + self.link.latency + self.further(n, other.0);
            self.send(other.0, at, Arrival::Closed(other.1));
        }
    }

    /// Time that the way between two nodes takes longer because they are in different datacenters.
    fn further(&self, one: usize, other: usize) -> Duration {
        let group = |n: usize| self.groups.get(n).copied().unwrap_or(0);
        if group(one) == group(other) { Duration::ZERO } else { self.wan_latency }
    }

    /// Whether a datagram between two nodes is lost, by a sequence of draws that is always the same.
    fn is_lost(&mut self, one: usize, other: usize) -> bool {
        if self.wan_loss_percent == 0 || self.further(one, other).is_zero() {
            return false;
        }
        self.draws += 1;
        let mixed = (self.draws ^ (self.draws >> 7)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) % 100
            < self.wan_loss_percent
    }

    fn is_cut(&self, one: usize, other: usize) -> bool {
        self.cut.contains(&(one.min(other), one.max(other)))
    }

    fn number_of(&self, addr: SocketAddr) -> Option<usize> {
        (0..self.nodes.len()).find(|n| self.address_of(*n).ip() == addr.ip())
    }

    fn address_of(&self, n: usize) -> SocketAddr {
        self.nodes[n].borrow().identity().addr
    }

    fn send(&mut self, to: usize, at: Time, arrival: Arrival) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), (to, arrival));
    }
}
