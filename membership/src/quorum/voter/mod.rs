//! The voter: what a node keeps for others, and how it answers them.

mod deciding;
pub(crate) mod image;
mod standing;
pub(crate) mod storing;

pub use standing::{Provenance, QuorumCounters, Standing};

use self::image::{
    Change, Image, MAX_RECOVERY_STEP, OwnSeat, RESERVE_OF_READS, Reserve, VoterLife,
};
use self::storing::Storing;
use crate::base::identity::NodeId;
use crate::base::mutants::{self as mutant, Mutant};
use crate::codec::encoded_len;
use crate::quorum::chain::{Chain, MAX_NUMBER_STEP};
use crate::quorum::entry::{Fence, Stamp};
use crate::quorum::message::{
    Answer, Ask, Deposit, Last, Look, MESSAGE_BYTES, PAGE_BYTES, Page, Part, Recover, Reply, Seen,
    Voice,
};

/// A list of registers is left out if the reply has no room for so much. It is asked for again.
const LEAST_LIST_BYTES: usize = 1_024;

/// A node that keeps an image on disk.
#[derive(Debug)]
pub(crate) struct Voter {
    own: NodeId,
    image: Image,
    pub(crate) storing: Storing,
    /// Another voter remembers a later recovery of this node than its image does.
    is_outdated: bool,
    /// Whether this node may have accepted a first configuration, and does not know it.
    is_forgetful: bool,
    pub(crate) counters: QuorumCounters,
}

impl Voter {
    /// A node with the image that it found on its disk.
    pub(crate) fn new(own: NodeId, image: Image, provenance: Provenance) -> Self {
        let is_proven = provenance == Provenance::Proven;
        let is_forgetful =
            provenance == Provenance::Unproven && !mutant::is(Mutant::ForgetfulFounder);
        let (storing, counters) = Default::default();
        let mut this = Self { own, image, storing, is_outdated: false, is_forgetful, counters };
        let seat = this.image.seat;
        if !is_proven && seat.token != 0 && !mutant::is(Mutant::RolledBackVotes) {
            this.apply(Change::Seat(OwnSeat { is_doubtful: true, ..seat }));
        }
        this
    }

    /// Goes on after another voter of this node, with its counters, and with further numbers of writes to the disk.
    pub(crate) fn follow(&mut self, ended: &Self) {
        self.storing.follow(&ended.storing);
        self.counters = ended.counters;
    }

    pub(crate) fn image(&self) -> &Image {
        &self.image
    }

    pub(crate) fn chain(&self) -> Option<&Chain> {
        self.image.chain.as_ref()
    }

    /// Takes a change, and notes it for the disk if it is news.
    pub(crate) fn apply(&mut self, change: Change) -> bool {
        let is_news = self.image.apply(&change);
        if is_news {
            self.storing.add(change);
        }
        is_news
    }

    /// Takes what another node knows of the configurations. Returns whether it is news.
    pub(crate) fn learn(&mut self, chain: Option<&Chain>) -> bool {
        let Some(chain) = chain.filter(|chain| chain.is_valid()) else { return false };
        let known = self.image.chain.as_ref().map_or(0, |chain| chain.installed.number);
        if chain.installed.number > known.saturating_add(MAX_NUMBER_STEP) {
            self.counters.numbers_refused += 1;
            return false;
        }
        self.apply(Change::Chain(chain.clone()))
    }

    /// Takes a change from the image of another voter. Numbers move one step at most. Returns whether it is taken as it is.
    pub(crate) fn adopt(&mut self, change: Change) -> bool {
        match change {
            // What a node is as a voter, it knows itself.
            Change::Seat(_) | Change::CaughtUp(_) | Change::Founded(_) => {}
            Change::Chain(chain) => drop(self.learn(Some(&chain))),
            Change::Life(life) => {
                let known = self.image.lives.get(&(life.node, life.token)).copied();
                if life.recoveries > known.unwrap_or_default().saturating_add(MAX_RECOVERY_STEP) {
                    self.counters.numbers_refused += 1;
                } else {
                    self.apply(Change::Life(life));
                }
            }
            Change::Acceptor(number, told) => {
                let held = self.image.acceptors.get(&number).cloned().unwrap_or_default();
                let Some(step) = held.towards(&told) else {
                    self.apply(Change::Acceptor(number, told));
                    return true;
                };
                self.counters.numbers_refused += 1;
                // Nothing moves that is not the successor's.
                return !self.apply(Change::Acceptor(number, step));
            }
            change => drop(self.apply(change)),
        }
        true
    }

