//! The reads of one service, in rounds: each asks all voters, until a majority reports one digest.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::calls::Pace;
use super::votes::{Speaker, Vote, VoterLives};
use crate::base::identity::NodeId;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::codec::encoded_len;
use crate::quorum::chain::{Chain, Seat};
use crate::quorum::entry::{Entry, OriginEnd, Stamp};
use crate::quorum::ledger::{Ledger, Spot};
use crate::quorum::message::{Last, Look, PAGE_BYTES, Seen};
use crate::quorum::{Failure, Op, OpId, Outcome};

/// Ends of origins that one look brings to a voter.
const MAX_ENDS_OF_LOOK: usize = 256;
/// Registers of one service that a reader takes.
pub(crate) const MAX_READ_ENTRIES: usize = 131_072;
/// Bytes of one service that a reader takes.
pub(crate) const MAX_READ_BYTES: usize = 32 * 1024 * 1024;
/// Bytes that the end of an origin takes, roughly.
const END_BYTES: usize = 32;

/// What a look at a voter was made with.
#[derive(Debug)]
pub(crate) struct MadeLook {
    pub(crate) service: SmolStr,
    round: u64,
    known: u128,
    seq: u64,
    sent: Vec<(Spot, Stamp)>,
    lists: bool,
    /// Whether there are more ends of origins to bring.
    has_more_ends: bool,
}

/// The reads of one service.
#[derive(Debug, Default)]
pub(crate) struct ServiceRead {
    /// The join of all that voters told of the service.
    joined: Ledger,
    /// Bytes of `joined`, roughly.
    bytes: usize,
    /// Voters told more than is taken.
    is_too_large: bool,
    /// Grows with each change of `joined`; each register has the number of its last change.
    seq: u64,
    seqs: BTreeMap<Spot, u64>,
    /// Reads that came during the round. They need reports that voters make later, so they take the next one.
    pub(crate) waiting: Vec<Op>,
    pub(crate) round: Option<Round>,
    pub(crate) last_read: Time,
}

#[derive(Debug, Default)]
pub(crate) struct Round {
    id: u64,
    ops: Vec<Op>,
    peers: BTreeMap<NodeId, Peer>,
}

/// A voter, as a round sees it.
#[derive(Debug, Default)]
struct Peer {
    pace: Pace,
    report: Option<(Vote, u128)>,
    /// The voter holds every register of the join up to this number, and these registers.
    has_to: u64,
    has: BTreeMap<Spot, Stamp>,
    /// Whether all that the voter held has been told.
    is_complete: bool,
    next: Option<Last>,
    /// The last end of an origin that was brought, if there are more.
    ends_after: Option<NodeId>,
}

