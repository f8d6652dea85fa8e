//! One sync session: two nodes on one stream find out which heads differ and send each other the missing versions.
//!
//! ```text
//! opener                               server
//!   Opening(digests)          ->
//!                             <-       [Members*]                      only when the digests of members differ
//!                             <-       End                             equal catalogs end here
//!                             <-       Sketch
//!   More(n)                   ->
//!                             <-       Sketch                          until it is decoded
//!   [Members*] Heads*         ->
//!                             <-       [Heads*] Deltas* End            the server's wants, and what the opener lacks
//!   [Deltas* End]             ->
//! ```
//!
//! The opener *tells* its heads that differ and the server *compares* them. When a sketch would cost more than all
//! heads of the side that has fewer, that side tells all of its heads: the opener does so at once, the server when it
//! is asked with
//! `More(0)`. In the latter case the opener compares.
//!
//! A session is about all origins, or about those of one datacenter. In the latter case no side tells members.

mod compare;
mod near;
mod sketch;
mod tell;
mod transfer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::limits::{MAX_FRAMES_PER_SESSION, MAX_ORIGINS, MIN_SESSION_BYTES_PER_SECOND};
use crate::base::time::Time;
use crate::catalog::{Catalog, Delta, Head, Scope, Want};
use crate::spread::sketch::{Decoder, Encoder};
use crate::wire::{Frame, Opening};

use sketch::FIRST_SYMBOLS;

/// A peer that breaks the rules of the session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProtocolViolation;

/// The action that a frame asks of the node.
#[derive(Debug, PartialEq)]
pub(crate) enum SessionStep {
    /// Answer or refuse the peer that opened the stream.
    Opened(Opening),
    /// Take over these members, and answer with ours if we have not told them yet.
    Members(Vec<Identity>),
    /// Apply these deltas.
    Deltas(Vec<Delta>),
    /// Compare the heads of the peer with ours; they are complete.
    Compare,
    /// Do nothing.
    Nothing,
}

/// The role of this side: it tells its heads, or compares the peer's with its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Undecided,
    Teller,
    Comparer,
}

#[derive(Debug)]
pub(crate) struct Session {
    is_opener: bool,
    /// The peer; `None` when it opened the stream and has sent no opening yet.
    peer: Option<Identity>,
    role: Role,
    /// The part of the catalog that the session is about.
    scope: Scope,
    /// The datacenter of the peer, if it is another one than ours.
    home: Option<DatacenterId>,
    /// Our heads when the sketch began, with their hashes, sorted by hash.
    snapshot: Vec<(u64, Head)>,
    encoder: Option<Encoder>,
    decoder: Option<Decoder>,
    /// The number of symbols that we asked for so far.
    asked: usize,
    /// The heads of the peer when we compare; two for an origin of which the peer receives a new epoch.
    peer_heads: BTreeMap<(NodeId, Epoch), Want>,
    /// Prefixes of hashes of our heads that the peer does not know.
    peer_unknown: BTreeSet<[u8; 4]>,
    /// Whether the peer told all of its heads, not only those that differ.
    peer_is_whole: bool,
    /// The number of heads, lags and hashes that the peer sent.
    heads_received: usize,
    /// Whether the peer can ask nothing more of us.
    heads_complete: bool,
    /// Small frames that are ready to be sent.
    ready: VecDeque<Frame>,
    /// The wants of the peer that are not answered yet; the last is next.
    lacking: Vec<Want>,
    /// Whether the peer waits for our end.
    ends: bool,
    /// Whether we wait for the end of the peer.
    awaits_end: bool,
    told_members: bool,
    told_all: bool,
    peer_told_all: bool,
    /// Whether the session is for repair, so that its frames wait for bandwidth.
    is_repair: bool,
    /// Whether its next frame waits for bandwidth.
    is_put_off: bool,
    /// The number of frames handed to the transport and not yet written.
    in_flight: usize,
    frames_received: usize,
    frames_sent: usize,
    members_received: usize,
    /// Bytes received and sent.
    bytes: u64,
    started: Time,
    last_activity: Time,
}

impl Session {
    /// A session that a peer opens.
    pub(crate) fn serve(now: Time) -> Self {
        Self {
            is_opener: false,
            peer: None,
            role: Role::Undecided,
            scope: Scope::All,
            home: None,
            snapshot: Vec::new(),
            encoder: None,
            decoder: None,
            asked: 0,
            peer_heads: BTreeMap::new(),
            peer_unknown: BTreeSet::new(),
            peer_is_whole: false,
            heads_received: 0,
            heads_complete: false,
            ready: VecDeque::new(),
            lacking: Vec::new(),
            ends: false,
            awaits_end: false,
            told_members: false,
            told_all: false,
            peer_told_all: false,
            is_repair: false,
            is_put_off: false,
            in_flight: 0,
            frames_received: 0,
            frames_sent: 0,
            members_received: 0,
            bytes: 0,
            started: now,
            last_activity: now,
        }
    }

    /// A session that we open.
    pub(crate) fn open(peer: Identity, opening: Opening, now: Time) -> Self {
        let mut this = Self::serve(now);
        this.is_opener = true;
        this.peer = Some(peer);
        this.scope = opening.scope.into();
        this.asked = FIRST_SYMBOLS;
        this.awaits_end = true;
        this.ready.push_back(Frame::Opening(opening));
        this
    }

    pub(crate) fn peer(&self) -> Option<&Identity> {
        self.peer.as_ref()
    }

