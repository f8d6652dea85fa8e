//! The voter: what a node keeps for others, and how it answers them.

pub(crate) mod image;
mod standing;
pub(crate) mod storing;

pub use standing::{Provenance, QuorumCounters, Standing};

use self::image::{Change, Image, MAX_RECOVERY_STEP, OwnSeat, VoterLife};
use self::storing::Storing;
use crate::base::identity::NodeId;
use crate::base::mutants::{self as mutant, Mutant};
use crate::codec::encoded_len;
use crate::quorum::chain::{Acceptor, Ballot, Chain, Configuration, Proposal};
use crate::quorum::entry::Fence;
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
        chain.is_some_and(|chain| chain.is_valid() && self.apply(Change::Chain(chain.clone())))
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
        if !self.image.has_room(&entries, &ends, None) {
            self.counters.writes_full += 1;
            return Answer::Full;
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
        if !self.image.has_room(&entries, &ends, fence.as_ref()) {
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
        if entries.iter().any(|entry| entry.stamp <= end) {
            return Some(Answer::Fenced(end.epoch.next()));
        }
        let (epoch, key) = self.image.fences.get(&fence.origin).copied()?;
        let is_other = key != 0 && key != fence.key;
        (epoch > fence.epoch || is_other).then_some(Answer::Fenced(epoch))
    }

    fn enlist(&mut self, number: u64, is_first: bool, mut draw: impl FnMut() -> u64) -> Answer {
        match self.standing() {
            Standing::Votes => return Answer::Enlisted(self.image.seat.token),
            Standing::NoSeat => {}
            Standing::Doubtful | Standing::Lost => return Answer::NotVoting,
        }
        if self.image.chain.is_none() {
            if self.image.founded.is_some() {
                return Answer::Enlisted(self.image.seat.token);
            }
            if self.is_forgetful() && !is_first {
                return Answer::Forgetful;
            }
            self.is_forgetful = false;
        }
        if self.image.seat.number != number || self.image.seat.is_doubtful {
            let token = draw().max(1);
            let seat = OwnSeat { number, token, ..OwnSeat::default() };
            self.apply(Change::Seat(seat));
        }
        Answer::Enlisted(self.image.seat.token)
    }

    fn found(&mut self, configuration: &Configuration) -> Answer {
        let is_own = configuration.token(self.own) == Some(self.image.seat.token);
        if configuration.number != 1 || !configuration.is_valid() || !is_own {
            return Answer::NotVoting;
        }
        if let Some(chain) = &self.image.chain {
            let is_same = chain.installed == *configuration;
            return if is_same { Answer::Done } else { Answer::Taken(None) };
        }
        if self.is_forgetful() {
            return Answer::Forgetful;
        }
        self.apply(Change::Founded(configuration.clone()));
        match &self.image.founded {
            Some(founded) if founded != configuration => Answer::Taken(Some(founded.clone())),
            _ => Answer::Done,
        }
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

    /// The acceptor for a successor, if that is not decided yet.
    fn acceptor(&self, number: u64) -> Result<Acceptor, Answer> {
        let chain = self.image.chain.as_ref().ok_or(Answer::NotVoting)?;
        let is_due =
            number == chain.installed.number + 1 && chain.installed.token(self.own).is_some();
        let both = mutant::is(Mutant::TwoSuccessors);
        if !is_due || (chain.next.is_some() && !both) {
            return Err(Answer::Taken(chain.next.clone()));
        }
        Ok(self.image.acceptors.get(&number).cloned().unwrap_or_default())
    }

    fn prepare(&mut self, number: u64, ballot: Ballot) -> Answer {
        let mut acceptor = match self.acceptor(number) {
            Ok(acceptor) => acceptor,
            Err(answer) => return answer,
        };
        let both = mutant::is(Mutant::TwoSuccessors);
        if ballot < acceptor.promised && !both {
            return Answer::Refused(acceptor.promised);
        }
        if let Some(reached) = acceptor.approach(ballot) {
            self.counters.numbers_refused += 1;
            self.apply(Change::Acceptor(number, acceptor));
            return Answer::Refused(reached);
        }
        acceptor.promised = ballot.max(acceptor.promised);
        let accepted = acceptor.accepted.clone().filter(|_| !both);
        self.apply(Change::Acceptor(number, acceptor));
        Answer::Promised(accepted)
    }

    fn accept(&mut self, proposal: Proposal) -> Answer {
        let number = proposal.configuration.number;
        if !proposal.configuration.is_valid() {
            return Answer::NotVoting;
        }
        let mut acceptor = match self.acceptor(number) {
            Ok(acceptor) => acceptor,
            Err(answer) => return answer,
        };
        if proposal.ballot < acceptor.promised && !mutant::is(Mutant::TwoSuccessors) {
            return Answer::Refused(acceptor.promised);
        }
        if let Some(reached) = acceptor.approach(proposal.ballot) {
            self.counters.numbers_refused += 1;
            self.apply(Change::Acceptor(number, acceptor));
            return Answer::Refused(reached);
        }
        let promised = proposal.ballot;
        self.apply(Change::Acceptor(number, Acceptor { promised, accepted: Some(proposal) }));
        Answer::Done
    }
}
