//! A node's sync sessions: when they are made, and what their frames do.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;

use super::Node;
use crate::base::identity::Identity;
use crate::base::io::{Output, StreamId};
use crate::base::limits::{
    MAX_FRAME_BYTES, MAX_REPAIRS_OPENED, MAX_REPAIRS_SERVED, MAX_SESSIONS_OPENED,
    MAX_SESSIONS_SERVED,
};
use crate::base::provenance::{Route, Sign};
use crate::base::time::Time;
use crate::spread::session::{Session, Step};
use crate::testing::mutants::{self as mutant, Mutant};
use crate::wire::{Frame, Opening};

/// Who is reached by streams alone opens sessions this often: nothing else brings it news, or others its own.
const PERIOD_WITHOUT_DATAGRAMS: Duration = Duration::from_secs(1);

/// When this node opens sessions.
#[derive(Debug)]
pub(super) struct SyncSchedule {
    /// A session that a difference asks for, once one may be opened again.
    requested: Option<Identity>,
    not_before: Time,
    periodic: Time,
    /// Digests that differed without a head that explains it, in a row.
    pub(super) mismatches: u32,
    /// Sessions with those who answered a knock.
    pub(super) joins: BTreeSet<StreamId>,
    /// The session that sent the last frame for repair.
    last_repair: StreamId,
}

impl SyncSchedule {
    pub(super) fn new(first: Time) -> Self {
        Self {
            requested: None,
            not_before: Time::ZERO,
            periodic: first,
            mismatches: 0,
            joins: BTreeSet::new(),
            last_repair: StreamId(0),
        }
    }
}

impl Node {
    /// Asks for a session; the latest request wins while none may be opened.
    pub(super) fn request_sync(&mut self, peer: &Identity) {
        self.sync.requested = Some(*peer);
    }

    /// Does not wait for the next periodic session.
    pub(super) fn hurry_sync(&mut self, now: Time) {
        self.sync.periodic = now;
    }

    pub(super) fn next_sync_deadline(&self) -> Option<Time> {
        let timeout =
            self.sessions.values().map(|s| s.deadline(self.protocol.session_timeout)).min();
        let put_off = self.sessions.values().any(Session::is_put_off);
        let put_off = put_off.then(|| self.budget.ready_for_session_at());
        let under_way = timeout.into_iter().chain(put_off).min();
        if self.leaving.is_some() {
            return under_way;
        }
        let requested = self.sync.requested.map(|_| self.sync.not_before);
        let requested = requested.filter(|_| self.opened_sessions() < MAX_REPAIRS_OPENED);
        requested.into_iter().chain(under_way).chain([self.sync.periodic]).min()
    }

    pub(super) fn handle_sync_deadlines(&mut self, now: Time) {
        self.drop_stalled_sessions(now);
        if self.leaving.is_some() {
            return;
        }
        if self.sync.periodic <= now {
            let mut period = self.protocol.sync_period;
            if self.are_datagrams_blocked() {
                period = period.min(PERIOD_WITHOUT_DATAGRAMS);
            }
            self.sync.periodic = now + period.mul_f64(0.75 + self.spread_rng.random::<f64>() / 2.0);
            if let Some(peer) = self.swim.random_peers(1).pop()
                && !mutant::is(Mutant::NeverRepair)
            {
                self.sync.requested.get_or_insert(peer);
            }
        }
        if self.sync.not_before <= now
            && self.opened_sessions() < MAX_REPAIRS_OPENED
            && let Some(peer) = self.sync.requested.take()
        {
            let stream = self.open_session(&peer, now);
            if let Some(session) = stream.and_then(|stream| self.sessions.get_mut(&stream)) {
                session.repairs();
            }
        }
    }

