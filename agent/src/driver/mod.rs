//! The driver: one task that owns the protocol's state machine, and one loop that feeds it.
//!
//! Datagrams, stream events, commands and the one deadline go in; what comes out is carried out before the next input
//! is taken. Nothing in the loop waits: sockets that are full drop and count, as UDP may.

mod commands;
mod events;
mod handle;
pub(crate) mod words;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hobnob_membership::{Epoch, Input, Node, Output, TcpProbeId, Time};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::actor::Reply;
use crate::clock::Clock;
use crate::services::Writer;
use crate::transport::{Quic, StreamEvent, TcpProbes};

pub(crate) use commands::Command;
pub(crate) use handle::{DriverHandle, RecordChanges, Refused, Report};

/// Datagrams taken before anything else gets its turn, and of each other kind of input before it is done again.
const DATAGRAM_BATCH: usize = 64;
const BATCH: usize = 16;
/// A deadline that is so late tells of a process that stood still. What others have said meanwhile counts before what
/// we would conclude from their silence.
const STALLED_AFTER: Duration = Duration::from_millis(100);
/// Batches of datagrams taken first then: a full receive buffer of small ones.
const STALLED_BATCHES: usize = 32;
/// Longer than any datagram of ours, so that one that is too long is seen to be.
const DATAGRAM_BUFFER_BYTES: usize = 2_048;
/// Nobody answering at the addresses to join at is worth a word this soon, and then now and then.
const MAX_PEERS_NAMED: usize = 5;
const WARN_ALONE_AFTER: Duration = Duration::from_secs(3);
const WARN_ALONE_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Ages are as exact as this, for each thousand origins.
const AGES_PERIOD: Duration = Duration::from_millis(100);
/// How long streams may go on to be written at the end.
const STREAMS_WITHIN: Duration = Duration::from_millis(200);

/// What the driver asks to be kept for the next start.
pub(crate) enum Persist {
    Epoch(Epoch),
    Peers(Vec<SocketAddr>),
}

/// Why the driver ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The node left the cluster.
    Left,
    /// Nobody can give commands any more.
    Abandoned,
}

/// The driver's side of everything.
pub(crate) struct Driver {
    pub(crate) node: Node,
    pub(crate) clock: Clock,
    pub(crate) udp: UdpSocket,
    pub(crate) quic: Quic,
    pub(crate) stream_events: mpsc::Receiver<StreamEvent>,
    pub(crate) tcp_probes: TcpProbes,
    pub(crate) tcp_probe_answered: mpsc::Receiver<TcpProbeId>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) writer: Writer,
    pub(crate) persist: mpsc::Sender<Persist>,
    pub(crate) state: State,
}

/// Addresses to join at, and who waits for the first of them that answers.
type Join = (Vec<SocketAddr>, Reply<Result<SocketAddr, Refused>>);

/// What the driver remembers beside the node.
#[derive(Default)]
pub(crate) struct State {
    joins: Vec<Join>,
    save_peers_at: Option<tokio::time::Instant>,
    saved_peers: Vec<SocketAddr>,
    send_blocked: u64,
    send_failed: u64,
    receive_failed: u64,
    keep_dropped: u64,
    left: bool,
    ages_due: Time,
    /// The addresses to join at, as they were given, but for the agent's own.
    seeds: Vec<String>,
    /// The addresses of some former peers.
    former_peers: Vec<String>,
    cluster: String,
    /// When to say that nobody answers at these addresses.
    alone_warning: Option<tokio::time::Instant>,
}

impl State {
    /// Of an agent that is to join at these addresses, or had these peers before it was restarted.
    pub(crate) fn expecting(join: &[String], peers: &[SocketAddr], cluster: &str) -> Self {
        let former_peers = peers.iter().take(MAX_PEERS_NAMED).map(ToString::to_string).collect();
        let (seeds, cluster) = (join.to_vec(), cluster.to_owned());
        let mut state = Self { seeds, former_peers, cluster, ..Self::default() };
        if !state.expected_at().is_empty() {
            state.alone_warning = Some(tokio::time::Instant::now() + WARN_ALONE_AFTER);
        }
        state
    }

