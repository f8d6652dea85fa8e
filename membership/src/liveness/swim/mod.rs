//! The members as foca keeps them, mirrored by a table with an index and a ring of the active ones.
//!
//! foca implements SWIM (Das, Gupta, Motivala, "SWIM", DSN 2002, section 4). It merges what this node learns of
//! members, in any order. Of two identities of one node the higher epoch wins. Down is final for an identity, so a node
//! that is declared down goes on under a renewed identity. foca reports which members become active or cease to be
//! active, and forgets a member that has been down for a day.
//!
//! Here foca sends nothing and takes no packets. Member updates, listings and rosters spread what foca would gossip,
//! and verdicts of [`crate::liveness::detector`] take the place of its probes. `docs/protocol/liveness.md` has the
//! measurements behind this choice.

mod forgetting;
mod machine;
mod peers;
mod shuffle;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use foca::{OwnedNotification, State};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::liveness::heard::{Heard, Sign};
use crate::liveness::members::{Members, Peer, bucket_of, member_hash};
use crate::liveness::ring::Ring;

use forgetting::MAX_OTHERS;
use machine::{Effects, Machine, machine};

/// The least time between two renewals. Two agents under one node id that do not reach each other cannot find out which
/// gives way. Without a limit they would replace each other as fast as messages travel.
const RENEW_MIN_GAP: Duration = Duration::from_secs(1);

/// A change of the members, or of our own identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SwimEvent {
    /// A member's entry in the table is new or different.
    Peer(NodeId),
    /// There is an active member.
    Connected,
    /// There is no active member any more.
    Isolated,
    /// Our identity has a new epoch.
    Renewed(Epoch),
}

pub(crate) struct Swim {
    foca: Machine,
    effects: Effects,
    /// Members that are down, and when foca forgets each. All wait for the same time, so they are due in this order.
    forget_at: VecDeque<(Time, Identity)>,
    members: Members,
    /// Members that the table shows as down and foca holds alive: we alone believe that they are down.
    doubted: BTreeSet<NodeId>,
    /// Nodes that are never taken as members again. There are no more of them than revocations and certificates.
    shut_out: BTreeSet<NodeId>,
    events: VecDeque<SwimEvent>,
    rng: Xoshiro256PlusPlus,
    leaving: bool,
    /// When we last took a new epoch because others held us down.
    renewed_at: Option<Time>,
}

impl Swim {
    pub(crate) fn new(identity: Identity, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self {
            foca: machine(identity, &mut rng),
            effects: Effects::default(),
            forget_at: VecDeque::new(),
            members: Members::default(),
            doubted: BTreeSet::new(),
            shut_out: BTreeSet::new(),
            events: VecDeque::new(),
            rng,
            leaving: false,
            renewed_at: None,
        }
    }

    pub(crate) fn identity(&self) -> &Identity {
        self.foca.identity()
    }

    /// Every member that we know, ourselves not included.
    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    pub(crate) fn active_peer(&self, node: NodeId) -> Option<&Identity> {
        self.members.active(node)
    }

    pub(crate) fn active_count(&self) -> usize {
        self.members.ring().len()
    }

    /// The active members, ourselves not included, on the ring that all nodes share.
    pub(crate) fn ring(&self) -> &Ring {
        self.members.ring()
    }

    /// A number that changes whenever an active member comes, goes or changes.
    pub(crate) fn generation(&self) -> u64 {
        self.members.generation()
    }

    /// Notes that a member was heard, and returns its entry.
    pub(crate) fn heard(&mut self, node: NodeId, by: Sign, at: Time) -> Option<&Peer> {
        self.members.heard(node, Heard { at, by })
    }

    /// Notes that a member answered a ping at this address. Returns whether that is its address, and news.
    pub(crate) fn prove(&mut self, node: NodeId, addr: SocketAddr) -> bool {
        self.members.prove(node, addr)
    }

    /// The active members, ourselves included unless we leave. A sync session tells them.
    pub(crate) fn roster(&self) -> Vec<Identity> {
        let own = (!self.leaving).then_some(*self.identity());
        self.members.iter_active().copied().chain(own).collect()
    }