    /// Whether the node votes.
    pub(crate) fn standing(&self) -> Standing {
        let token = self.image.chain.as_ref().and_then(|chain| chain.token(self.own));
        match token {
            None => Standing::NoSeat,
            Some(token) if token != self.image.seat.token || self.is_outdated => Standing::Lost,
            Some(_) if self.image.seat.is_doubtful => Standing::Doubtful,
            Some(_) => Standing::Votes,
        }
    }

    /// Notes that another voter remembers a later recovery of this node.
    pub(crate) fn set_outdated(&mut self) {
        self.is_outdated = true;
    }

    /// Whether this node may have accepted a first configuration, and does not know it.
    pub(crate) fn is_forgetful(&self) -> bool {
        self.is_forgetful && self.image.chain.is_none() && self.image.founded.is_none()
    }

    /// Takes an operator's word that this node accepted no first configuration before.
    pub(crate) fn set_unforgetful(&mut self) {
        self.is_forgetful = false;
    }

    /// Notes that a recovery begins.
    pub(crate) fn begin_recovery(&mut self, recoveries: u32) {
        let seat = self.image.seat;
        self.apply(Change::Seat(OwnSeat { begun: seat.begun.max(recoveries), ..seat }));
    }

    /// The highest number of a recovery that this node knows to have begun under a token.
    pub(crate) fn recoveries_begun(&self, token: u64) -> u32 {
        let seat = self.image.seat;
        if seat.token == token { seat.recoveries.max(seat.begun) } else { 0 }
    }

    /// Votes again, after it read what it may have lost, or by the word of an operator.
    pub(crate) fn recovered(&mut self, token: u64, recoveries: u32) {
        let number = self.image.chain.as_ref().map_or(0, |chain| chain.installed.number);
        self.is_outdated = false;
        let begun = recoveries;
        self.apply(Change::Seat(OwnSeat { number, token, recoveries, is_doubtful: false, begun }));
    }

    pub(crate) fn voice(&self) -> Voice {
        let chain = self.image.chain.as_ref();
        let lives = self.image.lives.iter().map(|((node, token), recoveries)| VoterLife {
            node: *node,
            token: *token,
            recoveries: *recoveries,
        });
        let counts =
            |life: &VoterLife| chain.is_some_and(|it| it.token(life.node) == Some(life.token));
        let seat = self.image.seat;
        Voice {
            token: seat.token,
            recoveries: seat.recoveries,
            is_lost: self.standing() == Standing::Lost,
            lives: if mutant::is(Mutant::OldLivesVote) {
                Vec::new()
            } else {
                lives.filter(counts).collect()
            },
        }
    }

    /// Answers questions. The reply goes out when all that it tells is on disk.
    pub(crate) fn answer(&mut self, from: NodeId, ask: Ask, mut draw: impl FnMut() -> u64) {
        if !self.storing.has_room() {
            self.counters.questions_dropped += 1;
            return;
        }
        self.learn(ask.chain.as_ref());
        let mut room = MESSAGE_BYTES;
        let parts = ask.parts.into_iter();
        let answers =
            parts.map(|part| self.answer_part(from, part, &mut room, &mut draw)).collect();
        let (voice, chain) = (self.voice(), self.image.chain.clone());
        self.storing.hold(from, Reply { number: ask.number, voice, chain, answers });
    }

    /// Answers one question. Lists of registers take from the `room` of the reply.
    fn answer_part(
        &mut self,
        from: NodeId,
        part: Part,
        room: &mut usize,
        draw: impl FnMut() -> u64,
    ) -> Answer {
        let standing = self.standing();
        let votes = standing == Standing::Votes;
        match part {
            Part::Enlist(number, is_first) => self.enlist(number, is_first, draw),
            Part::Found(configuration) => self.found(&configuration),
            Part::Lives => {
                let token = self.image.chain.as_ref().and_then(|chain| chain.token(from));
                let life = token.and_then(|token| self.image.lives.get(&(from, token)));
                Answer::Life(life.copied().unwrap_or_default())
            }
            Part::Recover(recover) => self.assist(from, recover, standing, room),
            Part::Image(after) if votes => self.page(after.as_ref(), room),
            Part::Look(look) if votes => self.look(look, room),
            Part::Write(deposit) if votes => self.write(deposit),
            Part::Prepare(number, ballot) if votes => self.prepare(number, ballot),
            Part::Accept(proposal) if votes => self.accept(proposal),
            Part::CaughtUp(number) if votes => {
                Answer::CaughtUp(self.image.caught_up >= number || mutant::is(Mutant::SkipJoint))
            }
            Part::Unknown => Answer::Unknown,
            _ => Answer::NotVoting,
        }
    }

