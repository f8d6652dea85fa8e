//! One sync session: two nodes on one stream tell each other their members and how far they know each origin, and send
//! what the other lacks. The same machine serves both sides.
//!
//! ```text
//! opener                            server
//!   Opening(digests)        ->
//!                           <-      Opening(digests)         equal digests end it here
//!   Members* Heads* HeadsEnd ->  <- Members* Heads* HeadsEnd
//!   Deltas* End             ->   <- Deltas* End
//! ```

use std::collections::{BTreeMap, VecDeque};

use crate::catalog::{Catalog, Delta, Want};
use crate::identity::{Epoch, Identity, NodeId};
use crate::limits::{MAX_FRAME_BYTES, MAX_FRAMES_IN_FLIGHT, MAX_FRAMES_PER_SESSION, MAX_ORIGINS};
use crate::mutant::{self, Mutant};
use crate::time::Time;
use crate::wire::{Frame, Opening};

/// Members, or heads, that surely fit one frame.
const ITEMS_PER_FRAME: usize = 1_000;
/// Room in a frame for its version, kind and number of deltas.
const FRAME_OVERHEAD_BYTES: usize = 16;

/// A peer that breaks the rules of the session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProtocolViolation;

/// What a frame asks of the node.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// The peer is known now: answer with our opening if that has not gone yet.
    Opened(Identity),
    /// Members to be taken over.
    Members(Vec<(Identity, u16)>),
    /// Deltas to be applied.
    Deltas(Vec<Delta>),
    /// The peer's heads are complete: compare them with ours.
    Compare,
    /// Nothing.
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Session {
    /// The node expected at the other end; `None` when the peer opened the stream and has not spoken.
    peer: Option<NodeId>,
    sent_opening: Option<Opening>,
    peer_opening: Option<Opening>,
    peer_heads: BTreeMap<NodeId, Want>,
    heads_complete: bool,
    /// Small frames that are ready.
    ready: VecDeque<Frame>,
    /// What the peer lacks and is not yet framed; the last is next.
    lacking: Vec<Want>,
    in_flight: usize,
    frames_received: usize,
    frames_sent: usize,
    members_received: usize,
    told_all: bool,
    peer_told_all: bool,
    last_activity: Time,
}

impl Session {
    pub(crate) fn new(peer: Option<NodeId>, now: Time) -> Self {
        Self {
            peer,
            sent_opening: None,
            peer_opening: None,
            peer_heads: BTreeMap::new(),
            heads_complete: false,
            ready: VecDeque::new(),
            lacking: Vec::new(),
            in_flight: 0,
            frames_received: 0,
            frames_sent: 0,
            members_received: 0,
            told_all: false,
            peer_told_all: false,
            last_activity: now,
        }
    }

    pub(crate) fn peer(&self) -> Option<NodeId> {
        self.peer
    }

    pub(crate) fn last_activity(&self) -> Time {
        self.last_activity
    }

    pub(crate) fn needs_opening(&self) -> bool {
        self.sent_opening.is_none()
    }

    /// Says who we are and what we hold.
    pub(crate) fn open(&mut self, opening: Opening) {
        self.ready.push_back(Frame::Opening(opening.clone()));
        self.sent_opening = Some(opening);
    }

    /// Both digests, once both sides have opened: whether there is nothing to tell.
    pub(crate) fn is_equal(&self) -> Option<bool> {
        let (sent, received) = (self.sent_opening.as_ref()?, self.peer_opening.as_ref()?);
        Some((sent.members, sent.catalog) == (received.members, received.catalog))
    }

    /// Tells our members and heads, or that there is nothing to tell; called once both sides have opened.
    pub(crate) fn tell(&mut self, roster: &[(Identity, u16)], catalog: &Catalog) {
        if self.is_equal() == Some(true) {
            self.heads_complete = true;
            self.peer_told_all = true;
            return;
        }
        let members = roster.chunks(ITEMS_PER_FRAME).map(|chunk| Frame::Members(chunk.to_vec()));
        self.ready.extend(members);
        let heads: Vec<Want> = catalog.origins().map(|(id, _)| catalog.want(id)).collect();
        self.ready.extend(heads.chunks(ITEMS_PER_FRAME).map(|chunk| Frame::Heads(chunk.to_vec())));
        self.ready.push_back(Frame::HeadsEnd);
    }

