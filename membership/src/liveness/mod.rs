//! Plane 1: which members live. SWIM membership, failure detection, joining, and duplicates of a node id.
//!
//! [`Liveness`] takes the messages and stream frames that are about members. Its outputs carry [`Fact`]s to the node,
//! which passes on to the catalog those that concern it. Nothing in this folder knows the catalog.

mod awake;
pub mod detector;
pub(crate) mod duplicate;
mod echoes;
pub(crate) mod ends;
mod exit;
pub(crate) mod facts;
pub(crate) mod heard;
mod join;
mod lost;
pub(crate) mod members;
mod orders;
mod proofs;
pub(crate) mod ring;
mod signs;
mod stream_probes;
pub(crate) mod swim;
mod updates;
mod verdicts;
mod views;

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use crate::base::counters::Counters;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::io::{Output, StreamId, StreamNumbers};
use crate::base::protocol::Protocol;
use crate::base::time::Time;
use crate::base::timers::{Timer, Timers};
use crate::wire::{Envelope, Life, Outbox, Packed, Update};

use awake::Awake;
use detector::{Belief, Detector, Disputes, MemberUpdateQueue};
use duplicate::Duplicates;
use echoes::Echoes;
use ends::Ends;
use exit::Exits;
use facts::Fact;
use heard::{Heard, Sign};
use join::seeds::{Invitations, Seeds};
use lost::ASK_LOST_EVERY;
use members::{Members, Peer};
use orders::DatagramPath;
use proofs::Proofs;
use swim::{Swim, SwimEvent};

/// Least time between two epochs that a node takes because a peer remembers a later one. Without it, two agents under
/// one identity would race each other.
const PASS_EPOCH_MIN_GAP: Duration = Duration::from_secs(10);

/// Plane 1 of one node: its view of the members, and its own membership.
pub(crate) struct Liveness {
    out: Outbox<Fact>,
    protocol: Protocol,
    rng: Xoshiro256PlusPlus,
    streams: StreamNumbers,
    swim: Swim,
    detector: Detector,
    member_updates: MemberUpdateQueue,
    disputes: Disputes,
    exits: Exits,
    /// The assignment of monitors for which connections are held.
    held_assignment: u64,
    /// The verdict that we believe on each member that is down. A member whose verdict did not reach us has none.
    beliefs: BTreeMap<NodeId, Belief>,
    ends: Ends,
    /// Our stream probes under way, and when each was sent.
    stream_probes: BTreeMap<StreamId, Time>,
    datagram_path: DatagramPath,
    proofs: Proofs,
    echoes: Echoes,
    /// Our datacenter, which our messages name.
    datacenter: DatacenterId,
    /// What our node knows of other datacenters, as a hash.
    tables: [u8; 4],
    seeds: Seeds,
    invitations: Invitations,
    /// When we last said hello to a stranger that compared views with us.
    greeted_at: Option<Time>,
    /// A counter that selects the next lost member to ask.
    lost_turn: usize,
    duplicates: Duplicates,
    /// When we last told a node that its node id also lives at another address.
    duplicates_told_at: Option<Time>,
    timers: Timers,
    awake: Awake,
    leaving: bool,
    connected: bool,
    last_contact: Option<Time>,
    /// The epoch of our records.
    records_epoch: Epoch,
    /// When we last took an epoch beyond a remembered one.
    epoch_passed_at: Option<Time>,
}

