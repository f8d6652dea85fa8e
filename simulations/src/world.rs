//! The world: nodes, the network between them, and what happens next.

use std::collections::{BTreeMap, BinaryHeap, btree_map::Entry};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hobnob_membership::record::{Key, NodeRecord, Value};
use hobnob_membership::{
    Config, Epoch, Event, Identity, Input, Node, NodeId, Output, Protocol, StreamId, Time,
};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use crate::network::Network;

const SYNC_PORT: u16 = 7_947;
const GOSSIP_PORT: u16 = 7_946;

/// Nodes of the real protocol in virtual time.
pub struct World {
    /// The network, to be changed between steps.
    pub network: Network,
    nodes: Vec<Option<Running>>,
    epochs: Vec<u64>,
    queue: BinaryHeap<Scheduled>,
    streams: BTreeMap<Endpoint, Stream>,
    next_accepted: u64,
    sequence: u64,
    now: Time,
    rng: Xoshiro256PlusPlus,
    trace: u64,
}

struct Running {
    node: Node,
    events: Vec<(Time, Event)>,
    /// The deadline that is already scheduled.
    deadline: Option<Time>,
    life: u64,
}

type Endpoint = (usize, StreamId);

#[derive(Clone, Copy)]
struct Stream {
    other: Endpoint,
    /// Frames arrive in order: none before this.
    not_before: Time,
    finished: bool,
}

enum Happening {
    Datagram { from: usize, to: usize, bytes: Vec<u8> },
    Accept { to: Endpoint },
    Frame { to: Endpoint, bytes: Vec<u8> },
    Written { to: Endpoint },
    Closed { to: Endpoint },
    Deadline { node: usize, life: u64, due: Time },
}

struct Scheduled {
    at: Time,
    sequence: u64,
    what: Happening,
}

impl World {
    /// An empty world. The same seed gives the same run.
    #[must_use]
    pub fn new(seed: u64, network: Network) -> Self {
        Self {
            network,
            nodes: Vec::new(),
            epochs: Vec::new(),
            queue: BinaryHeap::new(),
            streams: BTreeMap::new(),
            next_accepted: 0,
            sequence: 0,
            now: Time::ZERO,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            trace: 0,
        }
    }