    /// Where somebody should answer: at the addresses to join at, else where the former peers were.
    fn expected_at(&self) -> &[String] {
        if self.seeds.is_empty() { &self.former_peers } else { &self.seeds }
    }
}

impl Driver {
    /// Runs until the node has left or nobody can give commands any more.
    pub(crate) async fn run(mut self) -> Ended {
        let mut buffer = [0; DATAGRAM_BUFFER_BYTES];
        loop {
            if self.state.left {
                self.quic.shutdown(STREAMS_WITHIN).await;
                return Ended::Left;
            }
            let deadline = self.node.next_deadline().map(|due| self.clock.instant(due));
            let own = self.state.save_peers_at.into_iter().chain(self.state.alone_warning);
            let wake = own.chain(deadline).min();
            tokio::select! {
                biased;
                received = self.udp.recv_from(&mut buffer) => self.take_datagrams(received, &mut buffer),
                Some(event) = self.stream_events.recv() => self.take_stream_event(&event),
                Some(tcp_probe) = self.tcp_probe_answered.recv() => self.take_tcp_probe(tcp_probe),
                command = self.commands.recv() => match command {
                    Some(command) => self.take_command(command),
                    None => return Ended::Abandoned,
                },
                () = sleep_until(wake) => {}
            }
            self.take_what_else_is_there();
            if self.has_stalled() {
                self.catch_up(&mut buffer);
            }
            self.take_deadlines();
            self.drain();
        }
    }

    /// Whoever floods one kind of input must not keep the others waiting.
    fn take_what_else_is_there(&mut self) {
        for _ in 0..BATCH {
            let Ok(event) = self.stream_events.try_recv() else { break };
            self.take_stream_event(&event);
        }
        for _ in 0..BATCH {
            let Ok(tcp_probe) = self.tcp_probe_answered.try_recv() else { break };
            self.take_tcp_probe(tcp_probe);
        }
        for _ in 0..BATCH {
            // That nobody can give commands any more is seen by who waits for one.
            let Ok(command) = self.commands.try_recv() else { break };
            self.take_command(command);
        }
    }

    fn has_stalled(&self) -> bool {
        let now = self.clock.now();
        self.node.next_deadline().is_some_and(|due| now.since(due) > STALLED_AFTER)
    }

    fn catch_up(&mut self, buffer: &mut [u8]) {
        for _ in 0..STALLED_BATCHES {
            let received = self.udp.try_recv_from(buffer);
            if matches!(&received, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                return;
            }
            self.take_datagrams(received, buffer);
        }
    }