    /// Makes this a session for repair: its frames wait for bandwidth from now on.
    pub(crate) fn mark_repair(&mut self) {
        self.is_repair = true;
    }

    /// Makes this a session with another datacenter: its frames wait for the bandwidth of that link.
    pub(crate) fn mark_far(&mut self, home: DatacenterId) {
        self.home = Some(home);
        self.is_repair = true;
    }

    /// The datacenter of the peer, if it is another one than ours.
    pub(crate) fn home(&self) -> Option<DatacenterId> {
        self.home
    }

    /// The part of the catalog that the session is about. A served session knows it once it is opened.
    pub(crate) fn scope(&self) -> Scope {
        self.scope
    }

    pub(crate) fn is_repair(&self) -> bool {
        self.is_repair
    }

    /// Notes that the next frame waits for bandwidth. Returns whether it did not wait before.
    pub(crate) fn put_off(&mut self) -> bool {
        !std::mem::replace(&mut self.is_put_off, true)
    }

    pub(crate) fn is_put_off(&self) -> bool {
        self.is_put_off
    }

    /// The time at which the session is dropped if nothing happens. A peer that moves few bytes holds one of the few
    /// places no longer than a silent peer.
    pub(crate) fn deadline(&self, timeout: Duration) -> Time {
        let earned = Duration::from_millis(1_000 * self.bytes / MIN_SESSION_BYTES_PER_SECOND);
        (self.last_activity + timeout).min(self.started + timeout + earned)
    }

    /// Answers the opening of the peer. `roster` lists our members if they differ from those of the peer.
    pub(crate) fn answer(
        &mut self,
        opening: &Opening,
        roster: Option<&[Identity]>,
        catalog: &Catalog,
    ) {
        self.ends = true;
        self.role = Role::Comparer;
        self.scope = opening.scope.into();
        if let Some(roster) = roster {
            self.tell_members(roster);
            self.awaits_end = true;
        }
        if opening.catalog == catalog.digest_of(self.scope) {
            self.heads_complete = true;
            return;
        }
        self.take_snapshot(catalog);
        self.encoder = Some(Encoder::new(self.snapshot.iter().map(|(hash, _)| *hash)));
        self.sketch(FIRST_SYMBOLS);
    }

    pub(crate) fn handle(
        &mut self,
        frame: Frame,
        len: usize,
        catalog: &Catalog,
        now: Time,
    ) -> Result<SessionStep, ProtocolViolation> {
        self.last_activity = now;
        self.bytes += len as u64;
        self.frames_received += 1;
        if self.frames_received > MAX_FRAMES_PER_SESSION || says_nothing(&frame) {
            return Err(ProtocolViolation);
        }
        match frame {
            Frame::Opening(opening) if self.peer.is_none() => {
                self.peer = Some(opening.identity);
                Ok(SessionStep::Opened(opening))
            }
            Frame::Opening(_)
            | Frame::Datacenter(_)
            | Frame::Tables(_)
            | Frame::Request(_)
            | Frame::Answer(_)
            | Frame::Question(_)
            | Frame::Reply(_)
            | Frame::Ping(..)
            | Frame::Pong(_)
            | Frame::Credentials(_)
            | Frame::Generations(_)
            | Frame::Revocations(_)
            | Frame::Refusal(_) => Err(ProtocolViolation),
            _ if self.peer.is_none() || self.peer_told_all => Err(ProtocolViolation),
            // Members of another datacenter are no members of our pool. An earlier version tells them whatever the scope.
            Frame::Members(_) if self.scope != Scope::All => Ok(SessionStep::Nothing),
            Frame::Members(members) => {
                self.members_received += members.len();
                if self.members_received > MAX_ORIGINS {
                    return Err(ProtocolViolation);
                }
                self.ends |= self.is_opener;
                Ok(SessionStep::Members(members))
            }
            Frame::Sketch(sketch) => self.take_sketch(&sketch, catalog),
            Frame::More(0) => self.tell_all_instead(catalog),
            Frame::More(symbols) => self.tell_more(symbols as usize),
            Frame::Heads(heads) => self.take_heads(heads),
            Frame::Deltas { deltas, last } => {
                self.heads_complete |= self.role != Role::Comparer;
                self.peer_told_all = last;
                Ok(SessionStep::Deltas(deltas))
            }
            Frame::End => {
                self.heads_complete |= self.role != Role::Comparer;
                self.peer_told_all = true;
                Ok(SessionStep::Nothing)
            }
        }
    }

    /// Skips a frame of a kind that this version does not know. Returns whether the session goes on: such a frame must
    /// not come before the opening or after the end, and counts like any other.
    pub(crate) fn skip(&mut self, len: usize, now: Time) -> bool {
        self.last_activity = now;
        self.bytes += len as u64;
        self.frames_received += 1;
        self.frames_received <= MAX_FRAMES_PER_SESSION && self.peer.is_some() && !self.peer_told_all
    }

    pub(crate) fn written(&mut self, now: Time) {
        self.last_activity = now;
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Whether both sides have told all.
    pub(crate) fn is_complete(&self) -> bool {
        self.told_all && (self.peer_told_all || !self.awaits_end)
    }
}

/// Whether a frame is an empty list. It would cost the receiver a frame and carry nothing, so no honest peer sends one.
fn says_nothing(frame: &Frame) -> bool {
    match frame {
        Frame::Members(members) => members.is_empty(),
        Frame::Sketch(sketch) => sketch.symbols.is_empty(),
        Frame::Heads(heads) => heads.is_empty() && !heads.is_last(),
        Frame::Deltas { deltas, .. } => deltas.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