    pub(crate) fn handle(&mut self, frame: Frame, now: Time) -> Result<Step, ProtocolViolation> {
        self.last_activity = now;
        self.frames_received += 1;
        if self.frames_received > MAX_FRAMES_PER_SESSION || says_nothing(&frame) {
            return Err(ProtocolViolation);
        }
        match frame {
            Frame::Opening(opening) => {
                let identity = opening.identity;
                let expected = self.peer.is_none_or(|peer| peer == identity.node_id);
                if self.peer_opening.is_some() || !expected {
                    return Err(ProtocolViolation);
                }
                self.peer = Some(identity.node_id);
                self.peer_opening = Some(opening);
                Ok(Step::Opened(identity))
            }
            Frame::Ping(..) | Frame::Pong(_) => Err(ProtocolViolation),
            _ if self.peer_opening.is_none() || self.peer_told_all => Err(ProtocolViolation),
            Frame::Members(members) => {
                self.members_received += members.len();
                if self.members_received > MAX_ORIGINS {
                    return Err(ProtocolViolation);
                }
                Ok(Step::Members(members))
            }
            Frame::Heads(heads) if !self.heads_complete => {
                self.peer_heads.extend(heads.into_iter().map(|want| (want.origin, want)));
                if self.peer_heads.len() > MAX_ORIGINS {
                    Err(ProtocolViolation)
                } else {
                    Ok(Step::Nothing)
                }
            }
            Frame::HeadsEnd if !self.heads_complete => {
                self.heads_complete = true;
                Ok(Step::Compare)
            }
            Frame::Heads(_) | Frame::HeadsEnd => Err(ProtocolViolation),
            Frame::Deltas(deltas) => Ok(Step::Deltas(deltas)),
            Frame::End => {
                self.peer_told_all = true;
                Ok(Step::Nothing)
            }
        }
    }

    /// The epoch in which the peer knows, or waits for, an origin.
    pub(crate) fn told_epoch(&self, origin: NodeId) -> Option<Epoch> {
        self.peer_heads.get(&origin).map(|want| want.epoch)
    }

    /// Lists what the peer lacks, by the heads that it told.
    pub(crate) fn compare(&mut self, catalog: &Catalog) {
        let heads = std::mem::take(&mut self.peer_heads);
        let ours = catalog.origins().filter_map(|(id, _)| catalog.head(id));
        self.lacking = ours
            .filter_map(|head| {
                let nothing =
                    Want { origin: head.origin, epoch: head.epoch, after: 0, gc_floor: 0 };
                let want = heads.get(&head.origin).copied().unwrap_or(nothing);
                ((want.epoch, want.after) < (head.epoch, head.known_to)).then_some(want)
            })
            .collect();
    }

    pub(crate) fn written(&mut self, now: Time) {
        self.last_activity = now;
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// The next frame to send, as long as the transport has room for it.
    pub(crate) fn next_frame(&mut self, catalog: &Catalog) -> Option<Frame> {
        if self.in_flight >= MAX_FRAMES_IN_FLIGHT || self.told_all {
            return None;
        }
        let frame = match self.ready.pop_front() {
            Some(frame) => frame,
            None if self.is_equal() == Some(true) => {
                self.told_all = true;
                return None;
            }
            None if !self.heads_complete || self.is_equal().is_none() => return None,
            None if self.frames_sent + 1 >= MAX_FRAMES_PER_SESSION => Frame::End,
            None => match self.next_deltas(catalog) {
                deltas if deltas.is_empty() => Frame::End,
                deltas => Frame::Deltas(deltas),
            },
        };
        self.told_all = frame == Frame::End;
        self.frames_sent += 1;
        self.in_flight += 1;
        Some(frame)
    }

    fn next_deltas(&mut self, catalog: &Catalog) -> Vec<Delta> {
        let mut room = MAX_FRAME_BYTES - FRAME_OVERHEAD_BYTES;
        let mut deltas = Vec::new();
        while let Some(want) = self.lacking.last_mut() {
            let Some(mut delta) = catalog.answer(want, room) else {
                // Nothing is left of this origin, or there is no room for more of it in this frame.
                let exhausted =
                    catalog.head(want.origin).is_none_or(|head| want.after >= head.known_to);
                if deltas.is_empty() || exhausted {
                    self.lacking.pop();
                    continue;
                }
                break;
            };
            *want = Want { epoch: delta.epoch, after: delta.to, gc_floor: delta.gc_floor, ..*want };
            room = room.saturating_sub(crate::wire::encoded_len(&delta));
            if mutant::is(Mutant::TruncateSync) {
                delta.entries.truncate(delta.entries.len() / 2);
            }
            let complete = catalog.head(want.origin).is_none_or(|head| want.after >= head.known_to);
            deltas.push(delta);
            if complete {
                self.lacking.pop();
            } else {
                break;
            }
        }
        deltas
    }

    /// Both sides have told all.
    pub(crate) fn is_complete(&self) -> bool {
        self.told_all && self.peer_told_all
    }
}

/// An empty list costs its receiver a frame and tells it nothing; nobody honest sends one.
fn says_nothing(frame: &Frame) -> bool {
    match frame {
        Frame::Members(members) => members.is_empty(),
        Frame::Heads(heads) => heads.is_empty(),
        Frame::Deltas(deltas) => deltas.is_empty(),
        Frame::Opening(_) | Frame::HeadsEnd | Frame::End | Frame::Ping(..) | Frame::Pong(_) => {
            false
        }
    }
}