    pub(super) fn open_session(&mut self, peer: &Identity, now: Time) -> Option<StreamId> {
        if self.opened_sessions() >= MAX_SESSIONS_OPENED {
            return None;
        }
        let jitter = 1.0 + self.spread_rng.random::<f64>() / 2.0;
        self.sync.not_before = now + self.protocol.sync_min_gap.mul_f64(jitter);
        let stream = self.session_streams.take();
        self.counters.sessions_opened += 1;
        self.outputs.push_back(Output::OpenStream {
            stream,
            to: peer.sync_addr(),
            peer: peer.node_id,
        });
        self.sessions.insert(stream, Session::open(*peer, self.opening(), now));
        Some(stream)
    }

    pub(super) fn handle_stream_accepted(&mut self, stream: StreamId, now: Time) {
        let served = self.sessions.keys().filter(|stream| stream.is_accepted()).count();
        if self.is_silent() || served >= MAX_SESSIONS_SERVED || self.sessions.contains_key(&stream)
        {
            self.counters.sessions_refused += 1;
            self.outputs.push_back(Output::ResetStream { stream });
            return;
        }
        self.counters.sessions_served += 1;
        self.invitations.came();
        self.sessions.insert(stream, Session::serve(now));
    }

    pub(super) fn handle_frame(&mut self, stream: StreamId, bytes: &[u8], now: Time) {
        if self.take_stream_probe_frame(stream, bytes, now) {
            return;
        }
        let Some(session) = self.sessions.get_mut(&stream) else { return };
        let frame = Frame::decode(bytes).ok();
        if let Some(Frame::Opening(opening)) = &frame
            && opening.cluster != self.cluster.mark()
        {
            self.counters.sessions_other_cluster += 1;
            return self.fail_session(stream);
        }
        let len = bytes.len();
        let step = frame.and_then(|frame| session.handle(frame, len, &self.catalog, now).ok());
        let Some(step) = step else {
            self.counters.messages_invalid += 1;
            self.fail_session(stream);
            return;
        };
        let peer = self.sessions.get(&stream).and_then(Session::peer).map(|peer| peer.node_id);
        if let Some(peer) = peer.filter(|peer| *peer != self.identity().node_id) {
            self.last_contact = Some(now);
            self.swim.heard(peer, Sign::Session, now);
        }
        match step {
            Step::Opened(opening) => self.answer_opening(stream, &opening, now),
            Step::Members(members) => {
                let own = self.identity().node_id;
                let duplicate = members.iter().find(|(identity, _)| identity.node_id == own);
                if let Some((duplicate, _)) = duplicate {
                    self.meet_duplicate(duplicate, now);
                }
                let mut members = members;
                members.retain(|(identity, _)| {
                    Some(identity.node_id) == peer || self.takes_on_trust(identity, now)
                });
                if self.swim.handle_roster(members, now).is_err() {
                    self.counters.swim_refused += 1;
                }
                let roster = self.swim.roster();
                if let Some(session) = self.sessions.get_mut(&stream) {
                    session.tell_members(&roster);
                }
            }
            Step::Deltas(deltas) => {
                self.counters.session_deltas_received += deltas.len() as u64;
                let from = peer.unwrap_or(self.identity().node_id);
                for delta in &deltas {
                    self.learn(delta, from, Route::Session, now);
                }
            }
            Step::Nothing => {}
            Step::Compare => {
                let own = self.identity().node_id;
                let told = self.sessions.get(&stream).and_then(|session| session.told_epoch(own));
                self.compare_epoch(own, told.unwrap_or_default(), now);
                if let Some(session) = self.sessions.get_mut(&stream) {
                    session.compare(&self.catalog, |origin| self.recent.when_moved(origin));
                }
            }
        }
        self.complete_session(stream);
    }

    pub(super) fn handle_stream_written(&mut self, stream: StreamId, now: Time) {
        if let Some(session) = self.sessions.get_mut(&stream) {
            session.written(now);
        }
    }

    pub(super) fn handle_stream_closed(&mut self, stream: StreamId) {
        self.stream_probe_closed(stream);
        self.sync.joins.remove(&stream);
        if self.sessions.remove(&stream).is_some() {
            self.counters.sessions_failed += 1;
        }
    }

