//! An outsider: it sees every datagram, sends what it likes from any address, and dials whom it likes. It has no key of the
//! cluster, or keys that no longer count: generations that were replaced, and a token that expired.
//!
//! The world hands each of its datagrams and frames to a node and looks what the node does with it. What the node must not
//! open, and opens, is a breach.

use std::net::SocketAddr;

use hobnob_keys::seal::{Counter, DatagramKeys, Ping, Sealed as SealedDatagram};
use hobnob_keys::{GenerationId, NodeKey, PublicKey};
use hobnob_membership::wire::{Credentials, Frame};
use hobnob_membership::{Event, Input, Node, Output, StreamId};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::authority::{Which, bytes_of};
use super::{Sealed, World};
use crate::world::host::{Process, address_index, socket_address};

/// The most datagrams that are kept of all that were overheard.
const MAX_CAPTURED: usize = 4_096;
/// The most breaches that are kept.
const MAX_BREACHES: usize = 20;
/// The streams of the outsider have numbers far above those of the world.
const FIRST_STREAM: u64 = 1 << 61;
/// A generation that was replaced for this long opens nothing: the thirty seconds of the protocol, and some for clocks that drift.
const OPENS_FOR_SECONDS: u64 = 35;
/// The first byte of a pong, which has no counter, and is of use to the one that waits for it.
const PONG: u8 = 0x52;
/// First bytes of the forms that are bound to their receiver.
const BOUND: [u8; 2] = [0x42, 0x62];

/// A datagram that was overheard, with its receiver and its sender and their lives.
#[derive(Clone)]
struct Captured {
    to: (usize, u32),
    from: (usize, u32),
    address: SocketAddr,
    bytes: Vec<u8>,
}

/// The capture of the outsider, and the outcome of its attempts.
pub(super) struct Outsider {
    pub(super) rng: Xoshiro256PlusPlus,
    listens: bool,
    captured: Vec<Captured>,
    streams: u64,
    pub(super) attempts: u64,
    pub(super) breaches: Vec<String>,
}

impl Outsider {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x0075_1de4),
            listens: false,
            captured: Vec::new(),
            streams: FIRST_STREAM,
            attempts: 0,
            breaches: Vec::new(),
        }
    }

    fn capture(&mut self, captured: Captured) {
        if self.captured.len() < MAX_CAPTURED {
            return self.captured.push(captured);
        }
        let at = self.rng.random_range(0..MAX_CAPTURED);
        self.captured[at] = captured;
    }

    /// The stream that is to be opened next.
    pub(super) fn peek_stream(&self) -> StreamId {
        StreamId::accepted(self.streams + 1)
    }

    fn next_stream(&mut self) -> StreamId {
        self.streams += 1;
        StreamId::accepted(self.streams)
    }

    pub(super) fn breach(&mut self, what: String) {
        if self.breaches.len() < MAX_BREACHES {
            self.breaches.push(what);
        }
    }
}

/// The effects that a datagram may have on a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum May {
    /// Drop it.
    Drop,
    /// Open it, and neither answer nor show anything.
    Ignore,
    /// Take it: it is genuine, and this node never had it.
    Take,
}

/// The datagrams that a node has dropped unopened.
fn dropped(node: &Node) -> u64 {
    let counters = node.counters();
    counters.datagrams_in_clear
        + counters.datagrams_malformed
        + counters.datagrams_other_version
        + counters.datagrams_of_unknown_generation
        + counters.datagrams_forged
        + counters.datagrams_replayed
        + counters.datagrams_of_revoked_sender
        + counters.datagrams_of_unknown_sender
}

impl Sealed {
    /// Keys of a generation that was ordered.
    fn keys_of(&self, id: GenerationId) -> Option<DatagramKeys> {
        let generation = self.generations.iter().find(|generation| generation.id() == id)?;
        Some(DatagramKeys::with_suite(generation, self.home.trust(Which::Ordinary).suite()))
    }
}

impl World {
    /// Lets the outsider overhear datagrams from now on, or no more.
    pub fn overhear_all(&mut self, listens: bool) {
        if let Some(sealed) = &mut self.sealed {
            sealed.outsider.listens = listens;
        }
    }

    /// Effects of an outsider or a liar, of which there should be none.
    #[must_use]
    pub fn breaches(&self) -> &[String] {
        self.sealed.as_ref().map_or(&[], |sealed| &sealed.outsider.breaches)
    }