    /// One hash of the identities of all active members, ourselves included unless we leave. Two nodes with the same
    /// view have the same digest.
    pub(crate) fn digest(&self) -> u64 {
        let peers = self.members.digest();
        if self.leaving { peers } else { peers ^ member_hash(self.identity()) }
    }

    /// One such hash for each part of the ring.
    pub(crate) fn bucket_digests(&self) -> Vec<u64> {
        let mut buckets = self.members.buckets().to_vec();
        if !self.leaving {
            buckets[bucket_of(self.identity().node_id)] ^= member_hash(self.identity());
        }
        buckets
    }

    /// The active members on one part of the ring, ourselves included.
    pub(crate) fn bucket(&self, bucket: usize) -> Vec<Identity> {
        let on_bucket = |identity: &Identity| bucket_of(identity.node_id) == bucket;
        self.roster().into_iter().filter(on_bucket).collect()
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.forget_at.front().map(|(at, _)| *at)
    }

    pub(crate) fn poll_event(&mut self) -> Option<SwimEvent> {
        self.events.pop_front()
    }

    /// Takes a roster: the active members that a peer knows.
    pub(crate) fn handle_roster(
        &mut self,
        roster: Vec<Identity>,
        now: Time,
    ) -> Result<(), foca::Error> {
        if self.leaving {
            return Ok(());
        }
        let room = MAX_OTHERS.saturating_sub(self.ring().len());
        let members = roster
            .into_iter()
            .filter(|identity| identity.node_id != self.identity().node_id)
            .filter(|identity| !self.knows(identity))
            .filter(|identity| !self.shut_out.contains(&identity.node_id))
            .take(room)
            .map(foca::Member::alive);
        let members: Vec<_> = members.collect();
        let result = self.foca.apply_many(members.into_iter(), false, &mut self.effects);
        self.settle(now);
        result.and(self.forget_the_excess())
    }

    /// Takes an update that a member is alive.
    pub(crate) fn apply_alive(&mut self, identity: Identity, now: Time) -> Result<(), foca::Error> {
        self.handle_roster(vec![identity], now)
    }

    /// Takes a verdict on an active or doubted member, under the identity that we know.
    pub(crate) fn apply_down(&mut self, node: NodeId, now: Time) -> Result<(), foca::Error> {
        let Some(identity) = self.held_alive(node).copied().filter(|_| !self.leaving) else {
            return Ok(());
        };
        let down = foca::Member::new(identity, 0, State::Down);
        let result = self.foca.apply_many(std::iter::once(down), false, &mut self.effects);
        self.settle(now);
        result.and(self.forget_the_excess())
    }

    /// Takes a node out of the members for good.
    pub(crate) fn shut_out(&mut self, node: NodeId, now: Time) -> Result<(), foca::Error> {
        self.shut_out.insert(node);
        self.apply_down(node, now)
    }

    /// Shows an active member as down, because we alone believe it. For foca the member stays alive, so that one sign
    /// of life is enough for its return.
    pub(crate) fn doubt(&mut self, node: NodeId, now: Time) {
        let Some(identity) = self.active_peer(node).copied().filter(|_| !self.leaving) else {
            return;
        };
        self.record(identity, Some(now));
        self.doubted.insert(node);
        self.forget_later(identity, now);
        if self.active_count() == 0 {
            self.isolate();
        }
    }

    /// A member that foca holds alive: an active one, or a doubted one.
    pub(crate) fn held_alive(&self, node: NodeId) -> Option<&Identity> {
        self.members
            .get(node)
            .filter(|peer| peer.is_active() || self.is_doubted(node))
            .map(|peer| &peer.identity)
    }

    /// Whether we alone believe that a member is down.
    pub(crate) fn is_doubted(&self, node: NodeId) -> bool {
        self.doubted.contains(&node)
    }

    /// Shows a doubted member as active again, because it gave a sign of life. Returns whether it was doubted.
    pub(crate) fn trust_again(&mut self, node: NodeId) -> bool {
        let known = self.members.get(node).map(|peer| peer.identity);
        let Some(identity) = known.filter(|_| self.is_doubted(node) && !self.leaving) else {
            return false;
        };
        self.record(identity, None);
        true
    }