impl Liveness {
    /// Liveness of a node that knows only itself. `instance_key_hash` distinguishes a copy of its data directory from a
    /// duplicate node id by chance.
    pub(crate) fn new(
        envelope: Envelope,
        identity: Identity,
        instance_key_hash: u64,
        protocol: &Protocol,
        streams: StreamNumbers,
        seed: u64,
        now: Time,
    ) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut timers = Timers::default();
        timers.set(Timer::AskLost, now + ASK_LOST_EVERY);
        timers.set(Timer::Reunion, now + protocol.reunion_period);
        timers.set(Timer::Hello, now);
        Self {
            out: Outbox::new(envelope),
            streams,
            swim: Swim::new(identity, rng.next_u64()),
            detector: Detector::new(identity.node_id, rng.next_u64(), now),
            member_updates: MemberUpdateQueue::default(),
            disputes: Disputes::default(),
            exits: Exits::new(identity.node_id, seed.rotate_left(17)),
            held_assignment: 0,
            beliefs: BTreeMap::new(),
            ends: Ends::default(),
            stream_probes: BTreeMap::new(),
            datagram_path: DatagramPath::default(),
            proofs: Proofs::default(),
            echoes: Echoes::default(),
            datacenter: DatacenterId::UNKNOWN,
            tables: [0; 4],
            seeds: Seeds::new(protocol, rng.next_u64()),
            invitations: Invitations::default(),
            greeted_at: None,
            lost_turn: 0,
            duplicates: Duplicates::new(Life {
                yielded: false,
                started: identity.epoch,
                key: instance_key_hash,
                number: rng.next_u64(),
            }),
            duplicates_told_at: None,
            timers,
            awake: Awake::new(now),
            leaving: false,
            connected: false,
            last_contact: None,
            records_epoch: identity.epoch,
            epoch_passed_at: None,
            protocol: protocol.clone(),
            rng,
        }
    }

    /// The next output, with facts as its events.
    pub(crate) fn poll_output(&mut self) -> Option<Output<Fact, Packed>> {
        self.out.poll()
    }

    /// The counters of this plane.
    pub(crate) fn counters(&self) -> &Counters {
        &self.out.counters
    }

    /// Our present identity. Its epoch grows when we refute a verdict on us.
    pub(crate) fn identity(&self) -> &Identity {
        self.swim.identity()
    }

    /// Every member that we know of, ourselves not included.
    pub(crate) fn members(&self) -> &Members {
        self.swim.members()
    }

    /// SWIM's view, from which the catalog plane chooses its peers.
    pub(crate) fn swim(&self) -> &Swim {
        &self.swim
    }

    /// The same view, for random choices, which change the generator.
    pub(crate) fn swim_mut(&mut self) -> &mut Swim {
        &mut self.swim
    }

    /// Sets the datacenter that our messages name.
    pub(crate) fn set_datacenter(&mut self, datacenter: DatacenterId) {
        self.datacenter = datacenter;
    }

    /// Sets the hash of what our node knows of other datacenters. Members whose hashes differ compare their views.
    pub(crate) fn set_tables(&mut self, tables: [u8; 4]) {
        self.tables = tables;
    }

    /// The number that answers to our hellos carry back.
    pub(crate) fn hello_token(&self) -> u64 {
        self.seeds.token()
    }

    /// Tells the members of our pool something of another datacenter.
    pub(crate) fn tell_remote(&mut self, update: Update, now: Time) {
        if !self.leaving {
            self.tell(update, now);
        }
    }

    /// The failure detector.
    pub(crate) fn detector(&self) -> &Detector {
        &self.detector
    }

    /// The exit cases.
    pub(crate) fn exits(&self) -> &Exits {
        &self.exits
    }

    /// Number of member updates that wait to be sent.
    pub(crate) fn updates_waiting(&self) -> usize {
        self.member_updates.len()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// When we last heard another member. A message that may have waited for the end of a stall counts from its
    /// beginning.
    pub(crate) fn last_contact(&self) -> Option<Time> {
        self.last_contact.map(|at| self.awake.arrived(at))
    }

    /// The last message of a node, and when it arrived at the earliest.
    pub(crate) fn last_heard(&self, node: NodeId) -> Option<Heard> {
        let heard = self.members().get(node)?.heard?;
        Some(Heard { at: self.awake.arrived(heard.at), ..heard })
    }

    /// When a node last answered a ping of ours, at the earliest.
    pub(crate) fn last_answer(&self, node: NodeId) -> Option<Time> {
        self.detector.last_heard(node).map(|at| self.awake.arrived(at))
    }

    /// Takes the roster that a peer sends in a session: its active members.
    pub(crate) fn handle_roster(
        &mut self,
        mut roster: Vec<Identity>,
        from: Option<NodeId>,
        now: Time,
    ) {
        let own = self.identity().node_id;
        if let Some(duplicate) = roster.iter().find(|identity| identity.node_id == own) {
            self.meet_duplicate(duplicate, now);
        }
        roster.retain(|identity| {
            Some(identity.node_id) == from || self.takes_on_trust(identity, now)
        });
        if self.swim.handle_roster(roster, now).is_err() {
            self.out.counters.swim_refused += 1;
        }
    }

    /// Notes a message of `sender`, and returns the member if it is active. Messages of others are ignored. Answers go
    /// to the member's own address, not to the source of the datagram, so that a forged source floods no third party.
    pub(crate) fn hear(&mut self, sender: NodeId, by: Sign, now: Time) -> Option<Identity> {
        self.check_doubted(sender, now);
        let peer = self.swim.heard(sender, by, now).copied().filter(Peer::is_active);
        match peer {
            Some(_) => self.note_contact(now),
            None => self.out.counters.strangers_ignored += 1,
        }
        peer.map(|peer| peer.identity)
    }

    /// Notes a message of `sender`, and returns whether it is a known member, active or not.
    pub(crate) fn hear_former(&mut self, sender: NodeId, by: Sign, now: Time) -> bool {
        self.check_doubted(sender, now);
        let known = self.swim.heard(sender, by, now).is_some();
        if known {
            self.note_contact(now);
        } else {
            self.out.counters.strangers_ignored += 1;
        }
        known
    }

    /// Notes that a peer spoke in a session, whether or not it is a member.
    pub(crate) fn hear_in_session(&mut self, peer: NodeId, now: Time) {
        self.note_contact(now);
        self.check_doubted(peer, now);
        self.swim.heard(peer, Sign::Session, now);
    }

    /// Carries out what SWIM and the detector want done, and sets the timers.
    pub(crate) fn settle(&mut self, now: Time) {
        self.take_swim_events(now);
        self.follow_detector(now);
        self.follow_exits(now);
        self.timers.put(Timer::Swim, self.swim.next_deadline());
        self.timers.put(Timer::MemberUpdates, self.member_updates.next_deadline());
        self.timers.put(Timer::Detector, self.detector.next_deadline());
        self.timers.put(Timer::StreamProbe, self.stream_probe_deadline());
    }

    fn take_swim_events(&mut self, now: Time) {
        let mut arrivals = Vec::new();
        while let Some(event) = self.swim.poll_event() {
            match event {
                SwimEvent::Peer(node) => {
                    let peer = self.swim.members().get(node);
                    if peer.is_none_or(Peer::is_active) {
                        self.beliefs.remove(&node);
                    }
                    if peer.is_some_and(Peer::is_active) {
                        arrivals.push(node);
                    }
                    self.review_ends(node);
                    self.out.tell(Fact::Member(node));
                }
                SwimEvent::Connected => {
                    self.note_contact(now);
                    // foca also tells this after a new epoch, without any loss of contact.
                    if !self.connected {
                        self.set_connected(true);
                        self.out.tell(Fact::Connected);
                    }
                }
                // The same isolation may be told twice: by foca, and by the isolation timer.
                SwimEvent::Isolated if !self.connected => {}
                SwimEvent::Isolated => {
                    self.seeds.hurry(now);
                    self.set_connected(false);
                    self.out.tell(Fact::Isolated);
                }
                SwimEvent::Renewed(epoch) => self.out.tell(Fact::EpochRaised(epoch)),
            }
        }
        self.tell_arrivals(&arrivals, now);
    }

    /// Takes an epoch beyond one that a peer remembers of us and that we do not know. Returns the new epoch, with which
    /// our records have to go on. `None` if no epoch may be taken now.
    pub(crate) fn pass_epoch(&mut self, remembered: Epoch, now: Time) -> Option<Epoch> {
        let passed_at = self.epoch_passed_at;
        if passed_at.is_some_and(|at| now.since(at) < PASS_EPOCH_MIN_GAP) || self.leaving {
            return None;
        }
        let epoch = remembered.max(self.identity().epoch).next();
        // There is no epoch beyond the last one, and no version may be written twice in one epoch.
        if epoch <= self.records_epoch {
            return None;
        }
        self.epoch_passed_at = Some(now);
        if self.swim.raise_epoch(epoch, now).is_err() {
            self.out.counters.swim_refused += 1;
        }
        self.records_epoch = epoch;
        // Until the members hear of the new epoch, they may take a duplicate for us.
        self.tell(Update::Alive(*self.identity()), now);
        Some(epoch)
    }

    /// Forgets a member, if it is down.
    pub(crate) fn prune(&mut self, node: NodeId, now: Time) {
        if self.swim.prune(node, now).is_err() {
            self.out.counters.swim_refused += 1;
        }
    }

    /// Tells all members that we leave. From now on we answer nothing.
    pub(crate) fn leave(&mut self, now: Time) {
        self.leaving = true;
        self.timers.stop(Timer::Isolation);
        self.tell_leaving(now);
        self.swim.leave();
    }
}
