//! One sync session: two nodes on one stream find out what differs and send each other what is missing.
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
//!                             <-       [Heads*] Deltas* End            what it wants, and what the opener lacks
//!   [Deltas* End]             ->
//! ```
//!
//! The opener *tells* the heads that differ and the server *compares*. When a sketch would cost more than all heads of the
//! side that has fewer, that side tells all of its heads: the opener at once, or the server when it is asked for more with
//! 0; then the opener compares.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::catalog::{Catalog, Delta, Want};
use crate::identity::{Epoch, Identity, NodeId};
use crate::limits::{
    MAX_FRAME_BYTES, MAX_FRAMES_IN_FLIGHT, MAX_FRAMES_PER_SESSION, MAX_GRAVES, MAX_ORIGINS,
    MAX_SYMBOLS_PER_FRAME, MIN_SESSION_BYTES_PER_SECOND,
};
use crate::mutant::{self, Mutant};
use crate::reconcile::{Decoder, Difference, Encoder, Symbol};
use crate::time::Time;
use crate::wire::{Frame, Heads, Opening, Sketch};

/// Members, or heads, that surely fit one frame.
const ITEMS_PER_FRAME: usize = 1_000;
/// Heads that a peer may tell, of states that it serves and that it receives, and hashes that it may ask about.
const MAX_HEADS: usize = 2 * MAX_ORIGINS + MAX_GRAVES;
/// Room in a frame for its kind and number of deltas.
const FRAME_OVERHEAD_BYTES: usize = 16;
/// Symbols that are sent unasked: enough for the most frequent difference, one origin.
const FIRST_SYMBOLS: usize = 3;
/// Symbols after which their number is estimated: fewer tell too little.
const ESTIMATED_AFTER: usize = 13;
/// The least that is asked for at once.
const SMALL_STEP: usize = 5;
/// What a head takes on the wire, about.
const HEAD_BYTES: usize = 18;

/// A peer that breaks the rules of the session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProtocolViolation;

/// What a frame asks of the node.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Who opened the stream is known now: answer it, or refuse it.
    Opened(Opening),
    /// Members to be taken over, and to be answered with ours if we have not told them yet.
    Members(Vec<(Identity, u16)>),
    /// Deltas to be applied.
    Deltas(Vec<Delta>),
    /// The peer's heads are complete: compare them with ours.
    Compare,
    /// Nothing.
    Nothing,
}

/// Who lists heads, and who compares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Undecided,
    Teller,
    Comparer,
}