    /// Takes the next epoch, because a peer holds us down. Returns whether it did: at most once a second, and not
    /// beyond the last epoch.
    pub(crate) fn renew(&mut self, now: Time) -> Result<bool, foca::Error> {
        let lately = self.renewed_at.is_some_and(|at| now.since(at) < RENEW_MIN_GAP);
        if lately || self.leaving || self.identity().epoch == Epoch::MAX {
            return Ok(false);
        }
        self.renewed_at = Some(now);
        let own = foca::Member::new(*self.identity(), 0, State::Down);
        let result = self.foca.apply_many(std::iter::once(own), false, &mut self.effects);
        self.settle(now);
        result.map(|()| true)
    }

    /// Takes a higher epoch, because a peer remembers one of ours that we do not know.
    pub(crate) fn raise_epoch(&mut self, epoch: Epoch, now: Time) -> Result<(), foca::Error> {
        let identity =
            Identity { epoch: epoch.max(self.identity().epoch.next()), ..*self.identity() };
        let result = self.foca.change_identity(identity, &mut self.effects);
        // After the change foca takes itself to be disconnected. An empty update makes it count its members again.
        let result = result.and(self.foca.apply_many(std::iter::empty(), false, &mut self.effects));
        self.events.push_back(SwimEvent::Renewed(identity.epoch));
        self.settle(now);
        result
    }

