//! The beginning of a stream of a sealed cluster.
//!
//! ```text
//! dialler                              acceptor
//!   Credentials  [session frames]  ->
//!                                  <-  Credentials [Revocations*] [Generations]   or Refusal
//!   [Revocations*] [Generations]   ->
//! ```
//!
//! TLS has proved both keys before. Each side judges the other by its certificate, and gives it what it lacks. What the peer
//! says of the catalog or the members counts only between equals, and waits until then.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hobnob_keys::PublicKey;

use crate::base::identity::NodeId;
use crate::base::io::StreamId;
use crate::base::limits::{MAX_DOORS, MAX_FRAMES_IN_FLIGHT};
use crate::base::time::Time;
use crate::wire::{Credentials, GenerationMark};

/// The key with which a peer secured a stream, and what binds a proof to the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SecuredBy {
    pub(crate) key: PublicKey,
    pub(crate) binding: [u8; 32],
    /// The wall clock of this node at that moment.
    pub(crate) wall_ms: u64,
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The transport has not told the peer's key yet.
    Securing,
    /// The peer has not shown its credentials yet.
    Awaiting,
    /// The peer is let in, and has something to give to us first.
    Taking {
        /// Generations.
        generations: bool,
        /// Revocations.
        revocations: bool,
    },
    /// Both sides are equal.
    Passed,
}

/// The keys of the sender of credentials.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stated {
    pub(crate) generations: Vec<GenerationMark>,
    pub(crate) revocations: [u8; 16],
}

impl Stated {
    /// Whether a peer with these credentials lacks a generation that the sender has.
    pub(crate) fn is_lacked_by(&self, peer: &Credentials) -> bool {
        self.generations.iter().any(|mark| !peer.generations.contains(mark))
    }

    /// Whether the sender lacks a generation that a peer with these credentials has.
    pub(crate) fn lacks(&self, peer: &Credentials) -> bool {
        peer.generations.iter().any(|mark| !self.generations.contains(mark))
    }
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Door {
    /// Whether we opened the stream.
    pub(crate) is_ours: bool,
    /// Whether nothing but credentials and news goes over the stream.
    pub(crate) is_errand: bool,
    /// The gossip address at which the stream was opened, if any member there will do.
    pub(crate) entering_at: Option<SocketAddr>,
    /// The node that we expect.
    pub(crate) expected: Option<NodeId>,
    pub(crate) secured: Option<SecuredBy>,
    pub(crate) stage: Stage,
    /// The statements of our credentials. Both sides decide by the same statements what each of them gives, whatever happens meanwhile.
    pub(crate) stated: Stated,
    /// The number of frames with which the peer gave us something.
    pub(crate) handed: usize,
    /// The credentials of a peer that is to prove the generation which it gives.
    pub(crate) unproven: Option<Credentials>,
    /// The mark of the certificate that the peer holds of us, by its credentials.
    pub(crate) peer_holds: Option<u32>,
    /// Whether our credentials have no certificate, since the peer holds it.
    pub(crate) shows_nothing: bool,
    /// The member that was let in.
    pub(crate) member: Option<NodeId>,
    /// Whether a frame of the peer was handed on.
    pub(crate) has_delivered: bool,
    /// Our frames that wait until the stream is secured.
    outgoing: Vec<Vec<u8>>,
    /// Frames of the peer that wait until both sides are equal.
    incoming: Vec<Vec<u8>>,
    /// Frames of this room that the transport has not written yet.
    pub(crate) unwritten: usize,
    pub(crate) since: Time,
}

/// A side holds more frames than it may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Door {
    fn new(is_ours: bool, expected: Option<NodeId>, is_errand: bool, now: Time) -> Self {
        Self {
            is_ours,
            is_errand,
            entering_at: None,
            expected,
            secured: None,
            stage: Stage::Securing,
            stated: Stated::default(),
            handed: 0,
            unproven: None,
            peer_holds: None,
            shows_nothing: false,
            member: None,
            has_delivered: false,
            outgoing: Vec::new(),
            incoming: Vec::new(),
            unwritten: 0,
            since: now,
        }
    }

    /// A frame of ours. Returns it if it may go at once.
    pub(crate) fn send(&mut self, bytes: Vec<u8>) -> Result<Option<Vec<u8>>, TooMany> {
        if self.stage != Stage::Securing {
            return Ok(Some(bytes));
        }
        hold(&mut self.outgoing, bytes).map(|()| None)
    }

