//! Lines: streams that stay open between a member that asks voters and a voter. Questions go one way and replies the other, so that a
//! question costs no handshake.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::facts::Fact;
use crate::base::identity::{Identity, NodeId};
use crate::base::io::StreamId;
use crate::base::limits::{
    MAX_FRAMES_IN_FLIGHT, MAX_LINES_OPENED, MAX_LINES_SERVED, MAX_QUESTIONS_ASKED,
};
use crate::base::time::Time;
use crate::wire::{Frame, Outbox};

/// A line that this node opened is closed when nothing was asked on it for so long.
const RESTS_FOR: Duration = Duration::from_secs(10);

/// As many lines are open as may be, and something is awaited on each.
#[derive(Debug)]
pub(super) struct NoRoom;

/// A line.
#[derive(Debug)]
struct Line {
    peer: NodeId,
    /// Where the peer was, of a line that this node opened.
    opened_to: Option<SocketAddr>,
    /// Frames that the transport has not written yet.
    unwritten: usize,
    /// Frames that wait until it has.
    waiting: VecDeque<Frame>,
    used_at: Time,
    /// When the peer replied last.
    heard_at: Time,
}

/// The lines that this node opened, one to a peer, and those that others opened.
#[derive(Debug, Default)]
pub(super) struct Lines {
    all: BTreeMap<StreamId, Line>,
    opened: BTreeMap<NodeId, StreamId>,
}

impl Lines {
    /// The line to a peer at its address, if there is one. One to another address is no use any more.
    pub(super) fn to(&self, peer: &Identity) -> Result<StreamId, Option<StreamId>> {
        let Some(stream) = self.opened.get(&peer.node_id) else { return Err(None) };
        let line = self.all.get(stream);
        let is_there = line.is_some_and(|line| line.opened_to == Some(peer.sync_addr()));
        if is_there { Ok(*stream) } else { Err(Some(*stream)) }
    }

    /// Adds a line that this node opens, after [`make_room`](Self::make_room).
    pub(super) fn open(&mut self, stream: StreamId, peer: &Identity, now: Time) {
        self.opened.insert(peer.node_id, stream);
        self.add(stream, peer.node_id, Some(peer.sync_addr()), now);
    }

    /// Adds a line that a peer opened, after [`make_room`](Self::make_room).
    pub(super) fn accept(&mut self, stream: StreamId, peer: NodeId, now: Time) {
        self.add(stream, peer, None, now);
    }

    /// The line to close so that another one of its kind can be opened, if there are too many: of those on which nothing is `awaited`, the one that
    /// was used longest ago. Fails if there is none.
    pub(super) fn make_room(
        &self,
        is_ours: bool,
        is_awaited: impl Fn(StreamId) -> bool,
    ) -> Result<Option<StreamId>, NoRoom> {
        let most = if is_ours { MAX_LINES_OPENED } else { MAX_LINES_SERVED };
        let of_kind = || self.all.iter().filter(|(_, line)| line.opened_to.is_some() == is_ours);
        if of_kind().count() < most {
            return Ok(None);
        }
        let is_idle =
            |(stream, line): &(&StreamId, &Line)| line.waiting.is_empty() && !is_awaited(**stream);
        let idle = of_kind().filter(is_idle);
        let oldest = idle.min_by_key(|(_, line)| line.used_at);
        oldest.map(|(stream, _)| Some(*stream)).ok_or(NoRoom)
    }

    fn add(&mut self, stream: StreamId, peer: NodeId, opened_to: Option<SocketAddr>, now: Time) {
        let waiting = VecDeque::new();
        let line = Line { peer, opened_to, unwritten: 0, waiting, used_at: now, heard_at: now };
        self.all.insert(stream, line);
    }

    /// Notes that the peer replied.
    pub(super) fn heard(&mut self, stream: StreamId, now: Time) {
        if let Some(line) = self.all.get_mut(&stream) {
            line.heard_at = now;
        }
    }

    /// Whether there is a line whose peer has not replied to anything since then.
    pub(super) fn is_silent_since(&self, stream: StreamId, since: Time) -> bool {
        self.all.get(&stream).is_some_and(|line| line.heard_at <= since)
    }

    /// The line that a peer opened.
    pub(super) fn accepted_from(&self, peer: NodeId) -> Option<StreamId> {
        let is_of = |line: &Line| line.peer == peer && line.opened_to.is_none();
        self.all.iter().find(|(_, line)| is_of(line)).map(|(stream, _)| *stream)
    }

    /// The peer of a line, and whether this node opened it.
    pub(super) fn get(&self, stream: StreamId) -> Option<(NodeId, bool)> {
        self.all.get(&stream).map(|line| (line.peer, line.opened_to.is_some()))
    }

    /// Sends a frame, now or when the transport has written those before. Returns `false` if too many wait, or the line is gone.
    pub(super) fn send(
        &mut self,
        out: &mut Outbox<Fact>,
        stream: StreamId,
        frame: Frame,
        now: Time,
    ) -> bool {
        let Some(line) = self.all.get_mut(&stream) else { return false };
        line.used_at = now;
        if line.unwritten < MAX_FRAMES_IN_FLIGHT {
            line.unwritten += 1;
            out.send_frame(stream, &frame);
            return true;
        }
        let has_room = line.waiting.len() < MAX_QUESTIONS_ASKED;
        if has_room {
            line.waiting.push_back(frame);
        }
        has_room
    }

    /// The transport has written a frame.
    pub(super) fn written(&mut self, out: &mut Outbox<Fact>, stream: StreamId) {
        let Some(line) = self.all.get_mut(&stream) else { return };
        match line.waiting.pop_front() {
            Some(frame) => {
                out.send_frame(stream, &frame);
            }
            None => line.unwritten = line.unwritten.saturating_sub(1),
        }
    }

    /// Forgets a line. Returns whether there was one.
    pub(super) fn remove(&mut self, stream: StreamId) -> bool {
        let Some(line) = self.all.remove(&stream) else { return false };
        if line.opened_to.is_some() && self.opened.get(&line.peer) == Some(&stream) {
            self.opened.remove(&line.peer);
        }
        true
    }

    /// The line to a peer.
    pub(super) fn opened_to(&self, peer: NodeId) -> Option<StreamId> {
        self.opened.get(&peer).copied()
    }

    /// When the next line that this node opened has rested for long enough.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.opened.values().filter_map(|stream| self.all.get(stream)).map(Line::rests_until).min()
    }

    /// The lines that this node opened, and on which nothing was asked for long.
    pub(super) fn resting(&self, now: Time) -> Vec<StreamId> {
        let rests =
            |stream: &StreamId| self.all.get(stream).is_some_and(|line| line.rests_until() <= now);
        self.opened.values().copied().filter(rests).collect()
    }
}

impl Line {
    fn rests_until(&self) -> Time {
        self.used_at + RESTS_FOR
    }
}