    /// Ignores all rosters and updates from now on.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
    }

    /// Notes when foca will forget members, and mirrors its notifications in the table.
    fn settle(&mut self, now: Time) {
        let forgets =
            self.effects.forgets.drain(..).map(|(identity, after)| (now + after, identity));
        self.forget_at.extend(forgets);
        while let Some(notification) = self.effects.notifications.pop_front() {
            match notification {
                OwnedNotification::MemberUp(identity) => self.record(identity, None),
                OwnedNotification::MemberDown(identity) => self.record(identity, Some(now)),
                OwnedNotification::Rename(_, identity) => {
                    // A member that is not in the table was never active. If it becomes active, foca reports that
                    // separately.
                    if let Some(Peer { down_since, .. }) =
                        self.members.get(identity.node_id).copied()
                    {
                        // A doubted member that has a later epoch lives, and foca has held it alive all the time.
                        let is_doubted = self.doubted.contains(&identity.node_id);
                        self.record(identity, down_since.filter(|_| !is_doubted));
                    }
                }
                OwnedNotification::Active => self.events.push_back(SwimEvent::Connected),
                OwnedNotification::Idle => self.isolate(),
                OwnedNotification::Rejoin(identity) => {
                    self.events.push_back(SwimEvent::Renewed(identity.epoch));
                }
                OwnedNotification::Defunct => {}
            }
        }
    }

    /// Whether a member is already active under this identity. Such members are not handed to foca, which would search
    /// its whole list to find that nothing changes.
    pub(crate) fn knows(&self, member: &Identity) -> bool {
        self.active_peer(member.node_id) == Some(member)
    }

    fn record(&mut self, identity: Identity, down_since: Option<Time>) {
        self.members.set(identity, down_since);
        self.doubted.remove(&identity.node_id);
        self.events.push_back(SwimEvent::Peer(identity.node_id));
    }

    /// Marks all members as down, because we have heard none of them for so long that we may be the one that is cut
    /// off.
    pub(crate) fn lose_contact(&mut self, now: Time) {
        let active: Vec<Identity> = self.members.iter_active().copied().collect();
        for identity in active {
            self.record(identity, Some(now));
            self.forget_later(identity, now);
        }
        self.isolate();
    }

    /// Begins anew with a fresh foca under a new epoch, because there is no active member any more. A node that hears
    /// no other member may be the one that is cut off. Its verdicts on the others would be final in foca, so they are
    /// forgotten. The new epoch wins over verdicts that the others passed on the old one. The table still shows the
    /// members as down.
    fn isolate(&mut self) {
        if self.leaving {
            return;
        }
        if mutant::is(Mutant::KeepVerdictsAlone) {
            return self.events.push_back(SwimEvent::Isolated);
        }
        let identity = Identity { epoch: self.identity().epoch.next(), ..*self.identity() };
        self.foca = machine(identity, &mut self.rng);
        self.doubted.clear();
        self.events.push_back(SwimEvent::Renewed(identity.epoch));
        self.events.push_back(SwimEvent::Isolated);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_millis(0);

    fn identity(node: u64, epoch: u64) -> Identity {
        let addr = ([10, 0, 0, node as u8], 7_946).into();
        Identity { node_id: NodeId(node), epoch: Epoch(epoch), addr, sync_port: 7_947 }
    }

    fn swim() -> Swim {
        Swim::new(identity(1, 7), 3)
    }

    fn events(swim: &mut Swim) -> Vec<SwimEvent> {
        std::iter::from_fn(|| swim.poll_event()).collect()
    }

    #[test]
    fn a_member_that_is_down_returns_under_a_later_epoch_alone() {
        let mut swim = swim();
        for node in [2, 3] {
            swim.apply_alive(identity(node, 5), START).expect("taken");
        }
        swim.apply_down(NodeId(2), START).expect("taken");
        for (epoch, lives) in [(4, false), (5, false), (6, true)] {
            swim.apply_alive(identity(2, epoch), START).expect("taken");
            assert_eq!(swim.active_peer(NodeId(2)).is_some(), lives, "epoch {epoch}");
        }
        assert_eq!(swim.active_peer(NodeId(2)), Some(&identity(2, 6)));
    }

    #[test]
    fn a_renewal_takes_the_next_epoch_at_most_once_a_second_and_loses_nobody() {
        let mut swim = swim();
        swim.apply_alive(identity(2, 5), START).expect("taken");
        events(&mut swim);
        for (ms, renews, epoch) in [(0, true, 8), (999, false, 8), (1_000, true, 9)] {
            let now = Time::from_millis(ms);
            assert_eq!(swim.renew(now).expect("taken"), renews, "after {ms} ms");
            assert_eq!(swim.identity(), &identity(1, epoch));
            let renewed = [SwimEvent::Renewed(Epoch(epoch)), SwimEvent::Connected];
            assert_eq!(events(&mut swim), if renews { &renewed[..] } else { &[] });
        }
        assert_eq!(swim.active_peer(NodeId(2)), Some(&identity(2, 5)));
    }

    #[test]
    fn the_last_epoch_is_not_renewed() {
        let mut swim = Swim::new(identity(1, Epoch::MAX.0), 3);
        assert!(!swim.renew(START).expect("taken"));
        swim.apply_alive(identity(2, 5), START).expect("taken");
        assert_eq!(swim.active_count(), 1, "foca goes on as before");
    }

    #[test]
    fn a_member_that_is_down_is_forgotten_after_a_day_unless_it_returns() {
        let mut swim = swim();
        for node in 2..5 {
            swim.apply_alive(identity(node, 5), START).expect("taken");
        }
        for node in [2, 3] {
            swim.apply_down(NodeId(node), START).expect("taken");
        }
        swim.apply_alive(identity(3, 6), START).expect("taken");
        events(&mut swim);
        let due = swim.next_deadline().expect("a member to forget");
        assert_eq!(due, START + Duration::from_secs(24 * 60 * 60));
        swim.handle_deadline(due).expect("handled");
        assert_eq!(events(&mut swim), [SwimEvent::Peer(NodeId(2))]);
        assert!(swim.members().get(NodeId(2)).is_none());
        assert_eq!(swim.active_peer(NodeId(3)), Some(&identity(3, 6)));
        assert_eq!(swim.next_deadline(), None);
    }

    #[test]
    fn when_the_last_member_goes_down_we_are_isolated_under_a_new_epoch() {
        let mut swim = swim();
        swim.apply_alive(identity(2, 5), START).expect("taken");
        swim.apply_down(NodeId(2), START).expect("taken");
        let last = events(&mut swim).split_off(2);
        let alone = [SwimEvent::Renewed(Epoch(8)), SwimEvent::Isolated];
        assert_eq!(last, [&[SwimEvent::Peer(NodeId(2))], &alone[..]].concat());
        swim.apply_alive(identity(2, 5), START).expect("taken");
        assert_eq!(
            swim.active_peer(NodeId(2)),
            Some(&identity(2, 5)),
            "the verdict on it is forgotten"
        );
    }
}
