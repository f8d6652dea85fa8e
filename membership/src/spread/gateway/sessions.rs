//! Sessions with other datacenters.

use super::super::Spread;
use super::super::peers::Peers;
use super::super::session::Session;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::Identity;
use crate::base::io::StreamId;
use crate::base::limits::{MAX_FAR_SESSIONS_OPENED, MAX_FAR_SESSIONS_SERVED};
use crate::base::time::Time;
use crate::catalog::Scope;

impl Spread {
    /// Opens a session about the origins of one datacenter, `part`, with a member of another, `home`.
    pub(super) fn open_far_session(
        &mut self,
        peer: &Identity,
        home: DatacenterId,
        part: DatacenterId,
        (ours, theirs): (u64, u64),
        peers: &dyn Peers,
        now: Time,
    ) {
        let is_far = |session: &Session| session.home().is_some();
        let open = self.sessions.iter();
        let open = open.filter(|(stream, session)| !stream.is_accepted() && is_far(session));
        let with_peer = |session: &Session| session.peer() == Some(peer);
        let is_taken = open.clone().any(|(_, session)| with_peer(session));
        if self.leaving || is_taken || open.count() >= MAX_FAR_SESSIONS_OPENED {
            self.out.counters.far_sessions_refused += 1;
            return;
        }
        self.out.counters.far_sessions_opened += 1;
        self.gateways.repair.opened(part, ours, theirs, now);
        let stream = self.begin_session(peer, Scope::Datacenter(part), peers, now);
        if let Some(session) = self.sessions.get_mut(&stream) {
            session.mark_far(home);
        }
    }

    /// Takes a session that a member of another datacenter opened. Returns whether it is served: it has to be about the origins of
    /// one datacenter.
    pub(in crate::spread) fn take_far_session(
        &mut self,
        stream: StreamId,
        home: DatacenterId,
        scope: Scope,
    ) -> bool {
        let is_far = |session: &Session| session.home().is_some();
        let served = self.sessions.iter();
        let served = served.filter(|(other, session)| other.is_accepted() && is_far(session));
        if scope == Scope::All || served.count() >= MAX_FAR_SESSIONS_SERVED {
            self.out.counters.far_sessions_refused += 1;
            return false;
        }
        self.out.counters.far_sessions_served += 1;
        if let Some(session) = self.sessions.get_mut(&stream) {
            session.mark_far(home);
        }
        true
    }

    /// Ends the sessions with a datacenter, and those about its origins with others.
    pub(crate) fn drop_sessions_with(&mut self, datacenter: DatacenterId) {
        let is_with = |session: &Session| {
            session.home().is_some_and(|home| {
                home == datacenter || session.scope().datacenter() == Some(datacenter)
            })
        };
        let with = self.sessions.iter().filter(|(_, session)| is_with(session));
        let with: Vec<StreamId> = with.map(|(stream, _)| *stream).collect();
        with.into_iter().for_each(|stream| self.fail_session(stream));
    }

    /// Notes that a session is over.
    pub(in crate::spread) fn note_session_over(
        &mut self,
        stream: StreamId,
        session: &Session,
        is_completed: bool,
    ) {
        if let Some(part) = session.scope().datacenter().filter(|_| !stream.is_accepted()) {
            self.gateways.repair.closed(part, is_completed);
        }
    }
}
