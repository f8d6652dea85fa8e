//! Sync sessions: opening them, serving them, and handling their frames.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;

use super::Spread;
use super::facts::Fact;
use super::news::Learned;
use super::peers::Peers;
use super::provenance::Route;
use super::session::{Session, SessionStep};
use crate::base::identity::{Identity, NodeId};
use crate::base::io::StreamId;
use crate::base::limits::{
    MAX_FRAME_BYTES, MAX_REPAIRS_OPENED, MAX_REPAIRS_SERVED, MAX_SESSIONS_OPENED,
    MAX_SESSIONS_SERVED,
};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::catalog::Scope;
use crate::codec::DecodeError;
use crate::wire::{Frame, Opening, WireError};

/// The period in which a node that only streams reach opens sessions: nothing else carries news to it or from it.
const PERIOD_WITHOUT_DATAGRAMS: Duration = Duration::from_secs(1);

/// The state that decides when this node opens sessions, and which session sends next.
#[derive(Debug, Default)]
pub(super) struct SyncSchedule {
    /// The peer to open a session with as soon as one may be opened.
    requested: Option<Identity>,
    /// The earliest time for the next session for repair.
    not_before: Time,
    /// The number of differing digests in a row without a head that explains the difference.
    pub(super) mismatches: u32,
    /// Sessions with members that answered our hello.
    joins: BTreeSet<StreamId>,
    /// The session that sent the last frame for repair.
    last_repair: StreamId,
}

/// The members that a peer lists in a session.
pub(crate) struct SessionMembers {
    /// The peer.
    pub(crate) from: Option<NodeId>,
    /// The members.
    pub(crate) members: Vec<Identity>,
}

impl Spread {
    /// Requests a session. While none may be opened, a later request replaces an earlier one.
    pub(super) fn request_sync(&mut self, peer: &Identity) {
        self.sync.requested = Some(*peer);
    }

    /// Makes the next periodic session due at once.
    pub(crate) fn hurry_sync(&mut self, now: Time) {
        if !self.leaving {
            self.timers.set(Timer::PeriodicSync, now);
        }
    }

    /// Sets the timers of sessions. It looks through all sessions, since they are few.
    pub(super) fn set_sync_timers(&mut self) {
        let timeout =
            self.sessions.values().map(|s| s.deadline(self.protocol.session_timeout)).min();
        let put_off = self.sessions.values().filter(|session| session.is_put_off());
        let put_off = put_off.map(|session| match session.home() {
            None => self.budget.ready_for_session_at(),
            Some(home) => self.gateways.links.ready_at(home),
        });
        let put_off = put_off.min();
        self.timers.put(Timer::Session, timeout.into_iter().chain(put_off).min());
        let may_open = !self.leaving && self.opened_sessions() < MAX_REPAIRS_OPENED;
        let requested = self.sync.requested.filter(|_| may_open);
        self.timers.put(Timer::RequestedSync, requested.map(|_| self.sync.not_before));
    }

    /// Drops sessions that stall, and opens those that are due.
    pub(super) fn handle_sync_deadlines(&mut self, peers: &mut dyn Peers, now: Time) {
        self.drop_stalled_sessions(now);
        if self.leaving {
            return;
        }
        if self.timers.is_expired(Timer::PeriodicSync, now) {
            let mut period = self.protocol.sync_period;
            if peers.are_datagrams_blocked() {
                period = period.min(PERIOD_WITHOUT_DATAGRAMS);
            }
            let jitter = 0.75 + self.rng.random::<f64>() / 2.0;
            self.timers.set(Timer::PeriodicSync, now + period.mul_f64(jitter));
            if let Some(peer) = peers.random()
                && !mutant::is(Mutant::NeverRepair)
            {
                self.sync.requested.get_or_insert(peer);
            }
        }
        if self.sync.not_before <= now
            && self.opened_sessions() < MAX_REPAIRS_OPENED
            && let Some(peer) = self.sync.requested.take()
        {
            let stream = self.open_session(&peer, peers, now);
            if let Some(session) = stream.and_then(|stream| self.sessions.get_mut(&stream)) {
                session.mark_repair();
            }
        }
    }