    fn page(&self, after: Option<&image::Cursor>, room: &mut usize) -> Answer {
        if *room < LEAST_LIST_BYTES {
            return Answer::Later;
        }
        let (changes, next) = self.image.page(after, PAGE_BYTES.min(*room));
        *room = room.saturating_sub(changes.iter().map(encoded_len).sum());
        Answer::Page(Page { changes, next })
    }

    fn look(&mut self, look: Look, room: &mut usize) -> Answer {
        let Look { service, entries, ends, known, lists, after } = look;
        if !self.image.has_room(&entries, &ends, None, RESERVE_OF_READS) {
            self.counters.writes_full += 1;
            return Answer::Full;
        }
        if !self.image.has_room(&entries, &ends, None, Reserve::default()) {
            self.counters.writes_beyond += 1;
        }
        for entry in entries {
            self.apply(Change::Entry(entry));
        }
        for end in ends {
            self.apply(Change::End(end));
        }
        let digest = self.image.ledger.digest(&service);
        if digest == known || !lists || *room < LEAST_LIST_BYTES {
            return Answer::Seen(Seen {
                digest,
                entries: Vec::new(),
                ends: Vec::new(),
                next: None,
                is_listed: false,
            });
        }
        let after = after.map(|last| (last.origin, last.id));
        let bytes = PAGE_BYTES.min(*room);
        let (entries, ends, next) = self.image.ledger.page(&service, after.as_ref(), bytes);
        let told = entries.iter().map(encoded_len).sum::<usize>();
        *room = room.saturating_sub(told + ends.iter().map(encoded_len).sum::<usize>());
        let next = next.map(|(origin, id)| Last { origin, id });
        Answer::Seen(Seen { digest, entries, ends, next, is_listed: true })
    }

    fn write(&mut self, deposit: Deposit) -> Answer {
        let Deposit { entries, ends, fence } = deposit;
        if let Some(fence) = fence {
            if let Some(answer) = self.refuses(fence, &entries) {
                return answer;
            }
        } else if !entries.is_empty() {
            return Answer::Unknown;
        }
        if !self.image.has_room(&entries, &ends, fence.as_ref(), Reserve::default()) {
            self.counters.writes_full += 1;
            return Answer::Full;
        }
        if let Some(fence) = fence {
            self.apply(Change::Fence(fence));
        }
        for entry in entries {
            self.apply(Change::Entry(entry));
        }
        for end in ends {
            self.apply(Change::End(end));
        }
        Answer::Done
    }

    fn refuses(&self, fence: Fence, entries: &[crate::quorum::entry::Entry]) -> Option<Answer> {
        if mutant::is(Mutant::FenceMissing) {
            return None;
        }
        let own = entries
            .iter()
            .all(|entry| entry.place.origin == fence.origin && entry.stamp.epoch == fence.epoch);
        if !own {
            return Some(Answer::Unknown);
        }
        let end = self.image.ledger.end_of(fence.origin);
        // A life that an operator ended goes on under another epoch, so that it writes all anew.
        if end != Stamp::default() && fence.epoch <= end.epoch {
            return Some(Answer::Fenced(end.epoch.next()));
        }
        let (epoch, key) = self.image.fences.get(&fence.origin).copied()?;
        let is_other = key != 0 && key != fence.key;
        (epoch > fence.epoch || is_other).then_some(Answer::Fenced(epoch))
    }

    /// Helps a voter to recover.
    fn assist(
        &mut self,
        from: NodeId,
        recover: Recover,
        standing: Standing,
        room: &mut usize,
    ) -> Answer {
        let Recover { token, recoveries, after } = recover;
        let is_voter =
            self.image.chain.as_ref().is_some_and(|chain| chain.token(from) == Some(token));
        if !is_voter || !matches!(standing, Standing::Votes | Standing::Doubtful) {
            return Answer::NotVoting;
        }
        let known = self.image.lives.get(&(from, token)).copied().unwrap_or_default();
        if recoveries > known + MAX_RECOVERY_STEP {
            self.counters.numbers_refused += 1;
            return Answer::NotVoting;
        }
        self.apply(Change::Life(VoterLife { node: from, token, recoveries }));
        self.page(after.as_ref(), room)
    }
}
