//! The fabric between processes: datagrams and streams in flight.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use hobnob_membership::{HoldId, Output, StreamId, TcpProbeId, Time};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::host::{Meter, address_index};
use super::queue::{Attempt, Delivery, Endpoint, Queue, WorldEvent};
use super::trace::{Detail, Trace};
use crate::network::{Channel, Network};

/// A connection attempt without an answer fails after this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection without traffic ends after this time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// The interval at which a stalled stream tries again.
const STREAM_RETRY: Duration = Duration::from_millis(250);

struct Stream {
    other: Endpoint,
    /// Frames arrive in order, so none may arrive before this.
    not_before: Time,
    finished: bool,
    /// Frames that wait because the link is cut.
    stalled: VecDeque<Vec<u8>>,
    stalled_since: Time,
}

/// What was sent from one datacenter to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crossed {
    /// Datagrams.
    pub datagrams: u64,
    /// Bytes in datagrams.
    pub datagram_bytes: u64,
    /// Bytes in stream frames.
    pub frame_bytes: u64,
}

impl Crossed {
    /// All bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.datagram_bytes + self.frame_bytes
    }
}

/// The connections that are held, and the hosts that cannot connect.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// The host at the other end, by the host that connected.
    pub(super) held: BTreeMap<(usize, HoldId), usize>,
    /// Hosts whose interface is down.
    pub(super) offline: BTreeSet<usize>,
}

/// The network, the event queue, the trace and the open streams.
pub(super) struct Fabric {
    pub(super) network: Network,
    pub(super) queue: Queue,
    pub(super) rng: Xoshiro256PlusPlus,
    pub(super) trace: Trace,
    pub(super) connections: Connections,
    /// Whether streams are secured.
    pub(super) is_sealed: bool,
    streams: BTreeMap<Endpoint, Stream>,
    next_accepted: u64,
    /// The datacenter of each host, by number.
    pub(super) places: Vec<usize>,
    /// What crossed from one datacenter to another.
    pub(super) crossed: BTreeMap<(usize, usize), Crossed>,
    /// The current owner of each address.
    owners: Vec<Option<usize>>,
}

impl Fabric {
    pub(super) fn new(seed: u64, network: Network) -> Self {
        Self {
            network,
            queue: Queue::default(),
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            trace: Trace::default(),
            connections: Connections::default(),
            is_sealed: false,
            streams: BTreeMap::new(),
            next_accepted: 0,
            places: Vec::new(),
            crossed: BTreeMap::new(),
            owners: Vec::new(),
        }
    }

    /// Assigns a new address to a host.
    pub(super) fn assign_address(&mut self, host: usize) -> u32 {
        self.owners.push(Some(host));
        (self.owners.len() - 1) as u32
    }

    pub(super) fn release_address(&mut self, address: u32) {
        if let Some(owner) = self.owners.get_mut(address as usize) {
            *owner = None;
        }
    }

    pub(super) fn owner(&self, address: u32) -> Option<usize> {
        self.owners.get(address as usize).copied().flatten()
    }

    pub(super) fn other_end(&self, end: Endpoint) -> Option<Endpoint> {
        self.streams.get(&end).map(|stream| stream.other)
    }

    pub(super) fn has_stream(&self, end: Endpoint) -> bool {
        self.streams.contains_key(&end)
    }

    /// Carries out an output of a node. `answers_hello` tells whether it answers a hello.
    pub(super) fn carry_out(
        &mut self,
        from: usize,
        address: u32,
        output: Output,
        answers_hello: bool,
        meter: &mut Meter,
        now: Time,
    ) {
        match output {
            Output::Datagram { to, bytes } => {
                if !answers_hello && !meter.has_room(now) {
                    meter.flooded += 1;
                    return;
                }
                meter.datagrams += 1;
                meter.datagram_bytes += bytes.len() as u64;
                meter.longest_datagram = meter.longest_datagram.max(bytes.len());
                if let Some(to) = address_index(to) {
                    self.send_datagram(from, address, to, bytes, now);
                }
            }
            Output::OpenStream { stream, to, .. } | Output::OpenStreamAt { stream, to } => {
                meter.streams += 1;
                let peer = address_index(to).and_then(|address| self.owner(address));
                self.open((from, stream), peer, now);
            }
            Output::StreamFrame { stream, bytes } => {
                meter.frame_bytes += bytes.len() as u64;
                self.send_frame((from, stream), bytes, now);
            }
            Output::FinishStream { stream } => self.finish((from, stream), now),
            Output::ResetStream { stream } => self.reset((from, stream), now),
            Output::TcpProbe { to, tcp_probe } => {
                if let Some(to) = address_index(to) {
                    self.tcp_probe(from, to, tcp_probe, now);
                }
            }
            Output::Hold { hold, to, peer } => {
                if let Some(to) = address_index(to) {
                    self.connect(from, to, Attempt::Hold(hold, peer), now);
                }
            }
            Output::Release { hold } => self.release(from, hold),
            Output::Reach { to, reach } => {
                if let Some(to) = address_index(to) {
                    self.connect(from, to, Attempt::Reach(reach), now);
                }
            }
            Output::Event(_) => {}
        }
    }

