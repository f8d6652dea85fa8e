//! The driver: one task that owns the protocol's state machine, and one loop that feeds it.
//!
//! Datagrams, stream events, commands and the one deadline go in; what comes out is carried out before the next input
//! is taken. Nothing in the loop waits: sockets that are full drop and count, as UDP may.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hobnob_membership::catalog::WriteError;
use hobnob_membership::record::{Key, Value};
use hobnob_membership::view::{Member, MemberStatus};
use hobnob_membership::{Epoch, Event, Input, Node, Output, Time};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

use crate::api::handler::millis;
use crate::api::{ApiError, Duplicate, ForceLeft, MemberExplained};
use crate::clock::Clock;
use crate::eviction;
use crate::explain::{self, InstanceFacts};
use crate::parameters::parameters;
use crate::registry::Writer;
use crate::transport::{Quic, StreamEvent};

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
/// Peer addresses are kept for the next start this long after they changed: the first ones soon, since they are how a
/// crashed agent finds back; later changes seldom matter.
const SAVE_FIRST_PEERS_AFTER: Duration = Duration::from_millis(50);
const SAVE_PEERS_AFTER: Duration = Duration::from_secs(5);
/// Nobody answering at the addresses to join at is worth a word this soon, and then now and then.
const MAX_PEERS_NAMED: usize = 5;
const WARN_ALONE_AFTER: Duration = Duration::from_secs(3);
const WARN_ALONE_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Ages are as exact as this, for each thousand origins.
const AGES_PERIOD: Duration = Duration::from_millis(100);
/// How long streams may go on to be written at the end.
const STREAMS_WITHIN: Duration = Duration::from_millis(200);

/// What the rest of the agent asks of the driver.
pub(crate) enum Command {
    /// Whether [`Command::Write`] would be taken.
    Check { records: Vec<(Key, Option<Value>)>, reply: oneshot::Sender<Result<(), WriteError>> },
    /// Write records of our own; answered when they are visible here.
    Write { records: Vec<(Key, Option<Value>)>, reply: oneshot::Sender<()> },
    /// Knock at these addresses; answered by the first that answers.
    Join { addresses: Vec<SocketAddr>, reply: oneshot::Sender<SocketAddr> },
    /// Leave the cluster; the driver ends when that is done.
    Leave,
    /// Every member.
    Members { reply: oneshot::Sender<Vec<Member>> },
    /// What the node knows of who or what goes by this name.
    Explain { subject: String, reply: oneshot::Sender<Known> },
    /// Declare a dead member gone for good.
    ForceLeave { member: String, reply: oneshot::Sender<Result<ForceLeft, ApiError>> },
    /// What the node says of itself.
    Report { reply: oneshot::Sender<Report> },
}

/// What the node says of itself.
pub(crate) struct Report {
    pub(crate) epoch: Epoch,
    pub(crate) duplicate: Option<Duplicate>,
    pub(crate) members_alive: usize,
    pub(crate) instances: usize,
    pub(crate) catalog_digest: u64,
    pub(crate) counters: BTreeMap<String, u64>,
    pub(crate) protocol: BTreeMap<String, String>,
}

/// What the node knows of a name.
pub(crate) struct Known {
    pub(crate) members: Vec<MemberExplained>,
    pub(crate) instances: Vec<InstanceFacts>,
}

/// What the driver asks to be kept for the next start.
pub(crate) enum Keep {
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
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) writer: Writer,
    pub(crate) keep: mpsc::Sender<Keep>,
    pub(crate) state: State,
}

/// What the driver remembers beside the node.
#[derive(Default)]
pub(crate) struct State {
    joins: Vec<(Vec<SocketAddr>, oneshot::Sender<SocketAddr>)>,
    save_peers_at: Option<tokio::time::Instant>,
    saved_peers: Vec<SocketAddr>,
    send_blocked: u64,
    send_failed: u64,
    receive_failed: u64,
    keep_dropped: u64,
    left: bool,
    ages_due: Time,
    /// The addresses to join at, as they were given, else those of some former peers, and when to say that nobody answers there.
    seeds: String,
    cluster: String,
    alone_warning: Option<tokio::time::Instant>,
}