#[derive(Debug)]
pub(crate) struct Session {
    is_opener: bool,
    /// The other end; `None` when it opened the stream and has not spoken.
    peer: Option<Identity>,
    role: Role,
    /// Our heads when the session began to look for what differs, by hash.
    snapshot: Vec<(u64, NodeId)>,
    encoder: Option<Encoder>,
    decoder: Option<Decoder>,
    /// Symbols that we asked for.
    asked: usize,
    /// Heads of the peer, when we compare; two of an origin when it receives a new epoch.
    peer_heads: BTreeMap<(NodeId, Epoch), Want>,
    peer_unknown: BTreeSet<[u8; 4]>,
    peer_is_whole: bool,
    /// How many heads came, as a list or as wants.
    heads_received: usize,
    /// Nothing more can be asked of us.
    heads_complete: bool,
    /// Small frames that are ready.
    ready: VecDeque<Frame>,
    /// What the peer lacks and is not yet framed; the last is next.
    lacking: Vec<Want>,
    /// Whether the peer waits for us to say that nothing follows, and we for it.
    ends: bool,
    awaits_end: bool,
    told_members: bool,
    told_all: bool,
    peer_told_all: bool,
    in_flight: usize,
    frames_received: usize,
    frames_sent: usize,
    members_received: usize,
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
        this.asked = FIRST_SYMBOLS;
        this.awaits_end = true;
        this.ready.push_back(Frame::Opening(opening));
        this
    }

    pub(crate) fn peer(&self) -> Option<&Identity> {
        self.peer.as_ref()
    }

    /// When it is dropped if nothing happens. A peer that trickles holds one of few places no longer than one that is
    /// silent, unless it brings something.
    pub(crate) fn deadline(&self, timeout: Duration) -> Time {
        let earned = Duration::from_millis(1_000 * self.bytes / MIN_SESSION_BYTES_PER_SECOND);
        (self.last_activity + timeout).min(self.started + timeout + earned)
    }

    /// Answers the opening. `roster` are our members, if they differ from those of the peer.
    pub(crate) fn answer(
        &mut self,
        opening: &Opening,
        roster: Option<&[(Identity, u16)]>,
        catalog: &Catalog,
    ) {
        self.ends = true;
        self.role = Role::Comparer;
        if let Some(roster) = roster {
            self.tell_members(roster);
            self.awaits_end = true;
        }
        if opening.catalog == catalog.digest() {
            self.heads_complete = true;
            return;
        }
        self.take_snapshot(catalog);
        self.encoder = Some(Encoder::new(self.snapshot.iter().map(|(hash, _)| *hash)));
        self.sketch(FIRST_SYMBOLS);
    }

    /// Tells our members, once.
    pub(crate) fn tell_members(&mut self, roster: &[(Identity, u16)]) {
        if !std::mem::replace(&mut self.told_members, true) {
            let members = roster.chunks(ITEMS_PER_FRAME);
            self.ready.extend(members.map(|chunk| Frame::Members(chunk.to_vec())));
        }
    }

    pub(crate) fn handle(
        &mut self,
        frame: Frame,
        len: usize,
        catalog: &Catalog,
        now: Time,
    ) -> Result<Step, ProtocolViolation> {
        self.last_activity = now;
        self.bytes += len as u64;
        self.frames_received += 1;
        if self.frames_received > MAX_FRAMES_PER_SESSION || says_nothing(&frame) {
            return Err(ProtocolViolation);
        }
        match frame {
            Frame::Opening(opening) if self.peer.is_none() => {
                self.peer = Some(opening.identity);
                Ok(Step::Opened(opening))
            }
            Frame::Opening(_) | Frame::Ping(..) | Frame::Pong(_) => Err(ProtocolViolation),
            _ if self.peer.is_none() || self.peer_told_all => Err(ProtocolViolation),
            Frame::Members(members) => {
                self.members_received += members.len();
                if self.members_received > MAX_ORIGINS {
                    return Err(ProtocolViolation);
                }
                self.ends |= self.is_opener;
                Ok(Step::Members(members))
            }
            Frame::Sketch(sketch) => self.take_sketch(&sketch, catalog),
            Frame::More(0) => self.tell_all_instead(catalog),
            Frame::More(symbols) => self.tell_more(symbols as usize),
            Frame::Heads(heads) => self.take_heads(heads),
            Frame::Deltas { deltas, last } => {
                self.heads_complete |= self.role != Role::Comparer;
                self.peer_told_all = last;
                Ok(Step::Deltas(deltas))
            }
            Frame::End => {
                self.heads_complete |= self.role != Role::Comparer;
                self.peer_told_all = true;
                Ok(Step::Nothing)
            }
        }
    }

    fn take_snapshot(&mut self, catalog: &Catalog) {
        self.snapshot = catalog.head_hashes().collect();
        self.snapshot.sort_unstable();
    }

    fn sketch(&mut self, count: usize) {
        let heads = u32::try_from(self.snapshot.len()).unwrap_or(u32::MAX);
        let Some(encoder) = &mut self.encoder else { return };
        let symbols = encoder.encode(count);
        self.ready.push_back(Frame::Sketch(Sketch { heads, symbols }));
    }

    /// Nobody needs more symbols than heads would cost.
    fn tell_more(&mut self, count: usize) -> Result<Step, ProtocolViolation> {
        let most = most_symbols(self.snapshot.len());
        let coded = self.encoder.as_ref().map_or(usize::MAX, Encoder::coded);
        let asked = coded.saturating_add(count);
        // Each frame is a pass over all heads: a peer that asks for one symbol at a time gets few.
        let small = coded > ESTIMATED_AFTER && count < coded / 32;
        if asked > most || count > MAX_SYMBOLS_PER_FRAME || small || self.heads_received > 0 {
            return Err(ProtocolViolation);
        }
        self.sketch(count);
        Ok(Step::Nothing)
    }

    fn take_sketch(
        &mut self,
        sketch: &Sketch,
        catalog: &Catalog,
    ) -> Result<Step, ProtocolViolation> {
        let others = sketch.heads as usize;
        if !self.is_opener || self.role != Role::Undecided || others > MAX_ORIGINS + MAX_GRAVES {
            return Err(ProtocolViolation);
        }
        if self.decoder.is_none() {
            self.take_snapshot(catalog);
            let decoder = Decoder::new(self.snapshot.iter().map(|(hash, _)| *hash));
            self.decoder = Some(decoder);
        }
        let Some(decoder) = &mut self.decoder else { return Err(ProtocolViolation) };
        if decoder.received() + sketch.symbols.len() != self.asked {
            return Err(ProtocolViolation);
        }
        match decoder.decode(&sketch.symbols) {
            Ok(Some(difference)) => self.tell(&difference, catalog),
            Ok(None) => {
                let (received, differ) = (decoder.received(), decoder.estimate(others));
                let more = next_symbols(received, differ);
                let fewer = self.snapshot.len().min(others);
                let dear = more * Symbol::BYTES + differ / 2 * HEAD_BYTES >= fewer * HEAD_BYTES;
                if dear || received + more > most_symbols(fewer) {
                    self.give_up_sketch(others, catalog);
                } else {
                    self.asked += more;
                    self.ready.push_back(Frame::More(u32::try_from(more).unwrap_or(u32::MAX)));
                }
            }
            Err(_) => self.give_up_sketch(others, catalog),
        }
        Ok(Step::Nothing)
    }

    /// All heads of the side that has fewer of them.
    fn give_up_sketch(&mut self, others: usize, catalog: &Catalog) {
        self.decoder = None;
        if self.snapshot.len() <= others {
            self.tell_all(catalog);
            return;
        }
        self.role = Role::Comparer;
        self.ends = true;
        self.awaits_end = false;
        self.ready.push_back(Frame::More(0));
    }

    fn tell_all_instead(&mut self, catalog: &Catalog) -> Result<Step, ProtocolViolation> {
        if self.encoder.take().is_none() || self.heads_received > 0 {
            return Err(ProtocolViolation);
        }
        self.ends = false;
        self.awaits_end = true;
        self.tell_all(catalog);
        Ok(Step::Nothing)
    }

    fn tell_all(&mut self, catalog: &Catalog) {
        let heads: Vec<Want> = catalog.all_wants().collect();
        self.push_heads(&heads, &[], catalog, true);
    }

    fn tell(&mut self, difference: &Difference, catalog: &Catalog) {
        self.decoder = None;
        let origin = |hash: &u64| {
            let place = self.snapshot.binary_search_by_key(hash, |(hash, _)| *hash).ok()?;
            self.snapshot.get(place).map(|(_, origin)| *origin)
        };
        let heads: Vec<Want> =
            difference.ours.iter().filter_map(origin).flat_map(|id| catalog.wants(id)).collect();
        // A head that both have in different states is told by ours. When the other side has no more than we told, all of
        // its own are most likely those; if not, the next session finds the rest.
        let unknown = if difference.theirs.len() > difference.ours.len() {
            difference.theirs.iter().map(|hash| prefix(*hash)).collect()
        } else {
            Vec::new()
        };
        self.push_heads(&heads, &unknown, catalog, false);
    }

    /// Lists heads as the teller. What we know beyond gaps is sent in any case: nobody can ask for what no head shows.
    fn push_heads(&mut self, heads: &[Want], unknown: &[[u8; 4]], catalog: &Catalog, whole: bool) {
        self.role = Role::Teller;
        let beyond = heads.iter().filter(|want| catalog.has_beyond(want.origin));
        let served = beyond
            .filter_map(|want| catalog.head(want.origin).filter(|head| head.epoch == want.epoch));
        self.lacking.extend(served.map(|head| Want {
            origin: head.origin,
            epoch: head.epoch,
            after: head.known_to,
            gc_floor: 0,
        }));
        let marked = |heads: Heads| if whole { heads.whole() } else { heads };
        let has_beyond = !self.lacking.is_empty();
        self.ends |= has_beyond;
        let beyond = |heads: Heads| if has_beyond { heads.beyond() } else { heads };
        self.push_lists(heads, unknown, |heads| beyond(marked(heads)));
    }

    fn push_lists(
        &mut self,
        heads: &[Want],
        unknown: &[[u8; 4]],
        last: impl FnOnce(Heads) -> Heads,
    ) {
        let frames = heads.len().max(unknown.len()).div_ceil(ITEMS_PER_FRAME).max(1);
        let mut heads = heads.chunks(ITEMS_PER_FRAME);
        let mut unknown = unknown.chunks(ITEMS_PER_FRAME);
        let mut lists: Vec<Heads> = (0..frames)
            .map(|_| {
                let heads = heads.next().unwrap_or_default().to_vec();
                Heads::part(heads, unknown.next().unwrap_or_default().to_vec())
            })
            .collect();
        let end = lists.pop().unwrap_or_default();
        self.ready.extend(lists.into_iter().map(Frame::Heads));
        self.ready.push_back(Frame::Heads(last(end.last())));
    }

    fn take_heads(&mut self, heads: Heads) -> Result<Step, ProtocolViolation> {
        self.heads_received += heads.heads.len() + heads.unknown.len();
        if self.heads_complete || self.heads_received > 2 * MAX_HEADS {
            return Err(ProtocolViolation);
        }
        self.heads_complete = heads.is_last();
        match self.role {
            Role::Undecided => Err(ProtocolViolation),
            Role::Teller => {
                self.ends = true;
                self.lacking.extend(heads.heads);
                Ok(Step::Nothing)
            }
            Role::Comparer => {
                self.peer_is_whole = heads.is_whole();
                self.awaits_end |= heads.is_beyond();
                let told = heads.heads.into_iter();
                self.peer_heads.extend(told.map(|want| ((want.origin, want.epoch), want)));
                self.peer_unknown.extend(heads.unknown);
                Ok(if self.heads_complete { Step::Compare } else { Step::Nothing })
            }
        }
    }

    /// The epoch in which the peer knows, or waits for, an origin.
    pub(crate) fn told_epoch(&self, origin: NodeId) -> Option<Epoch> {
        let told = self.peer_heads.range((origin, Epoch(0))..=(origin, Epoch::MAX));
        told.map(|((_, epoch), _)| *epoch).next_back()
    }

    /// Lists what the peer lacks, by the heads that it told, and asks for what we lack. `moved` tells when a head of ours
    /// moved, if that was lately: what is news goes first, then what is missed most.
    pub(crate) fn compare(&mut self, catalog: &Catalog, moved: impl Fn(NodeId) -> Option<Time>) {
        self.encoder = None;
        let told = std::mem::take(&mut self.peer_heads);
        let unknown = std::mem::take(&mut self.peer_unknown);
        let snapshot = std::mem::take(&mut self.snapshot);
        let mut candidates: BTreeSet<NodeId> = told.keys().map(|(origin, _)| *origin).collect();
        if self.peer_is_whole {
            candidates.extend(catalog.heads().map(|head| head.origin));
        }
        let named = snapshot.iter().filter(|(hash, _)| unknown.contains(&prefix(*hash)));
        candidates.extend(named.map(|(_, origin)| *origin));
        let mut lacking = Vec::new();
        let mut wants = Vec::new();
        for origin in candidates {
            let nothing = Want { origin, epoch: Epoch(0), after: 0, gc_floor: 0 };
            let in_epoch = |epoch: Epoch| told.get(&(origin, epoch)).copied();
            let latest = told.range((origin, Epoch(0))..=(origin, Epoch::MAX)).next_back();
            let latest = latest.map_or(nothing, |(_, want)| *want);
            let mut newest = true;
            for ours in catalog.wants(origin) {
                let behind = match in_epoch(ours.epoch) {
                    Some(theirs) => ours.after < theirs.after,
                    None => newest && ours.epoch < latest.epoch,
                };
                wants.extend(behind.then_some(ours));
                newest = false;
            }
            let Some(head) = catalog.head(origin) else { continue };
            let theirs = in_epoch(head.epoch).unwrap_or(latest);
            let told = (theirs.epoch, theirs.after);
            let level = told == (head.epoch, head.known_to) && catalog.has_beyond(origin);
            if told < (head.epoch, head.known_to) || level {
                let missing = head.known_to.saturating_sub(theirs.after);
                lacking.push(((moved(origin), missing), theirs));
            }
        }
        lacking.sort_by_key(|(order, _)| *order);
        self.lacking = lacking.into_iter().map(|(_, want)| want).collect();
        if !wants.is_empty() {
            self.awaits_end = true;
            self.push_lists(&wants, &[], |heads| heads);
        }
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
        let frame = self.ready.pop_front().or_else(|| self.next_of_lacking(catalog))?;
        self.told_all = matches!(frame, Frame::End | Frame::Deltas { last: true, .. });
        self.frames_sent += 1;
        self.in_flight += 1;
        Some(frame)
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    fn next_of_lacking(&mut self, catalog: &Catalog) -> Option<Frame> {
        let undecided = self.role == Role::Comparer && !self.heads_complete;
        if undecided || (self.lacking.is_empty() && !self.heads_complete) {
            return None;
        }
        if !self.ends {
            self.told_all = self.peer_told_all;
            return None;
        }
        if self.frames_sent + 1 >= MAX_FRAMES_PER_SESSION {
            return Some(Frame::End);
        }
        let deltas = self.next_deltas(catalog);
        let last = self.lacking.is_empty() && self.heads_complete;
        match (deltas.is_empty(), last) {
            (true, true) => Some(Frame::End),
            (true, false) => None,
            (false, last) => Some(Frame::Deltas { deltas, last }),
        }
    }

    fn next_deltas(&mut self, catalog: &Catalog) -> Vec<Delta> {
        let mut room = MAX_FRAME_BYTES - FRAME_OVERHEAD_BYTES;
        let mut deltas = Vec::new();
        while let Some(want) = self.lacking.last_mut() {
            let Some(mut delta) = catalog.answer(want, room) else {
                // Nothing is left of this origin, or there is no room for more of it in this frame.
                if deltas.is_empty() || !catalog.has_more(want) {
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
            let complete = !catalog.has_more(want);
            deltas.push(delta);
            if complete {
                self.lacking.pop();
            } else if room < FRAME_OVERHEAD_BYTES {
                break;
            }
        }
        deltas
    }

    /// Both sides have told all.
    pub(crate) fn is_complete(&self) -> bool {
        self.told_all && (self.peer_told_all || !self.awaits_end)
    }
}

/// How many symbols a side with so many heads is asked for at most: by then all of them would have cost less.
fn most_symbols(heads: usize) -> usize {
    2 * heads + 8 * SMALL_STEP
}

/// How many more symbols to ask for, with so many received and about so many elements that differ. At first, and close to
/// what is likely to be enough, the steps are small, so that few are wasted.
fn next_symbols(received: usize, differ: usize) -> usize {
    let step = (received / 8).clamp(SMALL_STEP, MAX_SYMBOLS_PER_FRAME);
    if received < ESTIMATED_AFTER {
        return step;
    }
    let likely = differ.saturating_add(differ / 4);
    likely.saturating_sub(received).clamp(step, (8 * received).min(MAX_SYMBOLS_PER_FRAME).max(step))
}

fn prefix(hash: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = hash.to_le_bytes();
    [a, b, c, d]
}

/// An empty list costs its receiver a frame and tells it nothing; nobody honest sends one.
fn says_nothing(frame: &Frame) -> bool {
    match frame {
        Frame::Members(members) => members.is_empty(),
        Frame::Sketch(sketch) => sketch.symbols.is_empty(),
        Frame::Heads(heads) => {
            heads.heads.is_empty() && heads.unknown.is_empty() && !heads.is_last()
        }
        Frame::Deltas { deltas, .. } => deltas.is_empty(),
        Frame::Opening(_) | Frame::More(_) | Frame::End | Frame::Ping(..) | Frame::Pong(_) => false,
    }
}

#[cfg(test)]
mod tests;
