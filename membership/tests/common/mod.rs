//! A few nodes in virtual time on a network without faults, which records what passes.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hobnob_membership::record::{Health, Key, NodeRecord, Support, Value};
use hobnob_membership::{
    ClusterId, Config, Epoch, Event, Identity, Input, Node, NodeId, Output, Protocol, StreamId,
    TcpProbeId, Time,
};

const LATENCY: Duration = Duration::from_millis(1);

/// The nodes and what is under way between them.
pub(crate) struct Net {
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Node>,
    /// Every datagram that was sent.
    pub(crate) datagrams: Vec<Vec<u8>>,
    /// Every frame that was sent.
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) events: Vec<Vec<Event>>,
    /// Calls that a deadline asked for.
    pub(crate) deadlines: usize,
    /// Such calls in a row after which another was due already.
    overdue: usize,
    /// Nodes whose hosts complete TCP handshakes for them.
    pub(crate) listening: BTreeSet<usize>,
    /// Nodes that no datagram reaches, and none comes from.
    pub(crate) blocked: BTreeSet<usize>,
    /// Every touch that was asked for.
    pub(crate) tcp_probes: Vec<TcpProbeId>,
    /// Everything that arrived at a node.
    pub(crate) arrivals: Vec<(Time, usize, Arrival)>,
    queue: BTreeMap<(Time, u64), (usize, Arrival)>,
    streams: BTreeMap<(usize, StreamId), (usize, StreamId)>,
    sequence: u64,
}

/// What can arrive at a node.
#[derive(Clone)]
pub(crate) enum Arrival {
    Datagram(SocketAddr, Vec<u8>),
    Accepted(StreamId),
    Frame(StreamId, Vec<u8>),
    Written(StreamId),
    Closed(StreamId),
    TcpProbeAnswered(TcpProbeId),
}

/// The identity of the `n`th node.
pub(crate) fn identity(n: usize) -> Identity {
    Identity {
        node_id: NodeId(0x100 + n as u64),
        epoch: Epoch(1_000),
        addr: SocketAddr::from(([10, 0, 0, n as u8 + 1], 7_946)),
        sync_port: 7_947,
    }
}

/// How the `n`th node describes itself.
pub(crate) fn record(n: usize) -> Value {
    Value::Node(Arc::new(NodeRecord {
        name: format!("n{n}").into(),
        datacenter: "dc1".into(),
        zone: "".into(),
        software: "test".into(),
        instance_key_hash: 0,
        left: None,
        support: Support::OURS,
    }))
}

pub(crate) fn node(n: usize) -> Node {
    node_of(ClusterId::default(), n)
}

pub(crate) fn node_of(cluster: ClusterId, n: usize) -> Node {
    node_as(cluster, identity(n), n)
}

/// The node of the `n`th host in another life, as one that lost its disk.
pub(crate) fn node_as(cluster: ClusterId, identity: Identity, n: usize) -> Node {
    let Value::Node(record) = record(n) else { unreachable!("a node's record") };
    let config = Config {
        cluster,
        identity,
        node: Arc::unwrap_or_clone(record),
        records: Vec::new(),
        seed: n as u64,
        protocol: Protocol::default(),
    };
    Node::new(config, Time::ZERO)
}

pub(crate) fn health(id: &str, health: Health) -> Vec<(Key, Option<Value>)> {
    vec![(Key::Health(id.into()), Some(Value::Health(health)))]
}

impl Net {
    /// Nodes that join through the first, and have done so.
    pub(crate) fn joined(count: usize) -> Self {
        let mut net = Self {
            now: Time::ZERO,
            nodes: (0..count).map(node).collect(),
            datagrams: Vec::new(),
            frames: Vec::new(),
            events: vec![Vec::new(); count],
            deadlines: 0,
            overdue: 0,
            listening: BTreeSet::new(),
            blocked: BTreeSet::new(),
            tcp_probes: Vec::new(),
            arrivals: Vec::new(),
            queue: BTreeMap::new(),
            streams: BTreeMap::new(),
            sequence: 0,
        };
        for n in 1..count {
            net.handle(n, Input::Join(vec![identity(0).addr]));
        }
        net.run_for(Duration::from_secs(5));
        assert!(net.nodes.iter().all(|node| node.active_members() == count), "not joined");
        assert!(net.is_converged(), "not converged");
        net
    }

    pub(crate) fn is_converged(&self) -> bool {
        self.nodes.windows(2).all(|pair| pair[0].catalog().digest() == pair[1].catalog().digest())
    }