    /// Opens a session with a member that answered our hello, unless there is one already.
    pub(crate) fn join(&mut self, peer: &Identity, peers: &dyn Peers, now: Time) {
        let is_peer =
            |session: &Session| session.peer().is_some_and(|other| other.node_id == peer.node_id);
        if self.sessions.values().any(is_peer) {
            return;
        }
        if let Some(stream) = self.open_session(peer, peers, now) {
            self.sync.joins.insert(stream);
        }
    }

    fn open_session(&mut self, peer: &Identity, peers: &dyn Peers, now: Time) -> Option<StreamId> {
        if self.opened_sessions() >= MAX_SESSIONS_OPENED {
            return None;
        }
        let jitter = 1.0 + self.rng.random::<f64>() / 2.0;
        self.sync.not_before = now + self.protocol.sync_min_gap.mul_f64(jitter);
        Some(self.begin_session(peer, Scope::All, peers, now))
    }

    /// Opens a session about a part of the catalog.
    pub(super) fn begin_session(
        &mut self,
        peer: &Identity,
        scope: Scope,
        peers: &dyn Peers,
        now: Time,
    ) -> StreamId {
        let stream = self.streams.take();
        self.out.counters.sessions_opened += 1;
        self.out.open(stream, peer);
        self.sessions.insert(stream, Session::open(*peer, self.opening(scope, peers), now));
        stream
    }

    /// The number of sessions that we serve.
    pub(crate) fn sessions_served(&self) -> usize {
        self.sessions.keys().filter(|stream| stream.is_accepted()).count()
    }

    /// The number of sessions, served and opened.
    pub(crate) fn sessions_open(&self) -> usize {
        self.sessions.len()
    }

    /// Serves a session on a stream, if there is room for it. Returns whether there is.
    pub(crate) fn serve(&mut self, stream: StreamId, now: Time) -> bool {
        if self.sessions_served() >= MAX_SESSIONS_SERVED || self.sessions.contains_key(&stream) {
            return false;
        }
        self.out.counters.sessions_served += 1;
        self.sessions.insert(stream, Session::serve(now));
        true
    }

    /// Refuses to serve a session on a stream.
    pub(crate) fn refuse(&mut self, stream: StreamId) {
        self.out.counters.sessions_refused += 1;
        self.out.reset(stream);
    }

    /// Whether a stream was opened by a peer that has sent no opening yet.
    pub(crate) fn is_fresh(&self, stream: StreamId) -> bool {
        self.sessions.get(&stream).is_some_and(|session| session.peer().is_none())
    }

    /// Forgets a stream that turned out to be a stream probe and no session.
    pub(crate) fn hand_over(&mut self, stream: StreamId) {
        self.sessions.remove(&stream);
        self.out.counters.sessions_completed += 1;
    }

    /// Handles a frame of a session. Returns the members that the frame lists, and the peer that lists them; the caller
    /// answers them with [`Spread::tell_members`].
    pub(crate) fn handle_frame(
        &mut self,
        stream: StreamId,
        bytes: &[u8],
        peers: &mut dyn Peers,
        now: Time,
    ) -> Option<SessionMembers> {
        let session = self.sessions.get_mut(&stream)?;
        let counters = &mut self.out.counters;
        let frame = match Frame::read(bytes) {
            Ok((Frame::Members(members), skipped))
                if skipped > 0 && members.is_empty() && session.skip(bytes.len(), now) =>
            {
                counters.kinds_unknown += u64::from(skipped);
                return None;
            }
            Ok((frame, skipped)) => {
                counters.kinds_unknown += u64::from(skipped);
                Some(frame)
            }
            Err(WireError::Content(DecodeError::Unknown(_))) if session.skip(bytes.len(), now) => {
                counters.kinds_unknown += 1;
                return None;
            }
            Err(_) => None,
        };
        if let Some(Frame::Opening(opening)) = &frame
            && opening.cluster != self.out.mark()
        {
            self.out.counters.sessions_other_cluster += 1;
            self.fail_session(stream);
            return None;
        }
        let len = bytes.len();
        let step = frame.and_then(|frame| session.handle(frame, len, &self.catalog, now).ok());
        let Some(step) = step else {
            self.out.counters.messages_invalid += 1;
            self.fail_session(stream);
            return None;
        };
        let peer = self.sessions.get(&stream).and_then(Session::peer).map(|peer| peer.node_id);
        match self.sessions.get(&stream).and_then(Session::home) {
            Some(home) => peers.heard(home, now),
            None => {
                let other = peer.filter(|peer| *peer != self.own);
                other.into_iter().for_each(|peer| self.out.tell(Fact::Heard(peer)));
            }
        }
        match step {
            SessionStep::Opened(opening) => self.answer_opening(stream, &opening, peers),
            SessionStep::Members(members) => return Some(SessionMembers { from: peer, members }),
            SessionStep::Deltas(deltas) => {
                self.out.counters.session_deltas_received += deltas.len() as u64;
                let scope = self.sessions.get(&stream).map(Session::scope).unwrap_or_default();
                let is_about_us = scope == Scope::Datacenter(peers.own());
                for delta in &deltas {
                    if is_about_us && delta.has_withheld() {
                        self.out.counters.withheld_refused += 1;
                        continue;
                    }
                    let from = peer.unwrap_or(self.own);
                    let learned = self.learn(delta, from, Route::Session, peers, now);
                    if scope != Scope::All {
                        self.out.counters.far_records_received += delta.entries.len() as u64;
                        if learned == Learned::News {
                            self.push_bulk(delta);
                        }
                    }
                }
            }
            SessionStep::Nothing => {}
            SessionStep::Compare => {
                let session = self.sessions.get(&stream);
                let told = session.and_then(|session| session.told_epoch(self.own));
                self.compare_epoch(self.own, told.unwrap_or_default(), peers, now);
                if let Some(session) = self.sessions.get_mut(&stream) {
                    session.compare(&self.catalog, |origin| self.recent.when_moved(origin));
                }
            }
        }
        self.complete_session(stream);
        None
    }

