//! One node: the whole protocol as a state machine without IO.

mod deadlines;
mod detect;
mod duplicate;
mod gossip;
mod join;
mod leave;
mod provenance;
mod retention;
mod sync;
pub mod view;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};

use crate::base::cluster::{ClusterId, Foreigners};
use crate::base::config::{Config, Protocol};
use crate::base::counters::{Counters, Load};
use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::io::{Event, Input, Output, StreamId, StreamNumbers};
use crate::base::provenance::Provenances;
use crate::base::time::Time;
use crate::catalog::record::{Key, Value};
use crate::catalog::{Catalog, Version, WriteError};
use crate::liveness::detector::Cause;
use crate::liveness::duplicate::{Duplicates, Life};
use crate::liveness::seeds::{Invitations, Seeds};
use crate::liveness::swim::{Swim, SwimEvent};
use crate::node::view::{Instance, Member, MemberStatus, OriginStatus, View};
use crate::spread::budget::Budget;
use crate::spread::digests::{DigestSchedule, RecentHeads};
use crate::spread::gaps::Gaps;
use crate::spread::rumors::Rumors;
use crate::spread::session::Session;
use crate::testing::mutants::{self as mutant, Mutant};
use crate::wire::{DatagramBuilder, Message};

/// A node takes a higher epoch at most this often, so that two agents on one identity do not race each other.
const RAISE_EPOCH_MIN_GAP: Duration = Duration::from_secs(10);

/// Room for so many outputs is kept while there are none.
const MAX_IDLE_OUTPUTS: usize = 64;

/// One node of a cluster.
///
/// It reads no clock, draws no entropy and owns no socket. Its driver hands in what happens with
/// [`handle`](Self::handle), then takes what it wants done with [`poll_output`](Self::poll_output) until there is
/// nothing left, then waits for the next input or for [`next_deadline`](Self::next_deadline), whichever comes first.
/// The same configuration and the same inputs at the same times give the same outputs.
pub struct Node {
    cluster: ClusterId,
    foreigners: Foreigners,
    protocol: Protocol,
    liveness_rng: Xoshiro256PlusPlus,
    spread_rng: Xoshiro256PlusPlus,
    swim: Swim,
    detection: detect::Detection,
    /// Streams for signs of life have even numbers, those of sessions odd ones.
    probe_streams: StreamNumbers,
    session_streams: StreamNumbers,
    catalog: Catalog,
    view: View,
    rumors: Rumors,
    /// Datagrams that answer pulls, and to whom they go.
    answers: VecDeque<(SocketAddr, Vec<u8>)>,
    budget: Budget,
    digests: DigestSchedule,
    recent: RecentHeads,
    gaps: Gaps,
    seeds: Seeds,
    invitations: Invitations,
    /// When one of those that were lost is asked again.
    reunion_at: Time,
    sessions: BTreeMap<StreamId, Session>,
    sync: sync::SyncSchedule,
    duplicates: Duplicates,
    provenances: Provenances,
    retention: retention::Retention,
    leaving: Option<leave::Leaving>,
    deadline: Option<Time>,
    connected: bool,
    last_contact: Option<Time>,
    awake: deadlines::Awake,
    epoch_raised_at: Option<Time>,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl Node {
    /// A node that knows only itself.
    #[must_use]
    pub fn new(config: Config, now: Time) -> Self {
        let Config { cluster, identity, node, records, seed, protocol } = config;
        let cluster = if mutant::is(Mutant::MixClusters) { ClusterId(0) } else { cluster };
        let mut seeds = Xoshiro256PlusPlus::seed_from_u64(seed);
        // Each plane draws from a generator of its own, so that neither disturbs the other.
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seeds.next_u64());
        let mut spread_rng = Xoshiro256PlusPlus::seed_from_u64(seeds.next_u64());
        // Nodes that start together must not stay in step.
        let first_digest = now + protocol.digest_period.mul_f64(spread_rng.random::<f64>());
        let first_sync = now + protocol.sync_period.mul_f64(0.5 + spread_rng.random::<f64>() / 2.0);
        let mut this = Self {
            cluster,
            foreigners: Foreigners::default(),
            swim: Swim::new(identity, &protocol, rng.next_u64()),
            detection: detect::Detection::new(identity.node_id, rng.next_u64(), now),
            probe_streams: StreamNumbers::new(2, 2),
            session_streams: StreamNumbers::new(1, 2),
            catalog: Catalog::new(identity.node_id, identity.epoch),
            view: View::default(),
            rumors: Rumors::new(protocol.coalesce),
            answers: VecDeque::new(),
            budget: Budget::new(protocol.bytes_per_second, now),
            digests: DigestSchedule::new(&protocol, now, first_digest),
            recent: RecentHeads::default(),
            gaps: Gaps::default(),
            seeds: Seeds::new(&protocol, rng.next_u64()),
            invitations: Invitations::default(),
            reunion_at: now + protocol.reunion_period,
            sessions: BTreeMap::new(),
            sync: sync::SyncSchedule::new(first_sync),
            provenances: Provenances::default(),
            duplicates: Duplicates::new(Life {
                yielded: false,
                started: identity.epoch,
                key: node.instance_key_hash,
                number: rng.next_u64(),
            }),
            retention: retention::Retention::default(),
            leaving: None,
            deadline: None,
            connected: false,
            last_contact: None,
            awake: deadlines::Awake::new(now),
            epoch_raised_at: None,
            outputs: VecDeque::new(),
            counters: Counters::default(),
            protocol,
            liveness_rng: rng,
            spread_rng,
        };
        let records = records.into_iter().map(|(key, value)| (key, Some(value)));
        this.write(
            [(Key::Node, Some(Value::Node(Arc::new(node))))].into_iter().chain(records).collect(),
            now,
        );
        this.deadline = this.find_deadline();
        this
    }