    /// Gives a node an input and carries out what it wants; returns that.
    pub(crate) fn handle(&mut self, n: usize, input: Input<'_>) -> Vec<Output> {
        let is_deadline = matches!(input, Input::Deadline);
        self.nodes[n].handle(input, self.now);
        let outputs: Vec<Output> = std::iter::from_fn(|| self.nodes[n].poll_output()).collect();
        if is_deadline {
            self.deadlines += 1;
            let next = self.nodes[n].next_deadline();
            self.overdue =
                if next.is_some_and(|next| next <= self.now) { self.overdue + 1 } else { 0 };
            // Isolation knocks at once, in a second call.
            assert!(self.overdue <= 1, "a deadline stays in the past");
        }
        for output in outputs.clone() {
            self.carry_out(n, output);
        }
        outputs
    }

    /// Carries out what a node wants done that was called without an input.
    pub(crate) fn flush(&mut self, n: usize) {
        while let Some(output) = self.nodes[n].poll_output() {
            self.carry_out(n, output);
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let deadlines = self.nodes.iter().enumerate();
            let deadline = deadlines.filter_map(|(n, node)| Some((node.next_deadline()?, n))).min();
            let arrival = self.queue.first_key_value().map(|((at, _), _)| *at);
            let next = [deadline.map(|(at, _)| at), arrival].into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= end) else { break };
            self.now = at.max(self.now);
            if arrival.is_some_and(|arrival| arrival <= at) {
                let Some((_, (n, arrival))) = self.queue.pop_first() else { break };
                self.deliver(n, &arrival);
            } else if let Some((_, n)) = deadline {
                self.handle(n, Input::Deadline);
            }
        }
        self.now = end;
    }

    fn deliver(&mut self, n: usize, arrival: &Arrival) {
        self.arrivals.push((self.now, n, arrival.clone()));
        match arrival {
            Arrival::Datagram(from, bytes) => {
                self.handle(n, Input::Datagram { from: *from, bytes });
            }
            Arrival::Accepted(stream) => {
                drop(self.handle(n, Input::StreamAccepted { stream: *stream }));
            }
            Arrival::Frame(stream, bytes) => {
                self.handle(n, Input::StreamFrame { stream: *stream, bytes });
            }
            Arrival::Written(stream) => {
                drop(self.handle(n, Input::StreamWritten { stream: *stream }));
            }
            Arrival::Closed(stream) => {
                drop(self.handle(n, Input::StreamClosed { stream: *stream }));
            }
            Arrival::TcpProbeAnswered(tcp_probe) => {
                drop(self.handle(n, Input::TcpProbeAnswered { tcp_probe: *tcp_probe }))
            }
        }
    }

    fn carry_out(&mut self, n: usize, output: Output) {
        match output {
            Output::Datagram { to, bytes } => {
                self.datagrams.push(bytes.clone());
                let passes = |to: &usize| !self.blocked.contains(to) && !self.blocked.contains(&n);
                if let Some(to) = self.number_of(to).filter(passes) {
                    self.send(to, Arrival::Datagram(identity(n).addr, bytes));
                }
            }
            Output::OpenStream { stream, to, .. } => match self.number_of(to) {
                Some(peer) => {
                    let accepted = StreamId::accepted(self.sequence);
                    self.streams.insert((n, stream), (peer, accepted));
                    self.streams.insert((peer, accepted), (n, stream));
                    self.send(peer, Arrival::Accepted(accepted));
                }
                None => self.send(n, Arrival::Closed(stream)),
            },
            Output::StreamFrame { stream, bytes } => {
                self.frames.push(bytes.clone());
                if let Some((peer, other)) = self.streams.get(&(n, stream)).copied() {
                    self.send(peer, Arrival::Frame(other, bytes));
                    self.send(n, Arrival::Written(stream));
                }
            }
            Output::ResetStream { stream } => {
                if let Some((peer, other)) = self.streams.remove(&(n, stream)) {
                    self.streams.remove(&(peer, other));
                    self.send(peer, Arrival::Closed(other));
                }
            }
            Output::Event(event) => self.events[n].push(event),
            Output::TcpProbe { to, tcp_probe } => {
                self.tcp_probes.push(tcp_probe);
                if self.number_of(to).is_some_and(|to| self.listening.contains(&to)) {
                    self.send(n, Arrival::TcpProbeAnswered(tcp_probe));
                }
            }
            Output::FinishStream { .. } => {}
        }
    }

    fn number_of(&self, addr: SocketAddr) -> Option<usize> {
        (0..self.nodes.len()).find(|n| identity(*n).addr.ip() == addr.ip())
    }

    fn send(&mut self, to: usize, arrival: Arrival) {
        self.sequence += 1;
        self.queue.insert((self.now + LATENCY, self.sequence), (to, arrival));
    }
}