    fn tcp_probe(&mut self, from: usize, to: u32, tcp_probe: TcpProbeId, now: Time) {
        let Some(host) = self.owner(to) else { return };
        if let Some(after) = self.network.handshake(from, host, now, &mut self.rng) {
            self.queue.push(now + after, WorldEvent::TcpProbe { from, to, tcp_probe });
        }
    }

    /// Answers a TCP probe: the kernel completes the handshake.
    pub(super) fn answer_tcp_probe(
        &mut self,
        from: usize,
        to: usize,
        tcp_probe: TcpProbeId,
        now: Time,
    ) {
        if let Some(after) = self.network.handshake(from, to, now, &mut self.rng) {
            let delivery = Delivery::TcpProbeAnswered { tcp_probe };
            self.queue.push(now + after, WorldEvent::Stream { to, delivery });
        }
    }

    fn send_datagram(&mut self, from: usize, address: u32, to: u32, bytes: Vec<u8>, now: Time) {
        let Some(receiver) = self.owner(to) else { return };
        if let Some(crossed) = self.crossed(from, receiver) {
            crossed.datagrams += 1;
            crossed.datagram_bytes += bytes.len() as u64;
        }
        let fate = self.network.datagram(from, receiver, bytes.len(), now, &mut self.rng);
        let Some(arrivals) = fate else {
            if self.trace.wants(Detail::Packets) {
                self.trace.line(now, format_args!("n{from} -x n{receiver} {} B", bytes.len()));
            }
            return;
        };
        let mut bytes = bytes;
        if let Some(cut_to) = arrivals.cut_to {
            bytes.truncate(cut_to);
        }
        if let Some(flip) = arrivals.flip.filter(|_| !bytes.is_empty()) {
            let at = flip as usize % bytes.len();
            bytes[at] ^= ((flip >> 32) as u8).max(1);
        }
        if let Some(copy_after) = arrivals.after[1] {
            let bytes = bytes.clone();
            let copy = WorldEvent::Datagram { from: address, to, bytes, late: false };
            self.queue.push(now + copy_after, copy);
        }
        if let Some(after) = arrivals.after[0] {
            let datagram = WorldEvent::Datagram { from: address, to, bytes, late: false };
            self.queue.push(now + after, datagram);
        }
    }

    /// Opens a stream. The handshake crosses the link three times.
    fn open(&mut self, opener: Endpoint, peer: Option<usize>, now: Time) {
        let Some(peer) =
            peer.filter(|peer| !self.network.is_cut(opener.0, *peer, Channel::Streams))
        else {
            return self.close(opener, now + CONNECT_TIMEOUT);
        };
        let ways = [0, 1, 2].map(|way| {
            let (from, to) = if way % 2 == 0 { (opener.0, peer) } else { (peer, opener.0) };
            self.network.frame(from, to, 1_200, now, &mut self.rng)
        });
        let (answered, at) = (now + ways[0] + ways[1], now + ways.iter().sum::<Duration>());
        self.next_accepted += 1;
        let accepted = (peer, StreamId::accepted(self.next_accepted));
        let end = |other| Stream {
            other,
            not_before: at,
            finished: false,
            stalled: VecDeque::new(),
            stalled_since: at,
        };
        self.streams.insert(opener, end(accepted));
        self.streams.insert(accepted, end(opener));
        if self.is_sealed {
            self.queue.push(answered, WorldEvent::Handshake { opener, accepted });
        }
        let accept = Delivery::Accept { stream: accepted.1 };
        self.queue.push(at, WorldEvent::Stream { to: peer, delivery: accept });
    }

    /// Refuses a stream because no process accepts it. The opener notices when its attempt times out.
    pub(super) fn refuse(&mut self, accepted: Endpoint, now: Time) {
        if let Some(Stream { other, .. }) = self.streams.remove(&accepted) {
            self.close(other, now + CONNECT_TIMEOUT);
        }
    }

