//! The world: hosts with the real protocol on them, the network between, and what happens next.
//!
//! It is one loop around [`hobnob_membership::Node`], as the agent's driver is: deliver an input, drain the outputs, go
//! on to whatever is due next. All randomness comes from one seed, so a run can be repeated to the letter.

mod clock;
mod disk;
mod fabric;
mod host;
mod queue;
mod trace;

use std::time::Duration;

use hobnob_membership::record::{Key, NodeRecord, Value};
use hobnob_membership::{Config, Epoch, Event, Identity, Input, Node, Output, Protocol, Time};
use rand::{Rng, RngExt};

use crate::network::Network;
use fabric::Fabric;
use host::{MAX_WAKES, Process, SYNC_PORT, address_index, socket_address};
use queue::{Delivery, Happening};

pub use clock::Clock;
pub use disk::{Disk, DiskError};
pub use host::{Host, Meter, Pace, Storage, host_of, node_id};
pub use trace::{Detail, Sink, Trace};

/// Peer addresses that a host remembers over a crash.
const MAX_REMEMBERED_PEERS: usize = 32;

/// What a node told its owner.
#[derive(Clone, Debug)]
pub struct Told {
    /// When.
    pub at: Time,
    /// On which host.
    pub host: usize,
    /// In which of the host's lives.
    pub life: u32,
    /// What.
    pub event: Event,
}

/// Somebody who looks on.
pub trait Witness {
    /// A node told its owner something. The world is as it was right after.
    fn told(&mut self, world: &World, told: &Told);
}

/// Looks at nothing.
impl Witness for () {
    fn told(&mut self, _: &World, _: &Told) {}
}

/// What became of a write that a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is stored, and the client was told so.
    Acknowledged,
    /// The client was told that it was refused; nothing of it is stored.
    Refused,
    /// The machine stopped before an answer.
    Crashed,
    /// Nobody answers.
    Unavailable,
}

/// Hosts in virtual time.
pub struct World {
    /// Where nodes are when they join or start again.
    pub seeds: Vec<usize>,
    /// The parameters with which nodes are started.
    pub protocol: Protocol,
    hosts: Vec<Host>,
    datacenters: Vec<(String, String)>,
    fabric: Fabric,
    told: Vec<Told>,
    now: Time,
}

impl World {
    /// An empty world. The same seed and the same orders give the same run.
    #[must_use]
    pub fn new(seed: u64, network: Network) -> Self {
        Self {
            seeds: Vec::new(),
            protocol: Protocol::default(),
            hosts: Vec::new(),
            datacenters: Vec::new(),
            fabric: Fabric::new(seed, network),
            told: Vec::new(),
            now: Time::ZERO,
        }
    }

    /// Virtual time since the beginning.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// The links, to be changed between steps.
    pub fn network(&mut self) -> &mut Network {
        &mut self.fabric.network
    }

    /// The links.
    #[must_use]
    pub fn links(&self) -> &Network {
        &self.fabric.network
    }

    /// The trace of the run.
    pub fn trace(&mut self) -> &mut Trace {
        &mut self.fabric.trace
    }