    /// Virtual time since the beginning.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// A hash of everything that was delivered so far.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.trace
    }

    /// How many nodes there are, crashed ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds a node and starts it; it joins through the nodes in `seeds`. Returns its number.
    pub fn add(&mut self, seeds: &[usize]) -> usize {
        let number = self.nodes.len();
        self.nodes.push(None);
        self.epochs.push(0);
        self.start(number, seeds);
        number
    }

    /// Starts a node that does not run, with the identity of its last life and a new epoch.
    pub fn start(&mut self, number: usize, seeds: &[usize]) {
        self.restart(number, seeds, Vec::new());
    }

    /// Starts a node that does not run, with records that it kept.
    pub fn restart(&mut self, number: usize, seeds: &[usize], records: Vec<(Key, Value)>) {
        self.epochs[number] += 1_000;
        let identity = Identity {
            node_id: node_id(number),
            epoch: Epoch(self.epochs[number]),
            addr: gossip_addr(number),
            sync_port: SYNC_PORT,
        };
        let node = NodeRecord {
            name: format!("n{number}"),
            datacenter: "dc1".into(),
            zone: String::new(),
            software: "simulation".into(),
            instance_key_hash: 0,
            left: None,
        };
        let config = Config {
            identity,
            node,
            records,
            seed: self.rng.next_u64(),
            protocol: Protocol::default(),
        };
        let node = Node::new(config, self.now);
        self.nodes[number] =
            Some(Running { node, events: Vec::new(), deadline: None, life: self.epochs[number] });
        let seeds = seeds.iter().map(|seed| gossip_addr(*seed)).collect();
        self.act(number, Input::Join(seeds));
    }

    /// Stops a node without a word. What is under way to it is lost.
    pub fn crash(&mut self, number: usize) {
        self.nodes[number] = None;
        let broken: Vec<Endpoint> =
            self.streams.keys().filter(|(node, _)| *node == number).copied().collect();
        for endpoint in broken {
            self.reset(endpoint);
        }
    }

    /// Writes records at a node.
    pub fn write(&mut self, number: usize, records: Vec<(Key, Option<Value>)>) {
        self.act(number, Input::Write(records));
    }

    /// Makes a node leave.
    pub fn leave(&mut self, number: usize) {
        self.act(number, Input::Leave);
    }

    /// A running node; `None` when it has crashed.
    #[must_use]
    pub fn node(&self, number: usize) -> Option<&Node> {
        self.nodes.get(number)?.as_ref().map(|running| &running.node)
    }

    /// The running nodes.
    pub fn running(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes
            .iter()
            .enumerate()
            .filter_map(|(number, node)| Some((number, &node.as_ref()?.node)))
    }

    /// What a running node told its owner, and when.
    #[must_use]
    pub fn events(&self, number: usize) -> &[(Time, Event)] {
        self.nodes.get(number).and_then(Option::as_ref).map_or(&[], |running| &running.events)
    }

    /// Runs for a while.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.queue.peek().is_some_and(|next| next.at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Runs until something is true of the world, and returns how long that took; `None` when it was not true within
    /// `limit`.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        loop {
            if done(self) {
                return Some(self.now - start);
            }
            if self.queue.peek().is_none_or(|next| next.at > start + limit) {
                self.now = start + limit;
                return None;
            }
            self.step();
        }
    }

    fn step(&mut self) {
        let Some(Scheduled { at, what, .. }) = self.queue.pop() else { return };
        self.now = at;
        match what {
            Happening::Datagram { from, to, bytes } => {
                self.note(to, &bytes);
                self.act(to, Input::Datagram { from: gossip_addr(from), bytes: &bytes });
            }
            Happening::Accept { to } => self.act(to.0, Input::StreamAccepted { stream: to.1 }),
            Happening::Frame { to, bytes } => {
                if self.streams.contains_key(&to) {
                    self.note(to.0, &bytes);
                    self.act(to.0, Input::StreamFrame { stream: to.1, bytes: &bytes });
                }
            }
            Happening::Written { to } => {
                if self.streams.contains_key(&to) {
                    self.act(to.0, Input::StreamWritten { stream: to.1 });
                }
            }
            Happening::Closed { to } => {
                self.streams.remove(&to);
                self.act(to.0, Input::StreamClosed { stream: to.1 });
            }
            Happening::Deadline { node, life, due } => {
                let current = self.nodes[node].as_ref();
                if current
                    .is_some_and(|running| running.life == life && running.deadline == Some(due))
                {
                    self.act(node, Input::Deadline);
                }
            }
        }
    }

    fn act(&mut self, number: usize, input: Input<'_>) {
        let Some(running) = self.nodes[number].as_mut() else { return };
        running.node.handle(input, self.now);
        let mut outputs = Vec::new();
        while let Some(output) = running.node.poll_output() {
            match output {
                Output::Event(Event::EpochRaised(epoch)) => {
                    self.epochs[number] = self.epochs[number].max(epoch.0);
                }
                Output::Event(event) => running.events.push((self.now, event)),
                output => outputs.push(output),
            }
        }
        let deadline = running.node.next_deadline();
        if deadline != running.deadline {
            running.deadline = deadline;
            let life = running.life;
            if let Some(due) = deadline {
                self.schedule(due.max(self.now), Happening::Deadline { node: number, life, due });
            }
        } else if let Some(due) = deadline.filter(|due| *due <= self.now) {
            let life = running.life;
            self.schedule(self.now, Happening::Deadline { node: number, life, due });
        }
        for output in outputs {
            self.carry_out(number, output);
        }
    }

    fn carry_out(&mut self, from: usize, output: Output) {
        match output {
            Output::Datagram { to, bytes } => {
                if let Some(to) = self.number_of(to)
                    && let Some(latency) = self.network.datagram(from, to, &mut self.rng)
                {
                    self.schedule(self.now + latency, Happening::Datagram { from, to, bytes });
                }
            }
            Output::OpenStream { stream, to, .. } => self.open((from, stream), to),
            Output::StreamFrame { stream, bytes } => self.send_frame((from, stream), bytes),
            Output::FinishStream { stream } => self.finish((from, stream)),
            Output::ResetStream { stream } => self.reset((from, stream)),
            Output::Event(_) => {}
        }
    }

    fn open(&mut self, opener: Endpoint, to: SocketAddr) {
        let setup = self.network.latency(&mut self.rng) * 3;
        let at = self.now + setup;
        let peer = self.number_of(to).filter(|peer| self.nodes[*peer].is_some());
        let Some(peer) = peer.filter(|peer| !self.network.is_cut(opener.0, *peer)) else {
            return self
                .schedule(self.now + Duration::from_secs(5), Happening::Closed { to: opener });
        };
        self.next_accepted += 1;
        let accepted = (peer, StreamId::accepted(self.next_accepted));
        let stream = |other| Stream { other, not_before: at, finished: false };
        self.streams.insert(opener, stream(accepted));
        self.streams.insert(accepted, stream(opener));
        self.schedule(at, Happening::Accept { to: accepted });
    }

    /// A stream repeats what is lost, at the price of time; over a cut it waits for the end, which is a reset.
    fn send_frame(&mut self, from: Endpoint, bytes: Vec<u8>) {
        let latency = self.network.latency(&mut self.rng);
        let Entry::Occupied(mut entry) = self.streams.entry(from) else { return };
        let other = entry.get().other;
        if self.network.is_cut(from.0, other.0) {
            return self.reset(from);
        }
        let at = entry.get().not_before.max(self.now + latency);
        entry.get_mut().not_before = at;
        self.schedule(at, Happening::Frame { to: other, bytes });
        self.schedule(at, Happening::Written { to: from });
    }

    fn finish(&mut self, from: Endpoint) {
        let Some(stream) = self.streams.get_mut(&from) else { return };
        stream.finished = true;
        let Stream { other, not_before, .. } = *stream;
        let both = self.streams.get(&other).is_none_or(|other| other.finished);
        if both {
            self.schedule(not_before.max(self.now), Happening::Closed { to: other });
            self.schedule(not_before.max(self.now), Happening::Closed { to: from });
        }
    }

    fn reset(&mut self, from: Endpoint) {
        let Some(Stream { other, .. }) = self.streams.remove(&from) else { return };
        let latency = self.network.latency(&mut self.rng);
        self.schedule(self.now + latency, Happening::Closed { to: other });
    }

    fn number_of(&self, address: SocketAddr) -> Option<usize> {
        (0..self.nodes.len()).find(|number| gossip_addr(*number).ip() == address.ip())
    }

    fn schedule(&mut self, at: Time, what: Happening) {
        self.sequence += 1;
        self.queue.push(Scheduled { at, sequence: self.sequence, what });
    }

    fn note(&mut self, to: usize, bytes: &[u8]) {
        let words = [self.now.as_micros(), to as u64, bytes.len() as u64];
        let words = words.into_iter().chain(bytes.iter().map(|byte| u64::from(*byte)));
        self.trace = words.fold(self.trace, |hash, word| {
            (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(5)
        });
    }
}

/// The id of a node, by its number.
#[must_use]
pub fn node_id(number: usize) -> NodeId {
    NodeId(0x1000 + number as u64)
}

fn gossip_addr(number: usize) -> SocketAddr {
    let [.., high, low] = (number as u32 + 1).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(10, 0, high, low), GOSSIP_PORT))
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scheduled {}