    /// Keeps a frame of the peer until both sides are equal.
    pub(crate) fn hold_back(&mut self, bytes: &[u8]) -> Result<(), TooMany> {
        hold(&mut self.incoming, bytes.to_vec())
    }

    pub(crate) fn take_outgoing(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.outgoing)
    }

    pub(crate) fn take_incoming(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.incoming)
    }
}

/// A session never has more frames under way.
fn hold(held: &mut Vec<Vec<u8>>, bytes: Vec<u8>) -> Result<(), TooMany> {
    if held.len() >= MAX_FRAMES_IN_FLIGHT {
        return Err(TooMany);
    }
    held.push(bytes);
    Ok(())
}

/// The streams of a node.
#[derive(Debug, Default)]
pub(crate) struct Doors(BTreeMap<StreamId, Door>);

impl Doors {
    /// Notes a stream that we open.
    pub(crate) fn open(
        &mut self,
        stream: StreamId,
        expected: Option<NodeId>,
        is_errand: bool,
        now: Time,
    ) {
        self.0.insert(stream, Door::new(true, expected, is_errand, now));
    }

    /// Notes an errand that we run at a gossip address.
    pub(crate) fn enter(&mut self, stream: StreamId, at: SocketAddr, now: Time) {
        let door = Door { entering_at: Some(at), ..Door::new(true, None, true, now) };
        self.0.insert(stream, door);
    }

    /// When the errands under way at a gossip address began.
    pub(crate) fn entering_at(&self, address: SocketAddr) -> impl Iterator<Item = Time> + '_ {
        let there = self.0.values().filter(move |door| door.entering_at == Some(address));
        there.map(|door| door.since)
    }

    /// Notes a stream that a peer opened, if there is room for it.
    pub(crate) fn accept(&mut self, stream: StreamId, now: Time) -> bool {
        let has_room = self.under_way(|_| true) < MAX_DOORS && !self.0.contains_key(&stream);
        if has_room {
            self.0.insert(stream, Door::new(false, None, false, now));
        }
        has_room
    }

    /// The number of streams that peers opened and that have not passed, with some property.
    pub(crate) fn under_way(&self, is: impl Fn(&Door) -> bool) -> usize {
        let under_way = self.0.values().filter(|door| !door.is_ours && door.stage != Stage::Passed);
        under_way.filter(|door| is(door)).count()
    }

    /// The number of errands of ours under way.
    pub(crate) fn errands(&self) -> usize {
        self.0.values().filter(|door| door.is_ours && door.is_errand).count()
    }

    /// Whether an errand to this node is under way.
    pub(crate) fn has_errand_to(&self, node: NodeId) -> bool {
        self.0.values().any(|door| door.is_errand && door.expected == Some(node))
    }

    pub(crate) fn get(&self, stream: StreamId) -> Option<&Door> {
        self.0.get(&stream)
    }

    pub(crate) fn get_mut(&mut self, stream: StreamId) -> Option<&mut Door> {
        self.0.get_mut(&stream)
    }

    pub(crate) fn remove(&mut self, stream: StreamId) -> Option<Door> {
        self.0.remove(&stream)
    }

    /// The streams of a node.
    pub(crate) fn of(&self, node: NodeId) -> Vec<StreamId> {
        let is_of = |door: &Door| door.member == Some(node) || door.expected == Some(node);
        self.0.iter().filter(|(_, door)| is_of(door)).map(|(stream, _)| *stream).collect()
    }

    /// Streams that have not passed, or over which nothing came since, for too long.
    pub(crate) fn stalled(&self, before: Time) -> Vec<StreamId> {
        let stalled = self.0.iter().filter(|(_, door)| is_waiting(door) && door.since <= before);
        stalled.map(|(stream, _)| *stream).collect()
    }

    /// Since when the oldest of them waits.
    pub(crate) fn oldest(&self) -> Option<Time> {
        self.0.values().filter(|door| is_waiting(door)).map(|door| door.since).min()
    }
}

/// Whether a stream still belongs to this room alone. The sessions and probes time out by themselves.
fn is_waiting(door: &Door) -> bool {
    door.stage != Stage::Passed || door.is_errand || (!door.is_ours && !door.has_delivered)
}
