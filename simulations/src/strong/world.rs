//! The loop: deliver a message, end a write, do what is due, go on to the next event.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use hobnob_membership::quorum::{
    Chain, Configuration, Entry, Message, OpId, Output, Quorum, Standing,
};
use hobnob_membership::{Epoch, NodeId, Time};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::dice::Dice;
use super::disk::{Disk, Loss};
use super::founding::Founding;
use super::history::History;
use super::{Outcome, SERVICES};

pub(super) const MS: u64 = 1_000;
/// How long clients work and faults happen, after the first voters are there.
pub(super) const DURATION: u64 = 5_000 * MS;

#[derive(Debug)]
pub(super) enum Event {
    Message { to: usize, from: usize, message: Box<Message> },
    Stored { node: usize, process: u64, ticket: u64 },
    Due { node: usize, process: u64 },
    Start { node: usize },
    Setback { absent: usize },
    Absorb { node: usize, entries: Vec<Entry> },
    Part { side: Vec<usize> },
    Lose { node: usize },
    Propose { voters: Vec<usize> },
    Client,
    Fault,
    Heal,
    Gossip,
    Founded,
}

/// One host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) quorum: Option<Quorum>,
    pub(super) disk: Disk,
    pub(super) process: u64,
    pub(super) same_boot: bool,
    due: Option<u64>,
    /// The life of the origin, and all earlier ones.
    pub(super) epoch: Epoch,
    pub(super) epochs: Vec<Epoch>,
    pub(super) version: u64,
    /// What the wall clock is ahead, in milliseconds.
    pub(super) ahead: u64,
    /// What is registered here.
    pub(super) registered: BTreeMap<(usize, String), bool>,
}

/// Where the outcome of an operation is noted.
#[derive(Clone, Debug)]
pub(super) enum Noted {
    /// By service and number. A write of an instance that moves is one in each service.
    Operations(Vec<(usize, usize)>),
    Change,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) now: u64,
    number: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    pub(super) hosts: Vec<Host>,
    /// The side that each host is on.
    pub(super) sides: Vec<u8>,
    pub(super) lossy: u64,
    pub(super) slow: u64,
    pub(super) ops: BTreeMap<(usize, u64, OpId), Noted>,
    pub(super) histories: Vec<History>,
    pub(super) outcome: Outcome,
    /// The latest that anybody knows of the configurations.
    pub(super) chain: Option<Chain>,
    /// A host whose disk was lost or rolled back, and that may not have recovered.
    pub(super) without_memory: Option<usize>,
    pub(super) busy: u64,
    slow_disks: u64,
    pub(super) founding: Founding,
    /// The configuration of each number, as the first host that knew it told.
    pub(super) configurations: BTreeMap<u64, Configuration>,
    pub(super) ends_at: u64,
}

pub(super) fn id(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}

