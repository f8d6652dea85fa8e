//! A change of the voters: every new voter draws a token, a majority of the old voters decides the successor (single-decree Paxos),
//! the new voters read what the old ones hold, and then the successor decides alone.

use std::collections::BTreeMap;
use std::time::Duration;

use super::calls::Pace;
use super::votes::{Speaker, VoterLives, Votes};
use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::quorum::chain::{Ballot, Chain, Configuration, Proposal, Seat};
use crate::quorum::message::{Answer, Part};
use crate::quorum::{Failure, OpId, Outcome};

/// An attempt that a higher one displaced is repeated after this long, and up to twice as much.
const PAUSE: Duration = Duration::from_millis(60);

/// A change of the voters under way.
#[derive(Debug)]
pub(crate) struct Changing {
    op: Option<OpId>,
    /// The voters to be, in order.
    wanted: Vec<NodeId>,
    /// The configuration that the change began with.
    base: u64,
    /// An operator vouches that there was no first configuration.
    is_first: bool,
    until: Time,
    round: u64,
    phase: Phase,
    /// Grows with each phase, so that answers to an earlier one are not taken for one to this.
    step: u64,
    votes: Votes,
    paces: BTreeMap<NodeId, Pace>,
}

#[derive(Clone, Debug)]
enum Phase {
    Enlist { tokens: BTreeMap<NodeId, u64> },
    Found(Configuration),
    Prepare { ballot: Ballot, own: Configuration, accepted: Option<Proposal> },
    Accept(Proposal),
    Pause { own: Configuration, until: Time },
    Install,
    Tell,
}

impl Changing {
    /// Begins a change to these voters; without an operation, one that finishes what another node began.
    pub(crate) fn new(
        op: Option<OpId>,
        mut wanted: Vec<NodeId>,
        chain: Option<&Chain>,
        is_first: bool,
        step: u64,
        until: Time,
    ) -> Self {
        wanted.sort_unstable();
        let phase = match chain {
            Some(Chain { next: Some(_), .. }) => Phase::Install,
            _ => Phase::Enlist { tokens: BTreeMap::new() },
        };
        let base = chain.map_or(0, |chain| chain.installed.number);
        let (votes, paces) = (Votes::default(), BTreeMap::new());
        Self { op, wanted, base, is_first, until, round: 0, phase, step, votes, paces }
    }

    pub(crate) fn op(&self) -> Option<OpId> {
        self.op
    }

    pub(crate) fn step(&self) -> u64 {
        self.step
    }

    fn go(&mut self, phase: Phase) {
        self.phase = phase;
        self.step += 1;
        self.votes = Votes::default();
        self.paces.clear();
    }

    /// The nodes to ask in this phase.
    pub(crate) fn targets(&self, chain: Option<&Chain>) -> Vec<NodeId> {
        let installed = || chain.map(|chain| chain.installed.nodes().collect()).unwrap_or_default();
        match &self.phase {
            Phase::Enlist { .. } => self.wanted.clone(),
            Phase::Found(configuration) => configuration.nodes().collect(),
            Phase::Prepare { .. } | Phase::Accept(_) | Phase::Tell => installed(),
            Phase::Install => {
                let next = chain.and_then(|chain| chain.next.as_ref());
                next.map(|next| next.nodes().collect()).unwrap_or_default()
            }
            Phase::Pause { .. } => Vec::new(),
        }
    }

    /// What to ask a node now.
    pub(crate) fn due(
        &mut self,
        node: NodeId,
        chain: Option<&Chain>,
        lives: &VoterLives,
        now: Time,
    ) -> Option<Part> {
        let token = match &self.phase {
            Phase::Found(configuration) => configuration.token(node),
            _ => chain.and_then(|chain| chain.token(node)),
        };
        let has_answered = match &self.phase {
            Phase::Enlist { tokens } => tokens.contains_key(&node),
            _ => token.is_some_and(|token| self.votes.has(Seat { node, token }, lives)),
        };
        if has_answered || !self.paces.entry(node).or_default().is_due(now) {
            return None;
        }
        let number = self.base + 1;
        Some(match &self.phase {
            Phase::Enlist { .. } => Part::Enlist(number, self.is_first),
            Phase::Found(configuration) => Part::Found(configuration.clone()),
            Phase::Prepare { ballot, .. } => Part::Prepare(number, *ballot),
            Phase::Accept(proposal) => Part::Accept(proposal.clone()),
            Phase::Install => Part::CaughtUp(chain.and_then(|chain| chain.next.as_ref())?.number),
            Phase::Tell => Part::CaughtUp(chain?.installed.number),
            Phase::Pause { .. } => return None,
        })
    }

    /// Takes the answer of a node. Returns the outcome if the change cannot be made.
    pub(crate) fn answered(
        &mut self,
        step: u64,
        from: &Speaker<'_>,
        answer: Answer,
        now: Time,
        draw: impl FnMut() -> u64,
    ) -> Option<Outcome> {
        if step != self.step {
            return None;
        }
        match (&mut self.phase, answer) {
            (Phase::Enlist { tokens }, Answer::Enlisted(token)) => {
                tokens.insert(from.node, token);
            }
            (Phase::Prepare { accepted, .. }, Answer::Promised(before)) => {
                let ballot = |it: &Option<Proposal>| it.as_ref().map(|it| it.ballot);
                if ballot(&before) > ballot(accepted) {
                    *accepted = before;
                }
                self.votes.add(from);
            }
            (Phase::Found(_), Answer::Taken(other)) => {
                return Some(Outcome::Unchanged(Failure::Taken(other)));
            }
            (Phase::Found(_) | Phase::Accept(_), Answer::Done)
            | (Phase::Install, Answer::CaughtUp(true))
            | (Phase::Tell, Answer::CaughtUp(_)) => self.votes.add(from),
            (Phase::Enlist { .. }, Answer::Forgetful) => {
                return Some(Outcome::Unchanged(Failure::Forgetful(from.node)));
            }
            (
                Phase::Prepare { ballot: own, .. } | Phase::Accept(Proposal { ballot: own, .. }),
                Answer::Refused(ballot),
            ) => {
                if ballot < *own {
                    // The voter is on its way to this round, and needs more steps.
                    self.paces.remove(&from.node);
                } else {
                    self.displaced(ballot, now, draw);
                }
            }
            _ => {}
        }
        None
    }

