//! SWIM membership: foca behind one deadline, a table of members, and a ring of the active ones.
//!
//! foca (Das, Gupta, Motivala, "SWIM", DSN 2002, section 4) tells us what it wants through its `Runtime`; here that is
//! kept until the node takes it. foca's own member list is a vector without an index, so the table mirrors it from its
//! notifications.
//!
//! foca keeps the members, spreads and refutes; it does not probe. Its probes would raise suspicion, and that is the
//! business of [`crate::liveness::detector`], so the timers that begin them are dropped (foca then has no probe to complete, and
//! never sets a timer that calls a suspect down). Whoever is down here was put there by a verdict, or left.

mod machine;
mod peers;

use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use foca::{OwnedNotification, State, Timer};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::limits::MAX_ORIGINS;
use crate::base::protocol::Protocol;
use crate::base::time::Time;
use crate::liveness::heard::{Heard, Sign};
use crate::liveness::members::{Members, Peer, bucket_of, member_hash};
use crate::liveness::ring::Ring;
use crate::testing::mutants::{self as mutant, Mutant};
use crate::wire::{SwimCodec, overhear, restore_destination};

use machine::{Effects, Machine, Scheduled, machine};

/// A new epoch is taken at most this often, so that two agents under one id which cannot settle it, because they do not
/// reach each other, do not push each other out as fast as messages go.
const RENEW_MIN_GAP: Duration = Duration::from_secs(1);

/// Something that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SwimEvent {
    /// A member's entry in the table is new or different.
    Peer(NodeId),
    /// We hear somebody.
    Connected,
    /// We hear nobody.
    Isolated,
    /// We took a new epoch, to contradict that we are down.
    Renewed(Epoch),
    /// Somebody is said to go by our node id elsewhere.
    Elsewhere(Identity),
}

/// A packet was not foca's, or not for us.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PacketError {
    #[error("meant for another member")]
    NotForUs,
    #[error("we contradicted a moment ago")]
    RefutedBefore,
    #[error("there is no room for another member")]
    Full,
    #[error(transparent)]
    Foca(#[from] foca::Error),
}

pub(crate) struct Swim {
    foca: Machine,
    effects: Effects,
    timers: BinaryHeap<Scheduled>,
    sequence: u64,
    /// When foca passes on what it has to tell, if there is anything. Its own timer for that would wake us all the time.
    gossip_at: Option<Time>,
    members: Members,
    events: VecDeque<SwimEvent>,
    rng: Xoshiro256PlusPlus,
    protocol: Protocol,
    leaving: bool,
    /// When we last took a new epoch because others held us for down.
    renewed_at: Option<Time>,
    /// Bytes that one packet may take.
    body_bytes: usize,
}