    /// Tells our members in a session in which the peer told its own.
    pub(crate) fn tell_members(&mut self, stream: StreamId, roster: &[Identity]) {
        if let Some(session) = self.sessions.get_mut(&stream) {
            session.tell_members(roster);
        }
        self.complete_session(stream);
    }

    /// Notes that the transport wrote one of our frames.
    pub(crate) fn stream_written(&mut self, stream: StreamId, now: Time) {
        if let Some(session) = self.sessions.get_mut(&stream) {
            session.written(now);
        }
    }

    /// Notes that a stream is over.
    pub(crate) fn stream_closed(&mut self, stream: StreamId) {
        self.sync.joins.remove(&stream);
        if let Some(session) = self.sessions.remove(&stream) {
            self.note_session_over(stream, &session, false);
            self.out.counters.sessions_failed += 1;
        }
    }

    /// Hands frames to the transport, as far as it has room and there is bandwidth. Sessions for repair take turns.
    pub(super) fn pump_sessions(&mut self, now: Time) {
        let last = self.sync.last_repair;
        let mut streams: Vec<StreamId> = self.sessions.keys().copied().collect();
        let next = streams.partition_point(|stream| *stream <= last);
        streams.rotate_left(next);
        for stream in streams {
            while let Some(mut frame) = self.next_frame(stream, now) {
                if self.sessions.get(&stream).is_some_and(|session| session.home().is_some()) {
                    self.withhold_in_frame(&mut frame);
                }
                self.send_session_frame(stream, &frame, now);
            }
            self.complete_session(stream);
        }
    }

    fn next_frame(&mut self, stream: StreamId, now: Time) -> Option<Frame> {
        let session = self.sessions.get_mut(&stream)?;
        let is_repair = session.is_repair();
        let longest = if is_repair { self.budget.session_frame_bytes() } else { MAX_FRAME_BYTES };
        if !session.is_ready(&self.catalog, longest) {
            return None;
        }
        let is_waiting = match session.home() {
            None => is_repair && !self.budget.is_ready_for_session(now),
            Some(home) => !self.gateways.links.is_ready(home, now),
        };
        if is_waiting {
            self.out.counters.frames_put_off += u64::from(session.put_off());
            return None;
        }
        session.next_frame()
    }

    fn send_session_frame(&mut self, stream: StreamId, frame: &Frame, now: Time) {
        let Some(session) = self.sessions.get_mut(&stream) else { return };
        let Some(len) = self.out.send_frame(stream, frame) else {
            return self.fail_session(stream);
        };
        session.sent(len);
        if let Some(home) = session.home() {
            self.gateways.links.spend(home, len, now);
        } else if session.is_repair() {
            self.budget.spend_on_session(len, now);
            self.sync.last_repair = stream;
        }
    }