    fn take_datagrams(&mut self, received: io::Result<(usize, SocketAddr)>, buffer: &mut [u8]) {
        let mut received = received;
        for _ in 0..DATAGRAM_BATCH {
            match received {
                Ok((len, from)) => {
                    let bytes = buffer.get(..len).unwrap_or_default();
                    self.node.handle(Input::Datagram { from, bytes }, self.clock.now());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.state.receive_failed += 1,
            }
            received = self.udp.try_recv_from(buffer);
        }
    }

    fn take_stream_event(&mut self, event: &StreamEvent) {
        let now = self.clock.now();
        match event {
            StreamEvent::Accepted { stream } => {
                self.node.handle(Input::StreamAccepted { stream: *stream }, now);
            }
            StreamEvent::Frame { stream, bytes } => {
                self.node.handle(Input::StreamFrame { stream: *stream, bytes }, now);
            }
            StreamEvent::Written { stream } => {
                self.node.handle(Input::StreamWritten { stream: *stream }, now);
            }
            StreamEvent::Closed { stream } => {
                self.node.handle(Input::StreamClosed { stream: *stream }, now);
            }
        }
    }

    fn take_tcp_probe(&mut self, tcp_probe: TcpProbeId) {
        self.node.handle(Input::TcpProbeAnswered { tcp_probe }, self.clock.now());
    }

    fn take_deadlines(&mut self) {
        let now = self.clock.now();
        if self.node.next_deadline().is_some_and(|due| due <= now) {
            self.node.handle(Input::Deadline, now);
        }
        if self.state.alone_warning.is_some_and(|at| at <= self.clock.instant(now)) {
            self.state.alone_warning = Some(self.clock.instant(now) + WARN_ALONE_AGAIN_AFTER);
            tracing::warn!(
                at = self.state.expected_at().join(", "),
                cluster = self.state.cluster,
                "nobody answers there yet: is it the gossip address (--bind) of a running agent of the same cluster, and \
                 does UDP reach it? trying on"
            );
        }
        if self.state.save_peers_at.is_some_and(|at| at <= self.clock.instant(now)) {
            self.state.save_peers_at = None;
            let peers: Vec<_> = self.node.peer_addresses().collect();
            // Whoever is alone keeps the peers that it had: they are how it gets back.
            if !peers.is_empty() && peers != self.state.saved_peers {
                self.state.saved_peers.clone_from(&peers);
                self.persist(Persist::Peers(peers));
            }
        }
    }

    /// Whoever was told to join itself only is no more cut off than who was told to join nobody.
    fn expect_nobody_at(&mut self, address: &str) {
        self.state.seeds.retain(|seed| seed != address);
        self.state.former_peers.retain(|peer| peer != address);
        if self.state.expected_at().is_empty() && self.state.alone_warning.take().is_some() {
            tracing::warn!(
                address,
                "the address to join at is this agent's own: it starts a cluster of its own. Let the others join it, or \
                 name one of them with --join"
            );
            self.writer.set_isolated(false);
        }
    }

    /// Carries out what the node wants, then shows what it learned.
    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Datagram { to, bytes } => self.send(to, &bytes),
                Output::OpenStream { stream, to, .. } => self.quic.open(stream, to),
                Output::StreamFrame { stream, bytes } => self.quic.send(stream, bytes),
                Output::FinishStream { stream } => self.quic.finish(stream),
                Output::ResetStream { stream } => self.quic.reset(stream),
                Output::TcpProbe { to, tcp_probe } => self.tcp_probes.tcp_probe(to, tcp_probe),
                Output::Event(event) => self.take_event(event),
            }
        }
        self.writer.set_last_contact(self.node.last_contact());
        let now = self.clock.now();
        if now >= self.state.ages_due {
            self.show_ages(now);
        }
        self.writer.publish();
    }

    /// Every datagram makes somebody younger, so this is done now and then, more seldom the more there are.
    fn show_ages(&mut self, now: Time) {
        let origins = self.node.catalog().origins();
        let ages: Vec<_> = origins.map(|(id, _)| (id, self.node.last_alive(id, now))).collect();
        let thousands = u32::try_from(ages.len() / 1_000).unwrap_or(u32::MAX);
        self.state.ages_due = now + AGES_PERIOD.saturating_mul(thousands.saturating_add(1));
        self.writer.set_last_alive(ages);
    }

    /// A full queue means a disk that stands still. Nothing is lost that the next start needs: its epoch passes the
    /// clock's anyway, and the peers come again.
    fn persist(&mut self, persist: Persist) {
        if self.persist.try_send(persist).is_err() {
            self.state.keep_dropped += 1;
        }
    }

    fn answer_joins(&mut self, by: SocketAddr) {
        let (answered, waiting) = std::mem::take(&mut self.state.joins)
            .into_iter()
            .partition(|(addresses, _)| addresses.contains(&by));
        self.state.joins = waiting;
        for (_, reply) in answered as Vec<Join> {
            reply.send(Ok(by));
        }
    }

    fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        match self.udp.try_send_to(bytes, to) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.state.send_blocked += 1,
            Err(error) => {
                self.state.send_failed += 1;
                tracing::debug!(%to, %error, "a datagram could not be sent");
            }
        }
    }
}

async fn sleep_until(wake: Option<tokio::time::Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