pub(super) fn index(node: NodeId) -> usize {
    node.0 as usize - 1
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let count = 5 + dice.below(4);
        let hosts = (0..count).map(|_| Host {
            quorum: None,
            disk: Disk::default(),
            process: 0,
            same_boot: false,
            due: None,
            epoch: Epoch(0),
            epochs: Vec::new(),
            version: 0,
            ahead: 1_000_000,
            registered: BTreeMap::new(),
        });
        let busy = 12 + dice.within(0..70);
        let slow_disks = if dice.happens(600) { dice.within(0..600) } else { 20 };
        let mut this = Self {
            hosts: hosts.collect(),
            now: 0,
            number: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            sides: vec![0; count],
            lossy: if dice.happens(500) { dice.within(0..80) } else { 0 },
            slow: if dice.happens(500) { dice.within(0..100) } else { 0 },
            ops: BTreeMap::new(),
            histories: vec![History::default(); SERVICES],
            outcome: Outcome::default(),
            chain: None,
            without_memory: None,
            busy,
            slow_disks,
            founding: Founding::default(),
            configurations: BTreeMap::new(),
            ends_at: 0,
            dice,
        };
        (0..count).for_each(|node| this.start(node));
        this.schedule(1, Event::Founded);
        this
    }

    pub(super) fn run(mut self) -> Outcome {
        while let Some(Reverse((at, number))) = self.queue.pop() {
            if self.ends_at > 0 && at > self.ends_at + 4_000 * MS {
                break;
            }
            self.now = at;
            if let Some(event) = self.events.remove(&number) {
                self.handle(event);
            }
            assert!(at < 120_000 * MS, "the first voters were never found");
        }
        self.outcome.histories = self.histories;
        self.outcome
    }

    pub(super) fn schedule(&mut self, at: u64, event: Event) {
        self.number += 1;
        self.queue.push(Reverse((at, self.number)));
        self.events.insert(self.number, event);
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        let time = Time::from_micros(now);
        match event {
            Event::Message { to, from, message } => {
                if let Some(quorum) = &mut self.hosts[to].quorum {
                    quorum.handle(id(from), *message, time);
                    self.drain(to);
                }
            }
            Event::Stored { node, process, ticket } => {
                let host = &mut self.hosts[node];
                if host.process == process && host.disk.end(ticket) {
                    host.quorum.as_mut().expect("it runs").stored(ticket, time);
                    self.drain(node);
                }
            }
            Event::Due { node, process } => {
                let host = &mut self.hosts[node];
                if host.process == process && host.due == Some(now) {
                    host.due = None;
                    host.quorum.as_mut().expect("it runs").handle_deadline(time);
                    self.drain(node);
                }
            }
            Event::Start { node } => self.start(node),
            Event::Setback { absent } => self.setback(absent),
            Event::Absorb { node, entries } => {
                if let Some(quorum) = &mut self.hosts[node].quorum {
                    quorum.absorb(entries, Vec::new(), time);
                    self.drain(node);
                }
            }
            Event::Founded => self.found(),
            Event::Part { side } => side.into_iter().for_each(|node| self.sides[node] = 1),
            Event::Lose { node } => self.lose(node),
            Event::Propose { voters } => self.change(voters[0], &voters),
            Event::Client => {
                self.client();
                if now < self.ends_at {
                    let pause = self.dice.within(1..2 * self.busy);
                    self.schedule(now + pause * MS, Event::Client);
                }
            }
            Event::Fault => {
                if now < self.ends_at {
                    self.fault();
                    let pause = self.dice.within(50..1_200);
                    self.schedule(now + pause * MS, Event::Fault);
                }
            }
            Event::Heal => self.sides.fill(0),
            Event::Gossip => {
                self.gossip();
                self.schedule(now + 250 * MS, Event::Gossip);
            }
        }
    }

    pub(super) fn voters(&mut self) -> usize {
        if self.dice.happens(650) { 3 } else { 5 }
    }

    fn gossip(&mut self) {
        for node in 0..self.hosts.len() {
            let other = self.dice.below(self.hosts.len());
            let chain = self.hosts[other].quorum.as_ref().and_then(Quorum::chain).cloned();
            if let Some(chain) = chain
                && self.sides[node] == self.sides[other]
                && let Some(quorum) = &mut self.hosts[node].quorum
            {
                quorum.learn(&chain, Time::from_micros(self.now));
                self.drain(node);
            }
        }
    }

    fn start(&mut self, node: usize) {
        let seed = self.dice.any();
        let host = &mut self.hosts[node];
        let (image, provenance) = host.disk.start(host.process == 0, host.same_boot);
        host.process += 1;
        host.due = None;
        let time = Time::from_micros(self.now);
        host.quorum = Some(Quorum::new(id(node), image, provenance, seed, time));
        self.new_life(node, Epoch(0));
        self.drain(node);
    }

    /// Mints the epoch of a new life, above one that it was told of.
    pub(super) fn new_life(&mut self, node: usize, above: Epoch) {
        let salt = self.dice.within(0..1_000) as u16;
        let host = &mut self.hosts[node];
        let wall_ms = self.now / MS + host.ahead;
        let last = host.epoch.max(above);
        let mut epoch = Epoch::of_new_life(last, wall_ms, salt);
        while host.epochs.contains(&epoch) {
            epoch = epoch.next();
        }
        host.epoch = epoch;
        host.epochs.push(epoch);
        host.version = 0;
    }

    pub(super) fn crash(&mut self, node: usize, loss: Loss) {
        let Self { hosts, dice, .. } = self;
        let host = &mut hosts[node];
        host.quorum = None;
        host.process += 1;
        host.disk.crash(loss, |limit| dice.below(limit));
        self.outcome.crashes += 1;
        if loss != Loss::Kept {
            self.outcome.losses += 1;
            self.without_memory = Some(node);
        }
    }

    /// Whether every disk that was lost or rolled back is whole again.
    pub(super) fn is_whole(&mut self) -> bool {
        if let Some(node) = self.without_memory {
            let has_seat = self.chain.as_ref().is_some_and(|it| it.token(id(node)).is_some());
            let quorum = self.hosts[node].quorum.as_ref();
            let votes = quorum.is_some_and(|it| it.standing() == Standing::Votes && it.is_stored());
            if has_seat && !votes {
                return false;
            }
            self.without_memory = None;
        }
        true
    }

    /// Carries out what a host wants done.
    pub(super) fn drain(&mut self, node: usize) {
        let process = self.hosts[node].process;
        while let Some(output) = self.hosts[node].quorum.as_mut().and_then(Quorum::poll_output) {
            match output {
                Output::Send { to, message } => self.send(node, index(to), &message),
                Output::Store { ticket, changes } => {
                    self.hosts[node].disk.begin(ticket, changes);
                    let takes = if self.dice.happens(self.slow_disks) { 150 * MS } else { 4 * MS };
                    let at = self.now + self.dice.within(50..takes);
                    self.schedule(at, Event::Stored { node, process, ticket });
                }
                Output::Done { op, outcome } => {
                    if let Some(noted) = self.ops.remove(&(node, process, op)) {
                        self.note(node, noted, outcome);
                    }
                }
                Output::Learned(chain) => self.learned(chain),
            }
        }
        let host = &mut self.hosts[node];
        let due = host.quorum.as_ref().and_then(Quorum::next_deadline);
        if let Some(due) = due.map(Time::as_micros)
            && host.due.is_none_or(|at| at > due)
        {
            host.due = Some(due);
            self.schedule(due.max(self.now), Event::Due { node, process });
        }
    }

    fn send(&mut self, from: usize, to: usize, message: &Message) {
        let bytes = message.encode();
        self.outcome.messages += 1;
        self.outcome.fingerprint = xxh3_64_with_seed(&bytes, self.outcome.fingerprint);
        let message = Message::decode(&bytes).expect("what was written is read");
        if self.sides[from] != self.sides[to] || self.dice.happens(self.lossy) {
            return;
        }
        let copies = if self.dice.happens(20) { 2 } else { 1 };
        for _ in 0..copies {
            let mut takes = self.dice.within(200..2_500);
            if self.dice.happens(self.slow) {
                takes += self.dice.within(0..400 * MS);
            }
            let message = Box::new(message.clone());
            self.schedule(self.now + takes, Event::Message { to, from, message });
        }
    }
}