    /// Answers a peer that opened a session. The session fails if the peer is ourselves, if it already has a session in
    /// this or a later life, or if it is a member and the places for sessions with members are taken.
    fn answer_opening(&mut self, stream: StreamId, opening: &Opening, peers: &dyn Peers) {
        let peer = opening.identity;
        if peer.node_id == self.own {
            self.out.tell(Fact::Duplicate(peer));
            return self.fail_session(stream);
        }
        let scope = Scope::from(opening.scope);
        let is_far = peers.own().is_other(opening.datacenter);
        let is_about_isolated = scope.datacenter().is_some_and(|part| peers.is_isolated(part));
        if is_far && (is_about_isolated || peers.is_isolated(opening.datacenter)) {
            self.out.counters.isolated_ignored += 1;
            return self.fail_session(stream);
        }
        if is_far && !self.take_far_session(stream, opening.datacenter, scope) {
            return self.fail_session(stream);
        }
        let served =
            self.sessions.iter().filter(|(other, _)| other.is_accepted() && **other != stream);
        let served = served.filter_map(|(other, session)| Some((*other, *session.peer()?)));
        let served: Vec<(StreamId, Identity)> = served.collect();
        if let Some((other, life)) = served.iter().find(|(_, life)| life.node_id == peer.node_id) {
            if life.epoch >= peer.epoch {
                self.out.counters.sessions_duplicate += 1;
                return self.fail_session(stream);
            }
            // The earlier life is over, so its session cannot continue.
            self.fail_session(*other);
        }
        let is_member = |identity: &Identity| peers.active(identity.node_id).is_some();
        let repairs = served.iter().filter(|(_, peer)| is_member(peer)).count();
        if is_member(&peer) && repairs >= MAX_REPAIRS_SERVED {
            self.out.counters.sessions_refused += 1;
            return self.fail_session(stream);
        }
        let ours = self.opening(scope, peers);
        let tells_members = scope == Scope::All && ours.members != opening.members;
        let roster = tells_members.then(|| peers.roster());
        if roster.is_none() && ours.catalog == opening.catalog {
            self.out.counters.sessions_equal += 1;
        }
        let is_known = peers.active(peer.node_id) == Some(peer);
        if let Some(session) = self.sessions.get_mut(&stream) {
            if is_known {
                session.mark_repair();
            }
            session.answer(opening, roster.as_deref(), &self.catalog);
        }
    }

    fn opening(&self, scope: Scope, peers: &dyn Peers) -> Opening {
        Opening {
            cluster: self.out.mark(),
            identity: peers.identity(),
            members: peers.digest(),
            catalog: self.catalog.digest_of(scope),
            datacenter: peers.own(),
            scope: scope.datacenter(),
        }
    }

    /// Finishes a session in which both sides have told all. The transport still delivers our last frames.
    fn complete_session(&mut self, stream: StreamId) {
        if self.sessions.get(&stream).is_some_and(Session::is_complete) {
            if let Some(session) = self.sessions.remove(&stream) {
                self.note_session_over(stream, &session, true);
            }
            self.out.counters.sessions_completed += 1;
            if self.sync.joins.remove(&stream) {
                self.out.tell(Fact::Joined);
            }
            self.out.finish(stream);
        }
    }

    pub(super) fn fail_session(&mut self, stream: StreamId) {
        self.sync.joins.remove(&stream);
        if let Some(session) = self.sessions.remove(&stream) {
            self.note_session_over(stream, &session, false);
            self.out.counters.sessions_failed += 1;
            self.out.reset(stream);
        }
    }

    /// Ends all sessions, and forgets the requested one.
    pub(crate) fn fail_all_sessions(&mut self) {
        let streams: Vec<StreamId> = self.sessions.keys().copied().collect();
        for stream in streams {
            self.fail_session(stream);
        }
        self.sync.requested = None;
    }

    fn drop_stalled_sessions(&mut self, now: Time) {
        let timeout: Duration = self.protocol.session_timeout;
        let stalled = self.sessions.iter().filter(|(_, session)| session.deadline(timeout) <= now);
        let stalled: Vec<StreamId> = stalled.map(|(stream, _)| *stream).collect();
        for stream in stalled {
            self.fail_session(stream);
        }
    }

    fn opened_sessions(&self) -> usize {
        let near = self.sessions.iter().filter(|(_, session)| session.home().is_none());
        near.filter(|(stream, _)| !stream.is_accepted()).count()
    }
}