    fn send_frame(&mut self, from: Endpoint, bytes: Vec<u8>, now: Time) {
        let Some(stream) = self.streams.get_mut(&from) else { return };
        let waits = !stream.stalled.is_empty();
        if waits || self.network.is_cut(from.0, stream.other.0, Channel::Streams) {
            if !waits {
                stream.stalled_since = now;
                self.queue.push(now + STREAM_RETRY, WorldEvent::Retry { from });
            }
            stream.stalled.push_back(bytes);
            return;
        }
        self.pass_frame(from, bytes, now);
    }

    fn pass_frame(&mut self, from: Endpoint, bytes: Vec<u8>, now: Time) {
        let Some(stream) = self.streams.get_mut(&from) else { return };
        let to = stream.other;
        let breaks = self.network.conditions(from.0, to.0).stream_reset;
        if breaks > 0.0 && self.rng.random::<f64>() < breaks {
            self.close(from, now);
            return self.reset(from, now);
        }
        let time = self.network.frame(from.0, to.0, bytes.len(), now, &mut self.rng);
        let at = stream.not_before.max(now + time);
        stream.not_before = at;
        if let Some(crossed) = self.crossed(from.0, to.0) {
            crossed.frame_bytes += bytes.len() as u64;
        }
        let frame = Delivery::Frame { stream: to.1, bytes };
        self.queue.push(at, WorldEvent::Stream { to: to.0, delivery: frame });
        let written = Delivery::Written { stream: from.1 };
        self.queue.push(at, WorldEvent::Stream { to: from.0, delivery: written });
    }

    /// The count of what crosses between the datacenters of two hosts; `None` within one.
    fn crossed(&mut self, from: usize, to: usize) -> Option<&mut Crossed> {
        let pair = (self.places[from], self.places[to]);
        (pair.0 != pair.1).then(|| self.crossed.entry(pair).or_default())
    }

    /// Retries a stalled stream: it continues once the link is open, and ends after the idle timeout.
    pub(super) fn retry(&mut self, from: Endpoint, now: Time) {
        let Some(stream) = self.streams.get_mut(&from) else { return };
        let other = stream.other;
        if self.network.is_cut(from.0, other.0, Channel::Streams) {
            if now.since(stream.stalled_since) < IDLE_TIMEOUT {
                self.queue.push(now + STREAM_RETRY, WorldEvent::Retry { from });
            } else {
                self.close(from, now);
                self.close(other, now);
            }
            return;
        }
        for bytes in std::mem::take(&mut stream.stalled) {
            self.pass_frame(from, bytes, now);
        }
    }

    fn finish(&mut self, from: Endpoint, now: Time) {
        let Some(stream) = self.streams.get_mut(&from) else { return };
        stream.finished = true;
        let (other, not_before) = (stream.other, stream.not_before);
        if self.streams.get(&other).is_none_or(|other| other.finished) {
            let at = not_before.max(now);
            self.close(other, at);
            self.close(from, at);
        }
    }

    /// Ends a stream: here at once, at the other end when the news arrives.
    fn reset(&mut self, from: Endpoint, now: Time) {
        let Some(Stream { other, .. }) = self.streams.remove(&from) else { return };
        if self.network.is_cut(from.0, other.0, Channel::Streams) {
            return self.close(other, now + IDLE_TIMEOUT);
        }
        let latency = self.network.conditions(from.0, other.0).latency.sample(&mut self.rng);
        self.close(other, now + latency);
    }

    fn close(&mut self, end: Endpoint, at: Time) {
        let delivery = Delivery::Closed { stream: end.1 };
        self.queue.push(at, WorldEvent::Stream { to: end.0, delivery });
    }

    /// Forgets a stream end after its closing was delivered.
    pub(super) fn closed(&mut self, end: Endpoint) {
        self.streams.remove(&end);
    }

    /// Drops all streams of a crashed host. Their peers notice by the idle timeout.
    pub(super) fn abandon(&mut self, host: usize, now: Time) {
        let of_host = (host, StreamId(0))..=(host, StreamId(u64::MAX));
        let ends: Vec<Endpoint> = self.streams.range(of_host).map(|(end, _)| *end).collect();
        for end in ends {
            if let Some(Stream { other, .. }) = self.streams.remove(&end) {
                self.close(other, now + IDLE_TIMEOUT);
            }
        }
    }
}
