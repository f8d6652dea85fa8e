//! Plane 1: which members live. SWIM membership, failure detection, joining, and duplicates of a node id.
//!
//! [`Liveness`] takes the messages and stream frames that are about members. Its outputs carry [`Fact`]s for the node,
//! which passes on to the catalog what concerns it. Nothing here knows the catalog.

mod awake;
pub mod detector;
pub(crate) mod duplicate;
pub(crate) mod facts;
pub(crate) mod heard;
mod join;
mod lost;
pub(crate) mod members;
mod orders;
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
use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::io::{Output, StreamId, StreamNumbers};
use crate::base::protocol::Protocol;
use crate::base::time::Time;
use crate::base::timers::{Timer, Timers};
use crate::wire::{Envelope, Life, Outbox, Update};

use awake::Awake;
use detector::{Belief, Detector, Disputes, MemberUpdateQueue};
use duplicate::Duplicates;
use facts::Fact;
use heard::Sign;
use join::seeds::{Invitations, Seeds};
use lost::ASK_LOST_EVERY;
use members::{Members, Peer};
use orders::DatagramPath;
use swim::{Swim, SwimEvent};

/// A node passes a remembered epoch at most this often, so that two agents on one identity do not race each other.
const PASS_EPOCH_MIN_GAP: Duration = Duration::from_secs(10);

/// The members as one node sees them, and its own part in their life.
pub(crate) struct Liveness {
    out: Outbox<Fact>,
    protocol: Protocol,
    rng: Xoshiro256PlusPlus,
    streams: StreamNumbers,
    swim: Swim,
    detector: Detector,
    member_updates: MemberUpdateQueue,
    disputes: Disputes,
    /// Why members are down, as far as a verdict told.
    beliefs: BTreeMap<NodeId, Belief>,
    /// Streams on which we ask for a sign of life, and since when.
    stream_probes: BTreeMap<StreamId, Time>,
    datagram_path: DatagramPath,
    seeds: Seeds,
    invitations: Invitations,
    /// The turn of the lost members to be asked.
    lost_turn: usize,
    duplicates: Duplicates,
    /// When a member was last told that its node id is elsewhere, too.
    duplicates_told_at: Option<Time>,
    timers: Timers,
    awake: Awake,
    leaving: bool,
    connected: bool,
    last_contact: Option<Time>,
    /// The epoch of our records, and when it was last raised.
    records_epoch: Epoch,
    epoch_passed_at: Option<Time>,
}

impl Liveness {
    /// Liveness of a node that knows only itself. `instance_key_hash` tells a copy of its data directory from chance.
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
            beliefs: BTreeMap::new(),
            stream_probes: BTreeMap::new(),
            datagram_path: DatagramPath::default(),
            seeds: Seeds::new(protocol, rng.next_u64()),
            invitations: Invitations::default(),
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

    /// The next output or fact.
    pub(crate) fn poll_output(&mut self) -> Option<Output<Fact>> {
        self.out.poll()
    }

    /// What was counted here.
    pub(crate) fn counters(&self) -> &Counters {
        &self.out.counters
    }

    /// Our identity now. Its epoch grows when we refute that we are down.
    pub(crate) fn identity(&self) -> &Identity {
        self.swim.identity()
    }

    /// Every member that we know of, ourselves not included.
    pub(crate) fn members(&self) -> &Members {
        self.swim.members()
    }

    /// The active members that the catalog plane chooses its peers from.
    pub(crate) fn swim(&self) -> &Swim {
        &self.swim
    }

    /// The same, for choices at random.
    pub(crate) fn swim_mut(&mut self) -> &mut Swim {
        &mut self.swim
    }

    /// The failure detector.
    pub(crate) fn detector(&self) -> &Detector {
        &self.detector
    }

    /// Updates of members that wait to be told.
    pub(crate) fn updates_waiting(&self) -> usize {
        self.member_updates.len()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    pub(crate) fn last_contact(&self) -> Option<Time> {
        self.last_contact
    }

    /// Takes the active members that a peer lists in a session.
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

    /// Notes that a member spoke, and returns it if it is active. Only active members are listened to, and answers go
    /// to the address that they gave, not to the source of a datagram: a forged source floods nobody.
    pub(crate) fn hear(&mut self, sender: NodeId, by: Sign, now: Time) -> Option<Identity> {
        let peer = self.swim.heard(sender, by, now).copied().filter(Peer::is_active);
        match peer {
            Some(_) => self.note_contact(now),
            None => self.out.counters.strangers_ignored += 1,
        }
        peer.map(|peer| peer.identity)
    }

    /// Notes that a member spoke, active or not, and returns whether we know it.
    pub(crate) fn hear_former(&mut self, sender: NodeId, by: Sign, now: Time) -> bool {
        let known = self.swim.heard(sender, by, now).is_some();
        if known {
            self.note_contact(now);
        } else {
            self.out.counters.strangers_ignored += 1;
        }
        known
    }

    /// Notes that somebody spoke in a session, member or not.
    pub(crate) fn hear_in_session(&mut self, peer: NodeId, now: Time) {
        self.note_contact(now);
        self.swim.heard(peer, Sign::Session, now);
    }

    /// Passes on what the parts have ready.
    pub(crate) fn settle(&mut self, now: Time) {
        self.take_swim_events(now);
        self.follow_detector(now);
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
                    if self.swim.active_peer(node).is_some() {
                        self.beliefs.remove(&node);
                        arrivals.push(node);
                    }
                    self.out.tell(Fact::Member(node));
                }
                SwimEvent::Connected => {
                    self.note_contact(now);
                    // A new epoch begins a membership anew, and no contact was lost.
                    if !self.connected {
                        self.set_connected(true);
                        self.out.tell(Fact::Connected);
                    }
                }
                // Silence may be noticed twice, by SWIM and by the clock.
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

    /// A peer remembers an epoch of ours that we forgot: takes one beyond it, and returns that. Our records have to
    /// begin it.
    pub(crate) fn pass_epoch(&mut self, remembered: Epoch, now: Time) -> Option<Epoch> {
        let passed_at = self.epoch_passed_at;
        if passed_at.is_some_and(|at| now.since(at) < PASS_EPOCH_MIN_GAP) || self.leaving {
            return None;
        }
        let epoch = remembered.max(self.identity().epoch).next();
        // The last epoch that there is cannot be passed, and a version must never be written twice in one.
        if epoch <= self.records_epoch {
            return None;
        }
        self.epoch_passed_at = Some(now);
        if self.swim.raise_epoch(epoch, now).is_err() {
            self.out.counters.swim_refused += 1;
        }
        self.records_epoch = epoch;
        // Others may take another agent under our node id for us until they hear of the new epoch.
        self.tell(Update::Alive(*self.identity()), now);
        Some(epoch)
    }

    /// Tells all members that we leave. Nothing is answered from here on.
    pub(crate) fn leave(&mut self, now: Time) {
        self.leaving = true;
        self.timers.stop(Timer::Isolation);
        self.tell_leaving(now);
        self.swim.leave();
    }
}
