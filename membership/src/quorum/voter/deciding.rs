//! How a voter takes part in deciding who votes: it draws a token, accepts a first configuration, promises and accepts.

use super::Voter;
use super::image::{Change, OwnSeat};
use super::standing::Standing;
use crate::base::mutants::{self as mutant, Mutant};
use crate::quorum::chain::{Acceptor, Ballot, Configuration, Proposal};
use crate::quorum::message::Answer;

impl Voter {
    pub(super) fn enlist(
        &mut self,
        number: u64,
        is_first: bool,
        mut draw: impl FnMut() -> u64,
    ) -> Answer {
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

    pub(super) fn found(&mut self, configuration: &Configuration) -> Answer {
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

    pub(super) fn prepare(&mut self, number: u64, ballot: Ballot) -> Answer {
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

    pub(super) fn accept(&mut self, proposal: Proposal) -> Answer {
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