impl State {
    /// Of an agent that is to join at these addresses, or had these peers before it was restarted.
    pub(crate) fn expecting(join: &[String], peers: &[SocketAddr], cluster: &str) -> Self {
        let former = peers.iter().take(MAX_PEERS_NAMED).map(ToString::to_string);
        let seeds = if join.is_empty() { former.collect() } else { join.to_vec() };
        let soon = (!seeds.is_empty()).then(|| tokio::time::Instant::now() + WARN_ALONE_AFTER);
        let (seeds, cluster) = (seeds.join(", "), cluster.to_owned());
        Self { seeds, cluster, alone_warning: soon, ..Self::default() }
    }
}

impl Driver {
    /// Runs until the node has left or nobody can give commands any more.
    pub(crate) async fn run(mut self) -> Ended {
        self.drain();
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

    fn take_command(&mut self, command: Command) {
        let now = self.clock.now();
        // Who asked may have gone away since; then nobody needs the answer.
        match command {
            Command::Check { records, reply } => drop(reply.send(self.node.check_write(&records))),
            Command::Write { records, reply } => {
                self.node.handle(Input::Write(records), now);
                self.drain();
                let _ = reply.send(());
            }
            Command::Join { addresses, reply } => {
                self.state.joins.retain(|(_, reply)| !reply.is_closed());
                self.state.joins.push((addresses.clone(), reply));
                self.node.handle(Input::Join(addresses), now);
            }
            Command::Leave => self.node.handle(Input::Leave, now),
            Command::Members { reply } => drop(reply.send(self.node.members())),
            Command::Explain { subject, reply } => {
                self.show_ages(now);
                let members = explain::members(&self.node, &subject, now);
                let instances = explain::instances(&self.node, &subject, now);
                drop(reply.send(Known { members, instances }));
            }
            Command::ForceLeave { member, reply } => {
                let result = eviction::check(&self.node, &member);
                if let Ok(gone) = &result {
                    self.node.handle(Input::Bury(gone.node_id), now);
                    self.drain();
                }
                drop(reply.send(result));
            }
            Command::Report { reply } => drop(reply.send(self.report())),
        }
    }

    fn take_deadlines(&mut self) {
        let now = self.clock.now();
        if self.node.next_deadline().is_some_and(|due| due <= now) {
            self.node.handle(Input::Deadline, now);
        }
        if self.state.alone_warning.is_some_and(|at| at <= self.clock.instant(now)) {
            self.state.alone_warning = Some(self.clock.instant(now) + WARN_ALONE_AGAIN_AFTER);
            tracing::warn!(
                at = self.state.seeds,
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
                self.keep(Keep::Peers(peers));
            }
        }
    }

    /// Carries out what the node wants, then shows what it learned.
    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Datagram { to, bytes } => self.send(to, &bytes),
                Output::OpenStream { stream, to, .. } => self.quic.open(stream, to),
                Output::StreamFrame { stream, bytes } => self.quic.send(stream, bytes),
                Output::FinishStream { stream } => self.quic.finish(stream),
                Output::ResetStream { stream } => self.quic.reset(stream),
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

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Instance(change) => self.writer.apply(change),
            Event::Member(change) => {
                self.log_member(&change.member);
                let first = self.state.saved_peers.is_empty();
                let wait = if first { SAVE_FIRST_PEERS_AFTER } else { SAVE_PEERS_AFTER };
                self.state.save_peers_at.get_or_insert(tokio::time::Instant::now() + wait);
            }
            Event::Buried { node, told_by } => tracing::warn!(
                node_id = %node,
                name = explain::name_of(&self.node, node),
                told_by = explain::name_of(&self.node, told_by),
                "an operator declared this member gone for good: its instances are gone"
            ),
            Event::Connected => {
                self.state.alone_warning = None;
                tracing::info!("in touch with the cluster");
                self.writer.set_isolated(false);
            }
            Event::Isolated => {
                // Alone because everybody left on purpose is not cut off.
                let lost =
                    self.node.members().iter().any(|member| member.status == MemberStatus::Down);
                if lost {
                    tracing::warn!(
                        "no other member can be heard: answers are from memory until one can"
                    );
                } else {
                    tracing::info!("all other members have left");
                }
                self.writer.set_isolated(lost);
            }
            Event::DuplicateNodeId { address } => tracing::error!(
                %address,
                "another agent runs under this agent's node id: its data directory is a copy of this one's. It gives way \
                 to this agent and is silent. Stop it, remove node.json and registrations.log from its data directory, and start it again"
            ),
            Event::GaveWay { to } => {
                tracing::error!(
                    %to,
                    "another agent runs under this agent's node id: this data directory is a copy, or was copied. This \
                     agent started later and gives way: it is silent, and answers from memory, until the other is gone. \
                     If this is the copy, stop this agent, remove node.json and registrations.log from its data directory, \
                     and start it again"
                );
                self.writer.set_isolated(true);
            }
            Event::Resumed => tracing::warn!(
                "the other agent under this agent's node id is gone: this agent joins again"
            ),
            Event::OtherCluster { address } => tracing::warn!(
                %address,
                cluster = self.state.cluster,
                "an agent of another cluster sends to this one, and is not heard: check its --cluster and --join, and those \
                 of this agent"
            ),
            Event::EpochRaised(epoch) => {
                tracing::info!(%epoch, "epoch raised");
                self.keep(Keep::Epoch(epoch));
            }
            Event::Welcomed { by } => self.answer_joins(by),
            Event::Left => {
                tracing::info!("left the cluster");
                self.state.left = true;
            }
            event => tracing::debug!(?event, "event"),
        }
    }

    /// Who is lost is worth a warning, unless it is us who may be cut off.
    fn log_member(&self, member: &Member) {
        let Member { identity, node, status } = member;
        let (node_id, address, epoch) = (identity.node_id, identity.addr, identity.epoch);
        let Some(node) = node else {
            // Its record follows in a moment, with its name.
            return tracing::debug!(%node_id, %address, ?status, "member");
        };
        let name = &node.name;
        match status {
            MemberStatus::Alive | MemberStatus::Suspect => {
                tracing::info!(%node_id, %name, %address, %epoch, ?status, "member");
            }
            MemberStatus::Down if self.node.is_connected() => {
                let reason = explain::reason(&self.node, member, self.clock.now());
                tracing::warn!(%node_id, %name, %address, %epoch, ?status, reason, "member");
            }
            MemberStatus::Down | MemberStatus::Left => {
                let reason = explain::reason(&self.node, member, self.clock.now());
                tracing::info!(%node_id, %name, %address, %epoch, ?status, reason, "member");
            }
        }
    }

    /// A full queue means a disk that stands still. Nothing is lost that the next start needs: its epoch passes the
    /// clock's anyway, and the peers come again.
    fn keep(&mut self, keep: Keep) {
        if self.keep.try_send(keep).is_err() {
            self.state.keep_dropped += 1;
        }
    }

    fn answer_joins(&mut self, by: SocketAddr) {
        let (answered, waiting) = std::mem::take(&mut self.state.joins)
            .into_iter()
            .partition(|(addresses, _)| addresses.contains(&by));
        self.state.joins = waiting;
        for (_, reply) in answered as Vec<(Vec<SocketAddr>, oneshot::Sender<SocketAddr>)> {
            let _ = reply.send(by);
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

    fn report(&self) -> Report {
        let udp = [
            ("udp_send_blocked", self.state.send_blocked),
            ("udp_send_failed", self.state.send_failed),
            ("udp_receive_failed", self.state.receive_failed),
            ("storage_keep_dropped", self.state.keep_dropped),
        ];
        let counters =
            self.node.counters().iter().chain(udp).chain(self.quic.counters().snapshot());
        let now = self.clock.now();
        Report {
            epoch: self.node.identity().epoch,
            duplicate: self.node.duplicate(now).map(|duplicate| Duplicate {
                address: duplicate.address.to_string(),
                silent: duplicate.we_are_silent,
                same_key: duplicate.same_key,
                since_ms: millis(now.since(duplicate.since)),
                proven_ms: millis(now.since(duplicate.proven)),
            }),
            members_alive: self.node.active_members(),
            instances: self.node.instances().len(),
            catalog_digest: self.node.catalog().digest(),
            protocol: parameters(self.node.protocol()),
            counters: counters.map(|(name, count)| (name.to_owned(), count)).collect(),
        }
    }
}

async fn sleep_until(wake: Option<tokio::time::Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