    /// Gives the transport the frames that it has room for, and that there is bandwidth for. Sessions for repair take
    /// turns.
    pub(super) fn pump_sessions(&mut self, now: Time) {
        let last = self.sync.last_repair;
        let mut streams: Vec<StreamId> = self.sessions.keys().copied().collect();
        let next = streams.partition_point(|stream| *stream <= last);
        streams.rotate_left(next);
        for stream in streams {
            while let Some(frame) = self.next_frame(stream, now) {
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
        if is_repair && !self.budget.is_ready_for_session(now) {
            self.counters.frames_put_off += u64::from(session.put_off());
            return None;
        }
        session.next_frame()
    }

    fn send_session_frame(&mut self, stream: StreamId, frame: &Frame, now: Time) {
        let Some(session) = self.sessions.get_mut(&stream) else { return };
        let Ok(bytes) = frame.encode() else {
            self.counters.encoding_errors += 1;
            return self.fail_session(stream);
        };
        self.counters.frame_bytes_sent += bytes.len() as u64;
        session.sent(bytes.len());
        if session.is_repair() {
            self.budget.spend_on_session(bytes.len(), now);
            self.sync.last_repair = stream;
        }
        self.outputs.push_back(Output::StreamFrame { stream, bytes });
    }

    /// Answers who opened a session with us, unless it has one already or others wait for the same.
    fn answer_opening(&mut self, stream: StreamId, opening: &Opening, now: Time) {
        let peer = opening.identity;
        if peer.node_id == self.identity().node_id {
            self.meet_duplicate(&peer, now);
            return self.fail_session(stream);
        }
        let served =
            self.sessions.iter().filter(|(other, _)| other.is_accepted() && **other != stream);
        let served = served.filter_map(|(other, session)| Some((*other, *session.peer()?)));
        let served: Vec<(StreamId, Identity)> = served.collect();
        if let Some((other, life)) = served.iter().find(|(_, life)| life.node_id == peer.node_id) {
            if life.epoch >= peer.epoch {
                self.counters.sessions_duplicate += 1;
                return self.fail_session(stream);
            }
            // An earlier life will not go on with it.
            self.fail_session(*other);
        }
        let is_member = |identity: &Identity| self.swim.active_peer(identity.node_id).is_some();
        let repairs = served.iter().filter(|(_, peer)| is_member(peer)).count();
        if is_member(&peer) && repairs >= MAX_REPAIRS_SERVED {
            self.counters.sessions_refused += 1;
            return self.fail_session(stream);
        }
        let ours = self.opening();
        let roster = (ours.members != opening.members).then(|| self.swim.roster());
        if roster.is_none() && ours.catalog == opening.catalog {
            self.counters.sessions_equal += 1;
        }
        let is_known = self.swim.active_peer(peer.node_id) == Some(&peer);
        if let Some(session) = self.sessions.get_mut(&stream) {
            if is_known {
                session.repairs();
            }
            session.answer(opening, roster.as_deref(), &self.catalog);
        }
    }

    fn opening(&self) -> Opening {
        Opening {
            cluster: self.cluster.mark(),
            identity: *self.identity(),
            members: self.swim.digest(),
            catalog: self.catalog.digest(),
        }
    }

    /// Forgets a session in which both sides have told all. What we sent last may still be on its way.
    fn complete_session(&mut self, stream: StreamId) {
        if self.sessions.get(&stream).is_some_and(Session::is_complete) {
            self.sessions.remove(&stream);
            self.counters.sessions_completed += 1;
            if self.sync.joins.remove(&stream) {
                self.seeds.joined();
            }
            self.outputs.push_back(Output::FinishStream { stream });
        }
    }

    fn fail_session(&mut self, stream: StreamId) {
        self.sync.joins.remove(&stream);
        if self.sessions.remove(&stream).is_some() {
            self.counters.sessions_failed += 1;
            self.outputs.push_back(Output::ResetStream { stream });
        }
    }

    /// Says no more to anybody.
    pub(super) fn fail_all_sessions(&mut self) {
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
        self.sessions.keys().filter(|stream| !stream.is_accepted()).count()
    }
}