    /// A hash of everything that was delivered so far.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.fabric.trace.hash()
    }

    /// How much was delivered so far.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.fabric.trace.deliveries()
    }

    /// How many hosts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there are no hosts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Adds a host on which nothing runs yet, and returns its number.
    pub fn add(&mut self, datacenter: &str, zone: &str) -> usize {
        let number = self.hosts.len();
        assert!(number < self.fabric.network.hosts(), "the network has no room for another host");
        let address = self.fabric.assign_address(number);
        let skew = self.fabric.rng.random_range(0..10_000_000);
        self.hosts.push(Host::new(number, address, skew));
        self.datacenters.push((datacenter.to_owned(), zone.to_owned()));
        number
    }

    /// A host.
    #[must_use]
    pub fn host(&self, number: usize) -> &Host {
        &self.hosts[number]
    }

    /// A host, to be tampered with.
    pub fn host_mut(&mut self, number: usize) -> &mut Host {
        &mut self.hosts[number]
    }

    /// A running node; `None` when nothing runs on the host.
    #[must_use]
    pub fn node(&self, number: usize) -> Option<&Node> {
        self.hosts.get(number)?.node()
    }

    /// The running nodes.
    pub fn running(&self) -> impl Iterator<Item = (usize, &Node)> {
        let hosts = self.hosts.iter().enumerate();
        hosts.filter_map(|(number, host)| Some((number, host.node()?)))
    }

    /// The datacenter and zone of a host.
    #[must_use]
    pub fn place(&self, number: usize) -> (&str, &str) {
        let (datacenter, zone) = &self.datacenters[number];
        (datacenter, zone)
    }

    /// Starts a node on a host on which none runs, from what is on its disk, with a new epoch.
    pub fn start(&mut self, number: usize) {
        if self.hosts[number].process.is_some() {
            return;
        }
        let mut seeds: Vec<_> =
            self.seeds.iter().map(|seed| socket_address(self.hosts[*seed].address)).collect();
        let seed = self.fabric.rng.next_u64();
        let host = &mut self.hosts[number];
        seeds.extend(host.disk.peers.iter().map(|peer| socket_address(*peer)));
        let epoch = (host.disk.epoch() + 1).max(host.clock.wall_ms(self.now));
        host.disk.store_epoch(epoch);
        host.lives += 1;
        let (datacenter, zone) = self.datacenters[number].clone();
        let node = NodeRecord {
            name: format!("n{number}").into(),
            datacenter: datacenter.into(),
            zone: zone.into(),
            software: "simulation".into(),
            instance_key_hash: ((number as u64) << 32) | host.generation,
            left: None,
        };
        let config = Config {
            cluster: host.cluster,
            identity: Identity {
                node_id: host.id,
                epoch: Epoch(epoch),
                addr: socket_address(host.address),
                sync_port: SYNC_PORT,
            },
            node,
            records: host.disk.records().map(|(k, v)| (k.clone(), v.clone())).collect(),
            seed,
            protocol: self.protocol.clone(),
        };
        let node = Node::new(config, host.clock.local(self.now));
        host.process = Some(Process::new(node, host.lives));
        self.act(number, Input::Join(seeds));
    }

    /// Stops a node without a word. What is under way to it is lost.
    pub fn crash(&mut self, number: usize, storage: Storage) {
        self.stop(number);
        let host = &mut self.hosts[number];
        match storage {
            Storage::Kept => {}
            Storage::RolledBack(steps) => host.disk.roll_back(steps),
            Storage::Lost => {
                host.disk.lose();
                host.generation += 1;
                host.id = node_id(number, host.generation);
            }
        }
    }

    fn stop(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        let Some(process) = host.process.take() else { return };
        let peers = process.node.peer_addresses().filter_map(address_index);
        host.disk.peers = peers.take(MAX_REMEMBERED_PEERS).collect();
        self.fabric.abandon(number, self.now);
    }

    /// Moves a host that is stopped to another address; nobody has the old one from then on.
    pub fn change_address(&mut self, number: usize) {
        self.fabric.release_address(self.hosts[number].address);
        self.hosts[number].address = self.fabric.assign_address(number);
    }

    /// Copies the data directory of one host, its node id included, to another that is stopped.
    pub fn clone_disk(&mut self, from: usize, to: usize) {
        let (id, disk) = (self.hosts[from].id, self.hosts[from].disk.clone());
        self.hosts[to].id = id;
        self.hosts[to].disk = disk;
        self.hosts[to].generation += 1;
    }

    /// Nothing happens in the process for a while; what arrives waits.
    pub fn pause(&mut self, number: usize, time: Duration) {
        let until = self.now + time;
        if let Some(process) = self.hosts[number].process.as_mut() {
            process.ready_at = process.ready_at.max(until);
        }
    }

    /// A client writes records at a host: to its disk, and then to its node.
    pub fn write(&mut self, number: usize, records: Vec<(Key, Option<Value>)>) -> WriteOutcome {
        let host = &mut self.hosts[number];
        let paused = host.paused_until(self.now).is_some();
        let Some(process) = host.process.as_ref().filter(|_| !paused) else {
            return WriteOutcome::Unavailable;
        };
        if process.node.check_write(&records).is_err() {
            return WriteOutcome::Refused;
        }
        match host.disk.store(&records) {
            Err(DiskError::Full) => WriteOutcome::Refused,
            Err(DiskError::Torn) => {
                self.stop(number);
                WriteOutcome::Crashed
            }
            Ok(()) => {
                self.act(number, Input::Write(records));
                WriteOutcome::Acknowledged
            }
        }
    }

    /// Makes a node leave; it stops when it has told everybody.
    pub fn leave(&mut self, number: usize) {
        self.act(number, Input::Leave);
    }

    /// When something happens next.
    #[must_use]
    pub fn next_at(&self) -> Option<Time> {
        self.fabric.queue.next_at()
    }

    /// Runs until a moment; somebody looks on.
    pub fn run_to(&mut self, end: Time, witness: &mut dyn Witness) {
        self.tell(witness);
        while let Some((at, what)) = self.fabric.queue.pop_until(end) {
            self.now = at;
            self.happen(what);
            self.tell(witness);
        }
        self.now = self.now.max(end);
    }

    /// Tells what nodes told their owners since the last time.
    fn tell(&mut self, witness: &mut dyn Witness) {
        if self.told.is_empty() {
            return;
        }
        let mut told = std::mem::take(&mut self.told);
        for told in &told {
            witness.told(self, told);
        }
        told.clear();
        self.told = told;
    }

    /// Runs for a while, with nobody looking on.
    pub fn run_for(&mut self, time: Duration) {
        self.run_to(self.now + time, &mut ());
    }

    /// Runs until something is true of the world, asked after each millisecond in which something happened, and
    /// returns how long that took; `None` when it was not true within `limit`.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        let end = start + limit;
        while !done(self) {
            match self.next_at() {
                Some(at) if at <= end => self.run_to(at + Duration::from_millis(1), &mut ()),
                _ => {
                    self.now = end;
                    return None;
                }
            }
        }
        Some(self.now - start)
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Datagram { from, to, bytes, late } => {
                let Some(receiver) = self.fabric.owner(to) else { return };
                let gap = self.hosts[receiver].pace.receive_gap;
                let Some(process) = self.hosts[receiver].process.as_mut() else { return };
                if !gap.is_zero() && !late {
                    let at = process.receives_at.max(self.now);
                    // What waits longer than two seconds has long overflowed the socket's buffer.
                    if at - self.now < Duration::from_secs(2) {
                        process.receives_at = at + gap;
                        let datagram = Happening::Datagram { from, to, bytes, late: true };
                        self.fabric.queue.push(at, datagram);
                    }
                    return;
                }
                self.arrive(receiver, Delivery::Datagram { from, bytes });
            }
            Happening::Stream { to, delivery } => {
                if self.hosts[to].process.is_some() {
                    self.arrive(to, delivery);
                } else if let Delivery::Accept { stream } = delivery {
                    self.fabric.refuse((to, stream), self.now);
                }
            }
            Happening::Retry { from } => self.fabric.retry(from, self.now),
            Happening::Wake { host, life } => self.wake(host, life),
        }
    }

    /// Hands something to a process, or keeps it until the process is ready.
    fn arrive(&mut self, number: usize, delivery: Delivery) {
        let now = self.now;
        let Some(process) = self.hosts[number].process.as_mut() else { return };
        if process.ready_at > now || !process.inbox.is_empty() {
            process.hold(delivery);
            let at = process.ready_at.max(now);
            if process.wake_at.is_none_or(|wake| wake > at) {
                process.wake_at = Some(at);
                self.fabric.queue.push(at, Happening::Wake { host: number, life: process.life });
            }
            return;
        }
        self.deliver(number, delivery);
    }

    fn deliver(&mut self, number: usize, delivery: Delivery) {
        match delivery {
            Delivery::Datagram { from, bytes } => {
                self.fabric.trace.delivered(self.now, number, &bytes);
                if self.fabric.trace.wants(Detail::Packets) {
                    let line = format!("n{number} <- 10.x#{from} datagram of {} B", bytes.len());
                    self.fabric.trace.line(self.now, line);
                }
                let from = socket_address(from);
                self.act(number, Input::Datagram { from, bytes: &bytes });
            }
            Delivery::Accept { stream } => {
                self.act(number, Input::StreamAccepted { stream });
            }
            Delivery::Frame { stream, bytes } => {
                if self.fabric.has_stream((number, stream)) {
                    self.fabric.trace.delivered(self.now, number, &bytes);
                    if self.fabric.trace.wants(Detail::Packets) {
                        let line = format!("n{number} <- {stream:?} frame of {} B", bytes.len());
                        self.fabric.trace.line(self.now, line);
                    }
                    self.act(number, Input::StreamFrame { stream, bytes: &bytes });
                }
            }
            Delivery::Written { stream } => {
                if self.fabric.has_stream((number, stream)) {
                    self.act(number, Input::StreamWritten { stream });
                }
            }
            Delivery::Closed { stream } => {
                self.fabric.closed((number, stream));
                self.act(number, Input::StreamClosed { stream });
            }
        }
    }

    /// A process goes on: with what has waited, and with what is due.
    fn wake(&mut self, number: usize, life: u32) {
        loop {
            let now = self.now;
            let host = &mut self.hosts[number];
            let Some(process) = host.process.as_mut().filter(|p| p.life == life) else { return };
            if process.wake_at.is_some_and(|at| at <= now) {
                process.wake_at = None;
            }
            if process.ready_at > now {
                let at = process.ready_at;
                if process.wake_at.is_none_or(|wake| wake > at) {
                    process.wake_at = Some(at);
                    self.fabric.queue.push(at, Happening::Wake { host: number, life });
                }
                return;
            }
            if let Some(delivery) = process.take() {
                self.deliver(number, delivery);
                continue;
            }
            let due = process.node.next_deadline();
            if due.is_some_and(|due| due <= host.clock.local(now)) {
                let (at, wakes) = &mut process.wakes_at;
                if *wakes >= MAX_WAKES {
                    process.ready_at = now + Duration::from_millis(1);
                } else {
                    *wakes = if *at == now { *wakes + 1 } else { 1 };
                    *at = now;
                }
                self.act(number, Input::Deadline);
            } else {
                self.schedule_wake(number);
            }
            return;
        }
    }

    /// Hands an input to a node, and carries out what it wants done.
    fn act(&mut self, number: usize, input: Input<'_>) {
        let Self { hosts, fabric, told, now, .. } = self;
        let now = *now;
        let host = &mut hosts[number];
        let Some(process) = host.process.as_mut() else { return };
        process.node.handle(input, host.clock.local(now));
        while let Some(output) = process.node.poll_output() {
            let Output::Event(event) = output else {
                fabric.carry_out(number, host.address, output, &mut host.meter, now);
                continue;
            };
            match &event {
                Event::EpochRaised(epoch) => host.disk.store_epoch(epoch.0),
                Event::Left => process.left = true,
                _ => {}
            }
            if fabric.trace.wants(Detail::Events) {
                fabric.trace.line(now, format_args!("n{number} {}", describe(&event)));
            }
            told.push(Told { at: now, host: number, life: process.life, event });
        }
        if !host.pace.service.is_zero() {
            process.ready_at = process.ready_at.max(now + host.pace.service);
        }
        if process.left {
            self.stop(number);
        } else {
            self.schedule_wake(number);
        }
    }

    /// Sees to it that a process is woken when its next deadline comes, unless it is woken before.
    fn schedule_wake(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        let Some(process) = host.process.as_mut() else { return };
        let Some(due) = process.node.next_deadline() else { return };
        let due = host.clock.world(due).max(self.now).max(process.ready_at);
        if process.wake_at.is_some_and(|at| at <= due) {
            return;
        }
        let late = host.pace.timers_late.as_micros() as u64;
        let late = if late == 0 { 0 } else { self.fabric.rng.random_range(0..=late) };
        let at = due + Duration::from_micros(late);
        process.wake_at = Some(at);
        self.fabric.queue.push(at, Happening::Wake { host: number, life: process.life });
    }
}

/// An event in a few words.
fn describe(event: &Event) -> String {
    match event {
        Event::Instance(change) => {
            let instance = &change.instance;
            let origin = host_of(instance.origin);
            format!("sees instance {} of n{origin} {:?}", instance.id, instance.status)
        }
        Event::Member(change) => {
            let identity = &change.member.identity;
            let (host, epoch) = (host_of(identity.node_id), identity.epoch);
            format!("sees member n{host} {:?} in epoch {epoch}", change.member.status)
        }
        other => format!("says {other:?}"),
    }
}
