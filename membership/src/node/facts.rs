//! Carrying the facts of each plane to the other plane, to the view and to the owner of the node.

use super::Node;
use super::io::{Event, Output};
use super::peers::Pools;
use super::view::{Member, MemberStatus, OriginStatus};
use crate::base::identity::NodeId;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::catalog::record::{Key, Text};
use crate::liveness::ends::End;
use crate::liveness::facts::Fact as LivenessFact;
use crate::spread::facts::Fact as SpreadFact;

impl Node {
    /// Passes on the outputs of both planes, in order, and handles their facts.
    pub(super) fn pass_on(&mut self, now: Time) {
        self.pass_on_pools(now);
        self.pass_on_spread(now);
        self.pass_on_requests(now);
        self.carry_out_acts(now);
    }

    /// Passes on the outputs of the pool and of the other datacenters. Each may tell the other something.
    fn pass_on_pools(&mut self, now: Time) {
        loop {
            while let Some(output) = self.liveness.poll_output() {
                match output.split(|packed| self.close(&packed, now)) {
                    Ok(Some(work)) => self.put_out(work, now),
                    Ok(None) => {}
                    Err(fact) => self.take_liveness_fact(fact, now),
                }
            }
            let Some(output) = self.wan.poll_output() else { return };
            match output.split(|packed| self.close(&packed, now)) {
                Ok(Some(work)) => self.put_out(work, now),
                Ok(None) => {}
                Err(fact) => self.take_wan_fact(fact, now),
            }
        }
    }

    fn pass_on_spread(&mut self, now: Time) {
        while let Some(output) = self.spread.poll_output() {
            match output.split(|packed| self.close(&packed, now)) {
                Ok(Some(work)) => self.put_out(work, now),
                Ok(None) => {}
                Err(fact) => self.take_spread_fact(fact, now),
            }
        }
    }

    fn take_liveness_fact(&mut self, fact: LivenessFact, now: Time) {
        match fact {
            LivenessFact::Member(_)
                if mutant::is(Mutant::DropMemberEvent)
                    && self.counters.datagrams_received.is_multiple_of(4) => {}
            LivenessFact::Member(node) => {
                if self.liveness.members().get(node).is_none() {
                    self.spread.forget(node);
                }
                let is_active = self.liveness.members().active(node).is_some();
                if !is_active {
                    self.requests.member_lost(node);
                }
                self.note_strong_member(node, is_active);
                self.review_home(node, now);
                self.review_member(node, now);
            }
            LivenessFact::Remote(update) => self.wan.take_update(&update, now),
            LivenessFact::Proven(node) => self.answer_questions(node, now),
            LivenessFact::EpochPassed(epoch) => {
                self.spread.begin_epoch(epoch, now);
                self.note_strong_records(self.identity().node_id, &[], now);
            }
            LivenessFact::Reachable(peer) => {
                let peers = Pools { liveness: &mut self.liveness, wan: &mut self.wan };
                self.spread.join(&peer, &peers, now);
            }
            LivenessFact::DatagramsBlocked => {
                self.emit(Event::DatagramsBlocked);
                self.spread.hurry_sync(now);
            }
            LivenessFact::GaveWay { to } => {
                self.emit(Event::GaveWay { to });
                self.spread.fail_all_sessions();
            }
            LivenessFact::Connected => {
                self.with_guard(|guard| guard.note_connected(true, now), now);
                self.emit(Event::Connected);
            }
            LivenessFact::Isolated => {
                self.with_guard(|guard| guard.note_connected(false, now), now);
                self.emit(Event::Isolated);
            }
            LivenessFact::EpochRaised(epoch) => {
                self.review_home(self.identity().node_id, now);
                self.note_strong_records(self.identity().node_id, &[], now);
                self.emit(Event::EpochRaised(epoch));
            }
            LivenessFact::Welcomed { by } => self.emit(Event::Welcomed { by }),
            LivenessFact::FarPool(round_trip) => self.emit(Event::FarPool { round_trip }),
            LivenessFact::Stalled(slept) => self.emit(Event::Stalled(slept)),
            LivenessFact::DeclaredDown(verdict) => self.emit(Event::DeclaredDown(verdict)),
            LivenessFact::DatagramsPass => self.emit(Event::DatagramsPass),
            LivenessFact::LinkBroken(node) => self.emit(Event::LinkBroken { node }),
            LivenessFact::LinkEnded(node, end) => self.emit(Event::LinkEnded { node, end }),
            LivenessFact::DuplicateNodeId { address } => {
                self.emit(Event::DuplicateNodeId { address });
            }
            LivenessFact::Resumed => {
                self.wan.resume(now);
                self.emit(Event::Resumed);
            }
        }
        self.pass_on_spread(now);
    }