    /// Takes something that happened. `now` must never be earlier than in the call before.
    pub fn handle(&mut self, input: Input<'_>, now: Time) {
        self.notice_lateness(now);
        match input {
            Input::Datagram { from, bytes } => self.handle_datagram(from, bytes, now),
            Input::StreamAccepted { stream } => self.handle_stream_accepted(stream, now),
            Input::StreamFrame { stream, bytes } => self.handle_frame(stream, bytes, now),
            Input::StreamWritten { stream } => self.handle_stream_written(stream, now),
            Input::StreamClosed { stream } => self.handle_stream_closed(stream),
            Input::TcpProbeAnswered { tcp_probe } => self.handle_tcp_probe_answered(tcp_probe),
            Input::Write(records) => self.write(records, now),
            Input::Join(addresses) => self.seeds.add(addresses, now),
            Input::ForceLeave(origin) => self.force_leave(origin, now),
            Input::Leave => self.leave(now),
            Input::Deadline => self.handle_deadlines(now),
        }
        self.settle(now);
    }

    /// What the node wants done next; `None` until something happens again.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if self.outputs.is_empty() && self.outputs.capacity() > MAX_IDLE_OUTPUTS {
            self.outputs = VecDeque::new();
        }
        output
    }

    /// Checks that an [`Input::Write`] of these records would be taken.
    ///
    /// # Errors
    /// The first rule that one of them breaks.
    pub fn check_write(&self, records: &[(Key, Option<Value>)]) -> Result<(), WriteError> {
        self.catalog.check(records)
    }

    /// Who we are now. The epoch grows when we contradict that we are down.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.swim.identity()
    }

    /// The records of all origins.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Every instance that is not gone, by origin and id.
    pub fn instances(&self) -> impl ExactSizeIterator<Item = &Arc<Instance>> {
        self.view.instances()
    }

    /// Every member that we know of, ourselves first.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let own = self.identity().node_id;
        std::iter::once(own)
            .chain(self.swim.members().iter().map(|(node, _)| node))
            .filter_map(|node| self.member(node))
            .map(|mut member| {
                let suspected = self.detection.detector.is_suspect(member.identity.node_id);
                if member.status == MemberStatus::Alive && suspected {
                    member.status = MemberStatus::Suspect;
                }
                member
            })
            .collect()
    }

    /// How many members are active, ourselves included.
    #[must_use]
    pub fn active_members(&self) -> usize {
        self.swim.active_count() + 1
    }

    /// The gossip addresses of the active members, to be remembered for the next start.
    pub fn peer_addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.swim.members().iter_active().map(|identity| identity.addr)
    }

    /// Whether we hear at least one other member.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// When we last heard another member.
    #[must_use]
    pub fn last_contact(&self) -> Option<Time> {
        self.last_contact
    }

    /// What is held at this moment, against the limits of [`crate::base::limits`].
    #[must_use]
    pub fn load(&self) -> Load {
        Load {
            members: self.swim.members().len() + 1,
            own_unsent: self.own_unsent(),
            rumors: self.rumors.len(),
            answers: self.answers.len(),
            gaps: self.gaps.len(),
            sessions: self.sessions.len(),
            indirect_probes: self.detection.detector.open(),
            member_updates: self.detection.waiting(),
        }
    }

    /// The parameters in use.
    #[must_use]
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Passes on what the parts have ready.
    fn settle(&mut self, now: Time) {
        self.pass_on_swim_events(now);
        self.follow_detector(now);
        while let Some((to, packet)) = self.swim.poll_packet() {
            self.send(to.addr, &Message::Swim(&packet));
        }
        self.flush_rumors(now);
        self.pump_sessions(now);
        self.deadline = self.find_deadline();
    }

    fn pass_on_swim_events(&mut self, now: Time) {
        let mut arrivals = Vec::new();
        while let Some(event) = self.swim.poll_event() {
            if let SwimEvent::Peer(node) = event
                && self.swim.active_peer(node).is_some()
            {
                self.forget_belief(node);
                arrivals.push(node);
            }
            self.handle_swim_event(event, now);
        }
        self.tell_arrivals(&arrivals, now);
    }

    fn handle_swim_event(&mut self, event: SwimEvent, now: Time) {
        match event {
            SwimEvent::Peer(_)
                if mutant::is(Mutant::DropMemberEvent)
                    && self.counters.datagrams_received.is_multiple_of(4) => {}
            SwimEvent::Peer(node) => {
                self.forget_provenance(node);
                self.review_origin_tombstone(node, now);
                self.refresh(node, &[Key::Node]);
                self.refresh_member(node);
            }
            SwimEvent::Connected => {
                self.last_contact = Some(now);
                // A new epoch begins a membership anew, and no contact was lost.
                if !std::mem::replace(&mut self.connected, true) {
                    self.emit(Event::Connected);
                }
            }
            // Silence may be noticed twice, by SWIM and by the clock.
            SwimEvent::Isolated if !self.connected => {}
            SwimEvent::Isolated => {
                self.connected = false;
                self.seeds.hurry(now);
                self.emit(Event::Isolated);
            }
            SwimEvent::Renewed(epoch) => self.emit(Event::EpochRaised(epoch)),
            SwimEvent::Elsewhere(identity) => self.meet_duplicate(&identity, now),
        }
    }

    fn write(&mut self, records: Vec<(Key, Option<Value>)>, now: Time) {
        match self.catalog.write(records) {
            Ok((_, changed)) if changed.is_empty() => {}
            Ok((before, changed)) => {
                let own = self.identity().node_id;
                self.refresh(own, &changed);
                self.spread_own(before, now);
            }
            Err(_) => self.counters.writes_refused += 1,
        }
    }

    /// Makes a rumor of our own writes after a version.
    fn spread_own(&mut self, after: Version, now: Time) {
        self.rumors.push_own(after, now);
        self.recent.moved(self.identity().node_id, now);
        self.digests.news(now);
    }

    /// Somebody names the epoch in which it knows an origin, or waits for it. If that is us, and the epoch is one that we
    /// never reached, whoever waits for it would wait for ever.
    fn compare_epoch(&mut self, origin: NodeId, epoch: Epoch, now: Time) {
        if origin == self.identity().node_id && epoch > self.catalog.epoch() {
            self.refute(epoch, now);
        }
    }

    /// Somebody remembers a life of ours that we forgot: takes an epoch beyond it.
    fn refute(&mut self, remembered: Epoch, now: Time) {
        if self.epoch_raised_at.is_some_and(|at| now.since(at) < RAISE_EPOCH_MIN_GAP)
            || self.leaving.is_some()
        {
            return;
        }
        let epoch = remembered.max(self.identity().epoch).next();
        // The last epoch that there is cannot be passed, and a version must never be written twice in one.
        if epoch <= self.catalog.epoch() {
            return;
        }
        self.epoch_raised_at = Some(now);
        if self.swim.raise_epoch(epoch, now).is_err() {
            self.counters.swim_refused += 1;
        }
        self.catalog.raise_epoch(epoch);
        self.spread_own(0, now);
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        let record = self.description(node).cloned();
        if node == self.identity().node_id {
            let status =
                if self.leaving.is_some() { MemberStatus::Left } else { MemberStatus::Alive };
            return Some(Member { identity: *self.identity(), node: record, status });
        }
        let identity = self.swim.members().get(node)?.identity;
        let status = match self.origin_status(node) {
            OriginStatus::Active => MemberStatus::Alive,
            OriginStatus::Down { .. } => MemberStatus::Down,
            OriginStatus::Left => MemberStatus::Left,
        };
        Some(Member { identity, node: record, status })
    }

    fn origin_status(&self, node: NodeId) -> OriginStatus {
        if node == self.identity().node_id {
            return OriginStatus::Active;
        }
        let left = self.catalog.left(node);
        let peer = self.swim.members().get(node);
        if left.is_some_and(|epoch| peer.is_none_or(|peer| peer.identity.epoch <= epoch)) {
            return OriginStatus::Left;
        }
        // The word that it leaves may arrive before its record says so.
        let told = self.detection.cause(node).filter(|verdict| verdict.cause == Cause::Left);
        if let (Some(verdict), Some(peer)) = (told, peer)
            && !peer.is_active()
            && peer.identity.epoch <= verdict.epoch
        {
            return OriginStatus::Left;
        }
        match peer.map(|peer| peer.down_since) {
            Some(None) => OriginStatus::Active,
            Some(Some(since)) => OriginStatus::Down { since },
            None => OriginStatus::Down { since: Time::ZERO },
        }
    }

    fn refresh(&mut self, origin: NodeId, keys: &[Key]) {
        let status = self.origin_status(origin);
        for change in self.view.refresh(&self.catalog, origin, status, keys) {
            self.emit(Event::Instance(change));
        }
    }

    fn refresh_member(&mut self, node: NodeId) {
        let member = self.member(node);
        if let Some(change) = self.view.refresh_member(node, member) {
            self.emit(Event::Member(change));
        }
    }

    fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn own_unsent(&self) -> Version {
        let last = self.catalog.head(self.identity().node_id).map_or(0, |head| head.known_to);
        self.rumors.own_unsent_after().map_or(0, |after| last.saturating_sub(after))
    }

    fn send(&mut self, to: SocketAddr, message: &Message<'_>) {
        if let Some(bytes) = self.seal(message) {
            self.send_datagram(to, bytes);
        }
    }

    /// A message as a datagram of its own.
    fn seal(&mut self, message: &Message<'_>) -> Option<Vec<u8>> {
        let mut datagram = DatagramBuilder::default();
        if datagram.push(message).is_err() {
            self.counters.encoding_errors += 1;
            return None;
        }
        Some(datagram.finish(self.cluster))
    }

    fn send_datagram(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.counters.datagrams_sent += 1;
        self.counters.datagram_bytes_sent += bytes.len() as u64;
        self.outputs.push_back(Output::Datagram { to, bytes });
    }
}