impl ServiceRead {
    /// Bytes of what is kept.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.round.is_none() && self.waiting.is_empty()
    }

    /// Begins a round for the reads that wait.
    pub(crate) fn begin_round(&mut self, id: u64) {
        let ops = std::mem::take(&mut self.waiting);
        self.round = Some(Round { id, ops, ..Round::default() });
    }

    /// Notes that a voter does not vote.
    pub(crate) fn refused(&mut self, from: NodeId) {
        if let Some(peer) = self.round.as_mut().and_then(|round| round.peers.get_mut(&from)) {
            peer.report = None;
        }
    }

    fn join(&mut self, entry: &Entry) {
        let spot = (entry.place.origin, entry.place.id.clone());
        let before = self.joined.entry(&entry.place.service, &spot);
        if self.joined.join(entry) {
            self.bytes += encoded_len(entry);
            self.bytes -= before.as_ref().map_or(0, encoded_len);
            self.seq += 1;
            self.seqs.insert(spot, self.seq);
        }
    }

    /// Takes what a voter told. Returns whether there was room for it.
    fn take(&mut self, entries: &[Entry], ends: &[OriginEnd], room: usize) -> bool {
        let more: usize = entries.iter().map(encoded_len).sum();
        let more = more + ends.len() * END_BYTES;
        let bytes = self.bytes + more;
        let registers = self.joined.len() + entries.len();
        if registers > MAX_READ_ENTRIES || bytes > MAX_READ_BYTES || more > room {
            return false;
        }
        entries.iter().for_each(|entry| self.join(entry));
        for end in ends {
            let is_news = self.joined.join_end(*end);
            self.bytes += if is_news { END_BYTES } else { 0 };
        }
        true
    }

    /// Drops all that was read, and ends all reads: the service is too large to be read.
    fn give_up(&mut self, over: &mut Vec<(OpId, Outcome)>) {
        let round = self.round.take();
        let ops = round.into_iter().flat_map(|round| round.ops);
        let ops = std::mem::take(&mut self.waiting).into_iter().chain(ops);
        over.extend(ops.map(|op| (op.id, Outcome::Unread(Failure::TooLarge))));
        *self = Self { last_read: self.last_read, ..Self::default() };
    }

    /// When something is due, beside that what was read is forgotten.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let waiting = self.waiting.iter().map(|op| op.until);
        let round = self.round.iter();
        let paces = round.clone().flat_map(|it| it.peers.values());
        let paces = paces.filter_map(|peer| peer.pace.deadline());
        let ops = round.flat_map(|it| it.ops.iter().map(|op| op.until));
        waiting.chain(paces).chain(ops).min()
    }

    pub(crate) fn due(
        &mut self,
        service: &SmolStr,
        seat: Seat,
        chain: &Chain,
        lives: &VoterLives,
        now: Time,
    ) -> Option<(Look, MadeLook)> {
        let Self { joined, seq, seqs, round, .. } = self;
        let round = round.as_mut()?;
        let digest = joined.digest(service);
        let may_write_back = chain
            .has_majorities(|seat| round.has_told(seat, chain, lives, |peer| peer.is_complete));
        let id = round.id;
        let peer = round.peers.entry(seat.node).or_default();
        let counts = |vote: Vote| lives.counts(seat, vote) && vote.knew(chain);
        let agrees = peer.report.is_some_and(|(vote, it)| counts(vote) && it == digest);
        let has_told = peer.report.is_some_and(|(vote, _)| counts(vote));
        let is_waiting = peer.is_complete && !may_write_back && has_told;
        if agrees || is_waiting || !peer.pace.is_due(now) {
            return None;
        }
        let mut look = Look {
            service: service.clone(),
            entries: Vec::new(),
            ends: Vec::new(),
            known: digest,
            lists: true,
            after: peer.next.clone(),
        };
        let mut made = MadeLook {
            service: service.clone(),
            round: id,
            known: digest,
            seq: *seq,
            sent: Vec::new(),
            lists: true,
            has_more_ends: false,
        };
        if peer.is_complete {
            let mut ends = joined.ends_after(peer.ends_after);
            look.ends = ends.by_ref().take(MAX_ENDS_OF_LOOK).collect();
            made.has_more_ends = ends.next().is_some();
            let last = look.ends.last().map(|end| end.origin);
            peer.ends_after = last.filter(|_| made.has_more_ends);
            look.lists = !made.has_more_ends;
            made.lists = look.lists;
            let mut left = PAGE_BYTES;
            for (spot, stamp) in joined.spots(service) {
                let is_held = seqs.get(spot).is_some_and(|at| *at <= peer.has_to)
                    || peer.has.get(spot).is_some_and(|has| *has >= stamp);
                let Some(entry) = (!is_held).then(|| joined.entry(service, spot)).flatten() else {
                    continue;
                };
                let len = encoded_len(&entry);
                if len > left {
                    (look.lists, made.lists) = (false, false);
                    break;
                }
                left -= len;
                made.sent.push((spot.clone(), stamp));
                look.entries.push(entry);
            }
        }
        Some((look, made))
    }

    /// Takes what a voter saw. It may bring so many bytes at most.
    pub(crate) fn answered(&mut self, from: &Speaker<'_>, look: MadeLook, seen: Seen, room: usize) {
        let is_current = self.round.as_ref().is_some_and(|round| round.id == look.round);
        if !is_current {
            return;
        }
        let Seen { digest, entries, ends, next, is_listed } = seen;
        let entries = entries.into_iter().filter(|entry| entry.place.service == look.service);
        let listed: Vec<Entry> = entries.collect();
        let before = self.seq;
        if !self.take(&listed, &ends, room) {
            self.is_too_large = true;
            return;
        }
        let joined = self.joined.digest(&look.service);
        let has_grown = self.seq > before;
        let Some(round) = self.round.as_mut() else { return };
        let peer = round.peers.entry(from.node).or_default();
        let has_more = look.has_more_ends || next.is_some();
        if digest == look.known || has_grown || !look.sent.is_empty() || has_more {
            peer.pace.answered();
        } else {
            // The voter does not hold what it is believed to hold. It is asked anew, and not at once.
            (peer.has_to, peer.has) = (0, BTreeMap::new());
        }
        peer.report = Some((Vote::of(from), digest));
        let sent = look.sent.into_iter();
        let listed = listed.into_iter().map(|it| ((it.place.origin, it.place.id), it.stamp));
        peer.has.extend(sent.chain(listed));
        if digest == look.known {
            peer.has_to = look.seq;
            peer.is_complete = true;
            peer.next = None;
        } else if is_listed {
            peer.is_complete = next.is_none();
            peer.next = next;
        } else if look.lists {
            // The reply had no room for the list.
            peer.is_complete = false;
        }
        if mutant::is(Mutant::NoWriteBack) && peer.is_complete {
            // The voter is taken to hold the join without being told.
            peer.report = Some((Vote::of(from), joined));
        }
    }

    /// Takes the reads that are over.
    pub(crate) fn take_over(
        &mut self,
        service: &SmolStr,
        chain: Option<&Chain>,
        lives: &VoterLives,
        now: Time,
        over: &mut Vec<(OpId, Outcome)>,
    ) {
        if self.is_too_large {
            return self.give_up(over);
        }
        let failure = self.failure(chain, lives);
        if let Some(round) = self.round.as_mut()
            && let Some(chain) = chain
        {
            let digest = self.joined.digest(service);
            let merges = mutant::is(Mutant::RepliesMerged);
            let agrees = |seat| {
                round.has_told(seat, chain, lives, |peer| {
                    peer.report.is_some_and(|(_, it)| it == digest) || (merges && peer.is_complete)
                })
            };
            if chain.has_majorities(agrees) {
                let live = self.joined.live(service);
                let ops = std::mem::take(&mut round.ops);
                over.extend(ops.iter().map(|op| (op.id, Outcome::Read(live.clone()))));
            }
        }
        let late = |ops: &mut Vec<Op>| -> Vec<OpId> {
            ops.extract_if(.., |op| op.until <= now).map(|op| op.id).collect()
        };
        let mut failed = late(&mut self.waiting);
        if let Some(round) = self.round.as_mut() {
            failed.extend(late(&mut round.ops));
        }
        over.extend(failed.into_iter().map(|id| (id, Outcome::Unread(failure.clone()))));
        if self.round.as_ref().is_some_and(|round| round.ops.is_empty()) {
            self.round = None;
        }
    }

    /// Why a read that ends now without an answer has none.
    fn failure(&self, chain: Option<&Chain>, lives: &VoterLives) -> Failure {
        let Some(chain) = chain else { return Failure::NoVoters };
        let told = |seat| {
            self.round.as_ref().is_some_and(|round| round.has_told(seat, chain, lives, |_| true))
        };
        if chain.has_majorities(told) {
            return Failure::Contended;
        }
        let (answered, silent) = chain.seats().iter().partition(|seat| told(**seat));
        Failure::no_quorum(answered, silent)
    }
}

impl Round {
    /// Whether a voter has made a report that counts and satisfies a condition.
    fn has_told(
        &self,
        seat: Seat,
        chain: &Chain,
        lives: &VoterLives,
        is_right: impl Fn(&Peer) -> bool,
    ) -> bool {
        let counts = |vote: Vote| lives.counts(seat, vote) && vote.knew(chain);
        self.peers
            .get(&seat.node)
            .is_some_and(|peer| peer.report.is_some_and(|(vote, _)| counts(vote)) && is_right(peer))
    }
}