    /// The number of datagrams and streams that outsiders and liars tried.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.sealed.as_ref().map_or(0, |sealed| sealed.outsider.attempts)
    }

    /// The datagrams that a host has dropped unopened, while the outsider listens.
    pub(in crate::world) fn dropped_unopened(&self, number: usize) -> Option<u64> {
        self.sealed.as_ref().filter(|sealed| sealed.outsider.listens)?;
        self.node(number).map(dropped)
    }

    /// The outsider overhears a datagram that a host received and opened.
    pub(in crate::world) fn overhear(
        &mut self,
        number: usize,
        address: SocketAddr,
        bytes: Vec<u8>,
    ) {
        let Some(sealed) = &mut self.sealed else { return };
        let from = address_index(address).and_then(|address| self.fabric.owner(address));
        let Some(from) = from else { return };
        let lives = [number, from].map(|host| (host, self.hosts[host].lives()));
        sealed.outsider.capture(Captured { to: lives[0], from: lives[1], address, bytes });
    }

    /// The outsider tries something once.
    pub fn outsider_acts(&mut self) {
        let Some(sealed) = &mut self.sealed else { return };
        let rng = &mut sealed.outsider.rng;
        let (act, target) = (rng.random_range(0..10), rng.random_range(0..self.hosts.len()));
        match act {
            0..3 => self.replay(None),
            3 => self.replay(Some(target)),
            4..6 => self.send_changed(),
            6 => self.send_foreign(target),
            7 => self.send_of_old_generation(target),
            _ => self.dial(target),
        }
    }

    /// Sends a datagram again, to the host that received it or to another one.
    fn replay(&mut self, other: Option<usize>) {
        let Some((captured, _)) = self.draw() else { return };
        let form = captured.bytes.first().copied().unwrap_or(0);
        let to = other.unwrap_or(captured.to.0);
        let lives = [captured.to, captured.from].map(|(host, life)| self.lives_on(host, life));
        let may = match form {
            PONG => May::Ignore,
            // It is bound to its receiver, but a copy of a data directory has the id of the original.
            form if BOUND.contains(&form) && self.hosts[to].id != self.hosts[captured.to.0].id => {
                May::Drop
            }
            _ if to == captured.to.0 && lives == [true, true] => May::Drop,
            _ => May::Take,
        };
        self.inject(to, captured.address, &captured.bytes, may, "a datagram that was sent before");
    }

    /// Sends a datagram of which bytes were changed, cut or added.
    fn send_changed(&mut self) {
        let Some((captured, mut rng)) = self.draw() else { return };
        let Captured { to: (to, _), address, mut bytes, .. } = captured;
        match rng.random_range(0..4) {
            0 => bytes.truncate(rng.random_range(0..bytes.len().max(1))),
            1 => bytes.push(rng.random()),
            2 => {
                let from = bytes.len().min(10);
                rng.fill(&mut bytes[from..]);
            }
            _ => {
                let at = rng.random_range(0..bytes.len().max(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
            }
        }
        self.inject(to, address, &bytes, May::Drop, "a datagram that was changed");
    }

    /// Sends what a member of another cluster would send, in the name of a member of this one.
    fn send_foreign(&mut self, target: usize) {
        let Some(sealed) = &self.sealed else { return };
        let keys = DatagramKeys::with_suite(
            &sealed.abroad.first,
            sealed.abroad.trust(Which::Ordinary).suite(),
        );
        self.send_with(target, &keys, "a datagram of another cluster");
    }

    /// Sends with the keys of a generation that was replaced, in the name of a member.
    fn send_of_old_generation(&mut self, target: usize) {
        let process = self.hosts[target].process.as_ref();
        let Some((in_use, since)) = process.and_then(|process| process.in_use) else { return };
        if self.now.since(since).as_secs() < OPENS_FOR_SECONDS {
            return;
        }
        let Some(sealed) = &self.sealed else { return };
        let mut old = sealed.ordered.iter().map(|ordered| ordered.generation);
        let Some(old) = old.rfind(|old| in_use.replaces(old)) else { return };
        let Some(keys) = sealed.keys_of(old) else { return };
        self.send_with(target, &keys, "a datagram of a generation that was replaced");
    }

    fn send_with(&mut self, target: usize, keys: &DatagramKeys, what: &str) {
        let Some(sealed) = &mut self.sealed else { return };
        let rng = &mut sealed.outsider.rng;
        let sender = rng.random_range(0..self.hosts.len());
        let address = socket_address(self.hosts[sender].address);
        let ids = [sender, target].map(|host| hobnob_keys::NodeId(self.hosts[host].id.0));
        let counter = Counter::of_epoch(self.hosts[sender].disk.epoch() + 60_000);
        let bytes = if rng.random_bool(0.5) {
            Ping { sender: ids[0], counter, nonce: rng.random() }.seal(keys, ids[1]).to_vec()
        } else {
            let mut bytes = Vec::new();
            let sealed = SealedDatagram { sender: ids[0], counter, messages: &[1; 30] };
            if sealed.seal(keys, &mut bytes).is_err() {
                return;
            }
            bytes
        };
        self.inject(target, address, &bytes, May::Drop, what);
    }

    /// Hands a datagram to a node, and looks what it does.
    fn inject(&mut self, to: usize, from: SocketAddr, bytes: &[u8], may: May, what: &str) {
        let is_idle = |process: &&Process| process.ready_at <= self.now && process.inbox.is_empty();
        let Some(process) = self.hosts[to].process.as_ref().filter(is_idle) else { return };
        let before = dropped(&process.node);
        let mut outputs = Vec::new();
        self.act_watched(to, Input::Datagram { from, bytes }, Some(&mut outputs));
        let after = self.node(to).map_or(before + 1, dropped);
        let shows = |output: &Output| {
            matches!(output, Output::Event(Event::Member(_) | Event::Instance(_)))
        };
        // What a node sends to others at this moment it sends of itself.
        let answer = outputs.iter().any(|output| is_datagram_to(from, output));
        let is_breach = match may {
            May::Drop => after != before + 1 || answer || outputs.iter().any(shows),
            May::Ignore => answer || outputs.iter().any(shows),
            May::Take => false,
        };
        let Some(sealed) = &mut self.sealed else { return };
        sealed.outsider.attempts += 1;
        if is_breach {
            let form = bytes.first().copied().unwrap_or(0);
            sealed.outsider.breach(format!("n{to} takes {what}, of form {form:#04x}: {outputs:?}"));
        }
    }

    /// Dials a node without a membership that counts.
    fn dial(&mut self, target: usize) {
        let other = self.hosts[(target + 1) % self.hosts.len()].keyed;
        let Some(sealed) = &mut self.sealed else { return };
        let key = NodeKey::from_seed(&bytes_of(sealed.seed, "outsider", 0)).public_key();
        let kind = sealed.outsider.rng.random_range(0..4);
        let (what, certificate) = match kind {
            0 => ("random bytes", None),
            1 => {
                let member = sealed.public_key(other);
                let certificate = sealed.home.certificate(member, "n0", "dc1", Which::Ordinary);
                ("the certificate of a member", Some(certificate))
            }
            2 => {
                let certificate =
                    sealed.abroad.certificate(key, "outsider", "dc1", Which::Ordinary);
                ("a certificate of another cluster", Some(certificate))
            }
            _ => {
                let certificate = sealed.home.certificate(key, "outsider", "dc1", Which::Expired);
                ("a certificate from a token that expired", Some(certificate))
            }
        };
        let frame = match certificate {
            None => sealed.outsider.rng.random::<[u8; 32]>().to_vec(),
            Some(certificate) => {
                let certificate = certificate.as_bytes().to_vec();
                encoded(&Frame::Credentials(Credentials {
                    certificate,
                    generations: Vec::new(),
                    proof: [0; 16],
                    revocations: [0; 16],
                    began: 0,
                    counter: 0,
                    succession: Vec::new(),
                    holds: None,
                }))
            }
        };
        let outputs = self.call(target, key, &[frame]);
        let lets_in = outputs.iter().any(|output| match output {
            Output::StreamFrame { bytes, .. } => {
                !matches!(Frame::decode(bytes), Ok(Frame::Refusal(_)))
            }
            _ => false,
        });
        let Some(sealed) = &mut self.sealed else { return };
        if lets_in {
            sealed.outsider.breach(format!("n{target} lets an outsider in, for {what}"));
        }
    }

    /// Opens a stream to a node with this key, sends some frames and closes it. Returns all that the node does meanwhile.
    pub(super) fn call(
        &mut self,
        target: usize,
        key: PublicKey,
        frames: &[Vec<u8>],
    ) -> Vec<Output> {
        let is_idle = |process: &&Process| process.ready_at <= self.now && process.inbox.is_empty();
        let mut outputs = Vec::new();
        if self.hosts[target].process.as_ref().filter(is_idle).is_none() {
            return outputs;
        }
        let wall_ms = self.hosts[target].clock.wall_ms(self.now);
        let Some(sealed) = &mut self.sealed else { return outputs };
        sealed.outsider.attempts += 1;
        let stream = sealed.outsider.next_stream();
        let binding = sealed.binding(stream.0);
        let secured = Input::StreamSecured { stream, peer: key, binding, wall_ms };
        let inputs = [Input::StreamAccepted { stream }, secured].into_iter();
        let frames = frames.iter().map(|bytes| Input::StreamFrame { stream, bytes });
        for input in inputs.chain(frames).chain([Input::StreamClosed { stream }]) {
            self.act_watched(target, input, Some(&mut outputs));
        }
        outputs
    }

    fn lives_on(&self, host: usize, life: u32) -> bool {
        self.node(host).is_some() && self.hosts[host].lives() == life
    }

    /// A datagram that was overheard, and randomness to change it with.
    fn draw(&mut self) -> Option<(Captured, Xoshiro256PlusPlus)> {
        let outsider = &mut self.sealed.as_mut()?.outsider;
        if outsider.captured.is_empty() {
            return None;
        }
        let at = outsider.rng.random_range(0..outsider.captured.len());
        let rng = Xoshiro256PlusPlus::seed_from_u64(outsider.rng.random());
        Some((outsider.captured[at].clone(), rng))
    }
}

fn is_datagram_to(address: SocketAddr, output: &Output) -> bool {
    matches!(output, Output::Datagram { to, .. } if *to == address)
}

pub(super) fn encoded(frame: &Frame) -> Vec<u8> {
    frame.encode().expect("the frame is small")
}