    fn take_spread_fact(&mut self, fact: SpreadFact, now: Time) {
        match fact {
            SpreadFact::Records { origin, keys } => {
                self.review_rights(origin, &keys, now);
                self.refresh(origin, &keys);
                self.note_strong_records(origin, &keys, now);
                if keys.contains(&Key::Node) {
                    self.review_home(origin, now);
                }
                if keys.contains(&Key::Node) && origin != self.identity().node_id {
                    self.refresh_member(origin, now);
                }
            }
            SpreadFact::ForceLeft { node, told_by } => {
                self.emit(Event::ForceLeft { node, told_by });
                self.liveness.note_force_leave(node);
            }
            SpreadFact::Heard(peer) => self.liveness.hear_in_session(peer, now),
            SpreadFact::Duplicate(identity) => {
                self.liveness.meet_duplicate(&identity, now);
                self.pass_on(now);
            }
            SpreadFact::Confirmation(outcome) => self.emit(Event::Confirmation(outcome)),
            SpreadFact::Joined => self.liveness.joined(),
        }
    }

    pub(super) fn refresh(&mut self, origin: NodeId, keys: &[Key]) {
        let status = self.origin_status(origin);
        let guard = self.guard.as_deref();
        let may_serve =
            |service: &Text| guard.is_none_or(|guard| guard.hides(origin, service).is_none());
        let changes = self.view.refresh(self.spread.catalog(), origin, status, keys, may_serve);
        for change in changes {
            self.emit(Event::Instance(change));
        }
    }

    pub(super) fn refresh_member(&mut self, node: NodeId, now: Time) {
        let (before, member) = (self.view.status_of(node), self.believed_member(node));
        let is_remote = self.wan.remote(node).is_some();
        self.review_name(node, member.as_ref().filter(|_| !is_remote), now);
        let is_forgotten = member.is_none();
        let change = self.view.refresh_member(node, member);
        if !is_remote && (is_forgotten || change.is_some()) {
            let status = change.as_ref().map(|change| change.member.status);
            self.note_loss(node, before, status, now);
        }
        self.outputs.extend(change.map(|change| Output::Event(Event::Member(change))));
    }

    /// A member as both planes show it, without regard to suspicions.
    pub(super) fn believed_member(&self, node: NodeId) -> Option<Member> {
        let record = self.spread.description(node).cloned();
        if node == self.identity().node_id {
            let status =
                if self.leaving.is_some() { MemberStatus::Left } else { MemberStatus::Alive };
            return Some(Member { identity: *self.identity(), node: record, status });
        }
        if self.wan.remote(node).is_some() {
            return self.remote_member(node, record);
        }
        let identity = self.liveness.members().get(node)?.identity;
        let status = match self.origin_status(node) {
            OriginStatus::Active => MemberStatus::Alive,
            OriginStatus::Down { .. } => MemberStatus::Down,
            OriginStatus::Gone(status) => status,
        };
        Some(Member { identity, node: record, status })
    }

    pub(super) fn origin_status(&self, node: NodeId) -> OriginStatus {
        if node == self.identity().node_id {
            return OriginStatus::Active;
        }
        self.remote_status(node).unwrap_or_else(|| self.pool_status(node))
    }

    /// The status of an origin of our own pool, or of none.
    pub(super) fn pool_status(&self, node: NodeId) -> OriginStatus {
        let left = self.catalog().left(node);
        let peer = self.liveness.members().get(node);
        let has_left =
            left.is_some_and(|epoch| peer.is_none_or(|peer| peer.identity.epoch <= epoch));
        // The member update that it leaves may arrive before its node record says so.
        if has_left || self.liveness.said_it_leaves(node) {
            return OriginStatus::Gone(MemberStatus::Left);
        }
        match self.liveness.end_of(node) {
            Some(End::ForceLeft) => return OriginStatus::Gone(MemberStatus::ForceLeft),
            Some(End::Revoked) => return OriginStatus::Gone(MemberStatus::Revoked),
            Some(End::Replaced(_)) => return OriginStatus::Gone(MemberStatus::Replaced),
            None => {}
        }
        match peer.map(|peer| peer.down_since) {
            Some(None) => OriginStatus::Active,
            Some(Some(since)) => OriginStatus::Down { since },
            None => OriginStatus::Down { since: Time::ZERO },
        }
    }
}