impl Swim {
    /// A membership of one, whose packets take at most `body_bytes`.
    pub(crate) fn new(
        identity: Identity,
        protocol: &Protocol,
        body_bytes: usize,
        seed: u64,
    ) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self {
            foca: machine(identity, body_bytes, &mut rng),
            effects: Effects::default(),
            timers: BinaryHeap::new(),
            sequence: 0,
            gossip_at: None,
            members: Members::default(),
            events: VecDeque::new(),
            rng,
            protocol: protocol.clone(),
            leaving: false,
            renewed_at: None,
            body_bytes,
        }
    }

    pub(crate) fn identity(&self) -> &Identity {
        self.foca.identity()
    }

    /// Every member that we know of, ourselves not included.
    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    pub(crate) fn active_peer(&self, node: NodeId) -> Option<&Identity> {
        self.members.active(node)
    }

    pub(crate) fn active_count(&self) -> usize {
        self.members.ring().len()
    }

    /// The active members, ourselves not included, on the ring that all share.
    pub(crate) fn ring(&self) -> &Ring {
        self.members.ring()
    }

    /// A number that changes whenever an active member does.
    pub(crate) fn generation(&self) -> u64 {
        self.members.generation()
    }

    /// Notes that a member was heard, and returns what is believed of it.
    pub(crate) fn heard(&mut self, node: NodeId, by: Sign, at: Time) -> Option<&Peer> {
        self.members.heard(node, Heard { at, by })
    }

    /// The active members with their incarnations, ourselves included: what a sync session tells.
    pub(crate) fn roster(&self) -> Vec<(Identity, u16)> {
        let mut roster: Vec<_> =
            self.foca.iter_members().map(|member| (*member.id(), member.incarnation())).collect();
        if !self.leaving {
            roster.push((*self.identity(), 0));
        }
        roster
    }

    /// One hash of the identities of all active members, ourselves included unless we leave: equal on two nodes when
    /// they know the same.
    pub(crate) fn digest(&self) -> u64 {
        let peers = self.members.digest();
        if self.leaving { peers } else { peers ^ member_hash(self.identity()) }
    }

    /// The same for each part of the ring.
    pub(crate) fn bucket_digests(&self) -> Vec<u64> {
        let mut buckets = self.members.buckets().to_vec();
        if !self.leaving {
            buckets[bucket_of(self.identity().node_id)] ^= member_hash(self.identity());
        }
        buckets
    }

    /// The active members on one part of the ring, ourselves included.
    pub(crate) fn bucket(&self, bucket: usize) -> Vec<Identity> {
        let own = (!self.leaving).then_some(*self.identity());
        self.members
            .iter_active()
            .copied()
            .chain(own)
            .filter(|identity| bucket_of(identity.node_id) == bucket)
            .collect()
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.timers.peek().map(|timer| timer.at).into_iter().chain(self.gossip_at).min()
    }

    pub(crate) fn poll_event(&mut self) -> Option<SwimEvent> {
        self.events.pop_front()
    }

    /// A packet for the network: where it goes, and its bytes as the wire carries them.
    pub(crate) fn poll_packet(&mut self) -> Option<(Identity, Vec<u8>)> {
        self.effects.packets.pop_front()
    }

    /// Takes a packet as the wire carried it.
    pub(crate) fn handle_packet(&mut self, packet: &[u8], now: Time) -> Result<(), PacketError> {
        if self.leaving {
            return Ok(());
        }
        let overheard = overhear(self.foca.identity(), packet);
        let packet =
            restore_destination(self.foca.identity(), packet).ok_or(PacketError::NotForUs)?;
        if overheard.calls_us_down
            && self.renewed_at.is_some_and(|at| now.since(at) < RENEW_MIN_GAP)
        {
            return Err(PacketError::RefutedBefore);
        }
        self.events.extend(overheard.elsewhere.map(SwimEvent::Elsewhere));
        if self.ring().len() >= MAX_ORIGINS && !self.is_from_a_peer(&packet) {
            return Err(PacketError::Full);
        }
        let result = self.foca.handle_data(&packet, &mut self.effects);
        self.settle(now);
        Ok(result?)
    }

    /// Takes what a peer knows of the active members.
    pub(crate) fn handle_roster(
        &mut self,
        roster: Vec<(Identity, u16)>,
        now: Time,
    ) -> Result<(), foca::Error> {
        if self.leaving {
            return Ok(());
        }
        let room = MAX_ORIGINS.saturating_sub(self.ring().len());
        let members = roster
            .into_iter()
            .take(room)
            .filter(|(identity, _)| identity.node_id != self.identity().node_id)
            .filter(|(identity, incarnation)| *incarnation > 0 || !self.knows(identity));
        let members: Vec<_> = members
            .map(|(identity, incarnation)| foca::Member::new(identity, incarnation, State::Alive))
            .collect();
        // MemberUpdates and rosters tell of whoever lives, too; where they are lost, gossip is what remains.
        let result = self.foca.apply_many(members.into_iter(), true, &mut self.effects);
        self.settle(now);
        result
    }

    /// Takes the word that a member lives.
    pub(crate) fn apply_alive(&mut self, identity: Identity, now: Time) -> Result<(), foca::Error> {
        self.handle_roster(vec![(identity, 0)], now)
    }

    /// Takes a verdict on a member as we know it. foca passes it on if `spread`.
    pub(crate) fn apply_down(
        &mut self,
        node: NodeId,
        spread: bool,
        now: Time,
    ) -> Result<(), foca::Error> {
        let Some(identity) = self.active_peer(node).copied().filter(|_| !self.leaving) else {
            return Ok(());
        };
        let down = foca::Member::new(identity, 0, State::Down);
        let result = self.foca.apply_many(std::iter::once(down), spread, &mut self.effects);
        self.settle(now);
        result
    }

    pub(crate) fn handle_deadline(&mut self, now: Time) -> Result<(), foca::Error> {
        let mut result = Ok(());
        if self.gossip_at.take_if(|at| *at <= now).is_some() {
            result = self.gossip(now);
        }
        while let Some(scheduled) = self.timers.peek()
            && scheduled.at <= now
            && let Some(Scheduled { timer, .. }) = self.timers.pop()
        {
            let forgotten = match &timer {
                Timer::RemoveDown(identity) => Some(*identity),
                // The detector probes; see above.
                Timer::ProbeRandomMember(_)
                | Timer::SendIndirectProbe { .. }
                | Timer::ChangeSuspectToDown { .. } => continue,
                _ => None,
            };
            let handled = self.foca.handle_timer(timer, &mut self.effects);
            result = result.and(handled);
            self.settle(now);
            // Unless it has come back since.
            if let Some(identity) = forgotten.filter(|identity| self.members.remove_down(identity))
            {
                self.events.push_back(SwimEvent::Peer(identity.node_id));
            }
        }
        result
    }

    /// Takes a higher epoch, because somebody remembers one of ours that we forgot.
    pub(crate) fn raise_epoch(&mut self, epoch: Epoch, now: Time) -> Result<(), foca::Error> {
        let identity =
            Identity { epoch: epoch.max(self.identity().epoch.next()), ..*self.identity() };
        let result = self.foca.change_identity(identity, &mut self.effects);
        // It takes itself to be disconnected now, until it hears of somebody again.
        let result = result.and(self.foca.apply_many(std::iter::empty(), false, &mut self.effects));
        self.events.push_back(SwimEvent::Renewed(identity.epoch));
        self.settle(now);
        result
    }

    /// Tells a few members that we leave; [`Swim::gossip`] tells more. Nothing is answered from here on.
    pub(crate) fn leave(&mut self, now: Time) -> Result<(), foca::Error> {
        self.leaving = true;
        let result = self.foca.leave_cluster(&mut self.effects);
        self.settle(now);
        result
    }

    pub(crate) fn gossip(&mut self, now: Time) -> Result<(), foca::Error> {
        let result = self.foca.gossip(&mut self.effects);
        self.settle(now);
        result
    }

    /// Schedules foca's timers and mirrors its notifications.
    fn settle(&mut self, now: Time) {
        while let Some((timer, after)) = self.effects.timers.pop_front() {
            self.sequence += 1;
            self.timers.push(Scheduled { at: now + after, sequence: self.sequence, timer });
        }
        let someone_to_tell = self.foca.updates_backlog() > 0 && self.foca.num_members() > 0;
        if someone_to_tell && !self.leaving {
            self.gossip_at.get_or_insert(now + self.protocol.gossip_period);
        }
        while let Some(notification) = self.effects.notifications.pop_front() {
            match notification {
                OwnedNotification::MemberUp(identity) => self.record(identity, None),
                OwnedNotification::MemberDown(identity) => self.record(identity, Some(now)),
                OwnedNotification::Rename(_, identity) => {
                    // What the table never had was never active; if it is now, that is told apart.
                    if let Some(Peer { down_since, .. }) =
                        self.members.get(identity.node_id).copied()
                    {
                        self.record(identity, down_since);
                    }
                }
                OwnedNotification::Active => self.events.push_back(SwimEvent::Connected),
                OwnedNotification::Idle => self.isolate(),
                OwnedNotification::Rejoin(identity) => {
                    self.renewed_at = Some(now);
                    self.events.push_back(SwimEvent::Renewed(identity.epoch));
                }
                OwnedNotification::Defunct => {}
            }
        }
    }

    /// Whether it would be no news to foca, which searches its whole list to find out, that a member lives.
    pub(crate) fn knows(&self, member: &Identity) -> bool {
        self.active_peer(member.node_id) == Some(member)
    }

    fn is_from_a_peer(&self, packet: &[u8]) -> bool {
        let header =
            foca::Codec::decode_header(&mut SwimCodec::new(self.identity().node_id), packet);
        header.is_ok_and(|header| self.members.get(header.src.node_id).is_some())
    }

    fn record(&mut self, identity: Identity, down_since: Option<Time>) {
        self.members.set(identity, down_since);
        self.events.push_back(SwimEvent::Peer(identity.node_id));
    }

    /// We have heard nobody for so long that no verdict of ours is worth anything: everybody is out of reach.
    pub(crate) fn lose_contact(&mut self, now: Time) {
        let active: Vec<Identity> = self.members.iter_active().copied().collect();
        for identity in active {
            self.record(identity, Some(now));
        }
        self.isolate();
    }

    /// Who hears nobody may be the one that is cut off. Its verdicts on the others would be final wherever they are
    /// gossiped later, so they are forgotten: a fresh machine under a new epoch, which wins over what the others may
    /// have said of the old one. The table still shows the members as down.
    fn isolate(&mut self) {
        if self.leaving {
            return;
        }
        if mutant::is(Mutant::KeepVerdictsAlone) {
            return self.events.push_back(SwimEvent::Isolated);
        }
        let identity = Identity { epoch: self.identity().epoch.next(), ..*self.identity() };
        self.foca = machine(identity, self.body_bytes, &mut self.rng);
        // The table still has to be rid of them one day.
        self.timers.retain(|scheduled| matches!(scheduled.timer, Timer::RemoveDown(_)));
        self.effects.timers.clear();
        self.gossip_at = None;
        self.events.push_back(SwimEvent::Renewed(identity.epoch));
        self.events.push_back(SwimEvent::Isolated);
    }
}