    fn displaced(&mut self, ballot: Ballot, now: Time, mut draw: impl FnMut() -> u64) {
        let own = match &self.phase {
            Phase::Prepare { own, .. } => own.clone(),
            Phase::Accept(proposal) => proposal.configuration.clone(),
            _ => return,
        };
        self.round = self.round.max(ballot.round);
        let more = Duration::from_micros(draw() % PAUSE.as_micros() as u64);
        self.go(Phase::Pause { own, until: now + PAUSE + more });
    }

    /// Goes on as far as the answers allow. Returns what is known now of the configurations, if that is news.
    pub(crate) fn advance(
        &mut self,
        own: NodeId,
        chain: Option<&Chain>,
        lives: &VoterLives,
        now: Time,
        draw: impl FnMut() -> u64,
    ) -> Option<Chain> {
        if let Some(Chain { next: Some(_), .. }) = chain
            && !matches!(self.phase, Phase::Install)
        {
            self.go(Phase::Install);
        }
        match (&self.phase, chain) {
            (Phase::Enlist { tokens }, _) if tokens.len() >= self.wanted.len() => {
                let seats = self.wanted.iter();
                let seats = seats.filter_map(|node| {
                    tokens.get(node).map(|token| Seat { node: *node, token: *token })
                });
                let configuration = Configuration { number: self.base + 1, seats: seats.collect() };
                if chain.is_none() {
                    self.go(Phase::Found(configuration));
                } else {
                    self.prepare(own, configuration, draw);
                }
            }
            (Phase::Pause { own: configuration, until }, _) if *until <= now => {
                let configuration = configuration.clone();
                self.prepare(own, configuration, draw);
            }
            // There is nobody yet who could decide, so all have to agree.
            (Phase::Found(configuration), None)
                if configuration.seats.iter().all(|seat| self.votes.has(*seat, lives)) =>
            {
                let chain = Chain::of(configuration.clone());
                self.go(Phase::Tell);
                return Some(chain);
            }
            (Phase::Prepare { ballot, own, accepted }, Some(chain))
                if chain.installed.has_majority(|seat| self.votes.has(seat, lives)) =>
            {
                let accepted = accepted.as_ref().map(|it| it.configuration.clone());
                let configuration = accepted.unwrap_or_else(|| own.clone());
                let proposal = Proposal { ballot: *ballot, configuration };
                self.go(Phase::Accept(proposal));
            }
            (Phase::Accept(proposal), Some(chain))
                if chain.installed.has_majority(|seat| self.votes.has(seat, lives)) =>
            {
                let next = Some(proposal.configuration.clone());
                let installed = chain.installed.clone();
                self.go(Phase::Install);
                return Some(Chain { installed, next });
            }
            (Phase::Install, Some(Chain { next: Some(next), .. }))
                if next.has_majority(|seat| self.votes.has(seat, lives)) =>
            {
                let chain = Chain::of(next.clone());
                self.go(Phase::Tell);
                return Some(chain);
            }
            (Phase::Install, Some(Chain { next: None, .. })) => self.go(Phase::Tell),
            _ => {}
        }
        None
    }

    fn prepare(&mut self, node: NodeId, own: Configuration, mut draw: impl FnMut() -> u64) {
        self.round = self.round.saturating_add(1);
        let ballot = Ballot { round: self.round, node: node.0, salt: draw() };
        self.go(Phase::Prepare { ballot, own, accepted: None });
    }

    /// The outcome, if the change is over.
    pub(crate) fn outcome(
        &self,
        chain: Option<&Chain>,
        lives: &VoterLives,
        now: Time,
    ) -> Option<Outcome> {
        let installed = chain.map(|chain| &chain.installed);
        let is_wanted = |it: &Configuration| it.nodes().eq(self.wanted.iter().copied());
        if let Some(Chain { installed, next: None }) = chain {
            let is_told = installed.has_majority(|seat| self.votes.has(seat, lives));
            let is_over = match self.phase {
                Phase::Tell => is_told,
                // Another change was faster, or there is nothing to change.
                _ => installed.number != self.base || is_wanted(installed),
            };
            if is_over {
                return Some(if is_wanted(installed) {
                    Outcome::Changed(installed.clone())
                } else {
                    Outcome::Unchanged(Failure::Superseded(installed.clone()))
                });
            }
        }
        if now < self.until {
            return None;
        }
        let has = |node: &NodeId| match &self.phase {
            Phase::Enlist { tokens } => tokens.contains_key(node),
            _ => self.votes.nodes().any(|it| it == *node),
        };
        let asked = self.targets(chain);
        let (answered, silent) = asked.into_iter().partition(has);
        let failure = Failure::NoQuorum { answered, silent };
        let is_certain = matches!(self.phase, Phase::Enlist { .. } | Phase::Prepare { .. })
            && installed.is_some();
        Some(if is_certain { Outcome::Unchanged(failure) } else { Outcome::Unknown(failure) })
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let pause = match self.phase {
            Phase::Pause { until, .. } => Some(until),
            _ => None,
        };
        let paces = self.paces.values().filter_map(Pace::deadline);
        paces.chain(pause).chain([self.until]).min()
    }
}
