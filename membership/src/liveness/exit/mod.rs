//! Noticing within milliseconds that the process of a member exited.
//!
//! A node holds an idle TCP connection to each member that it watches. When the process of the member ends, its kernel
//! closes the connection (FIN), however the process ended. That is a *hint*, and opens an *exit case*: the node pings the
//! member and tries to connect anew. A pong, or a new connection that stays open, acquits. Otherwise the node tells the
//! other monitors its *exit vote*. The verdict takes a majority. New connections were refused to all of it, and the own
//! connections of two or more were closed or reset; or the own connections of all of it were closed by a FIN. Where the
//! processes of the other monitors exited, too, nodes beyond them are asked, and one connection that was closed by a FIN
//! is enough a little later.
//!
//! A reset together with silence never convicts, since a firewall causes both. Neither does any error of our own host. A
//! goodbye before the FIN, as at a planned restart, is no hint. Where the evidence is not complete within
//! [`CASE_LASTS`](case::CASE_LASTS), the case is dropped, and the [detector](super::detector) decides as ever.

mod case;
mod holds;
mod orders;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use crate::base::identity::{Identity, NodeId};
use crate::base::io::{HoldEnd, HoldId, ReachId, ReachOutcome};
use crate::base::limits::{MAX_EXIT_CASES, MAX_REFEREES};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::liveness::detector::{Cause, Detector, MONITORS, Verdict};
use crate::liveness::swim::Swim;
use crate::wire::{ExitVote, pong_tag};

use case::{Case, Step};
use holds::Holds;

/// A call that comes this late may find the answers that a case waits for unread, so the case begins anew.
const LATE: Duration = Duration::from_millis(20);
/// Nodes beyond the monitors that are asked for their votes, when the monitors do not decide.
const SUBSTITUTES: usize = 5;

/// An action that this part of liveness asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ExitOrder {
    /// Connect to a member at this address, and hold the connection.
    Hold(HoldId, SocketAddr, NodeId),
    /// Drop a connection.
    Release(HoldId),
    /// Ping a member, with this nonce.
    Ping(NodeId, [u8; 4]),
    /// See whether a member takes a new connection. The nonce is that of the case.
    Reach(NodeId, [u8; 4]),
    /// Send our vote to a member.
    Vote(NodeId, ExitVote),
    /// Believe a verdict of our own.
    Decide(Verdict),
}

/// Events since the last [`Exits::take_tally`], for the counters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ExitTally {
    pub(crate) hints: u64,
    pub(crate) acquitted: u64,
    pub(crate) convicted: u64,
    pub(crate) refused: u64,
}

/// The held connections, and the members whose processes may have exited.
#[derive(Debug)]
pub(crate) struct Exits {
    own: NodeId,
    rng: Xoshiro256PlusPlus,
    holds: Holds,
    cases: BTreeMap<NodeId, Case>,
    orders: VecDeque<ExitOrder>,
    tally: ExitTally,
}

impl Exits {
    pub(crate) fn new(own: NodeId, seed: u64) -> Self {
        Self {
            own,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            holds: Holds::new(seed),
            cases: BTreeMap::new(),
            orders: VecDeque::new(),
            tally: ExitTally::default(),
        }
    }

    pub(crate) fn poll_order(&mut self) -> Option<ExitOrder> {
        self.orders.pop_front()
    }

    pub(crate) fn take_tally(&mut self) -> ExitTally {
        std::mem::take(&mut self.tally)
    }

    /// The number of cases that are open.
    pub(crate) fn open(&self) -> usize {
        self.cases.len()
    }

    /// The number of connections that are held.
    pub(crate) fn connections_held(&self) -> usize {
        self.holds.held()
    }

    /// Since when the connection to a member is held; `None` if none is.
    pub(crate) fn held_since(&self, node: NodeId) -> Option<Time> {
        self.holds.held_since(node)
    }

    /// Holds a connection to each of these members, and to no others.
    pub(crate) fn watch(&mut self, targets: &[Identity], now: Time) {
        self.orders.extend(self.holds.watch(targets, &mut self.rng, now));
    }

    /// Drops all connections and cases, as when the node leaves.
    pub(crate) fn stop(&mut self, now: Time) {
        self.cases.clear();
        self.watch(&[], now);
    }

    /// Notes that our own loop comes `by` too late.
    pub(crate) fn late(&mut self, by: Duration, now: Time) {
        if by >= LATE {
            self.cases.values_mut().for_each(|case| case.begin_anew(now));
        }
    }

    /// When [`Exits::handle_deadline`] is due.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let cases = self.cases.values().map(Case::next_deadline);
        cases.chain(self.holds.next_deadline()).min()
    }

    pub(crate) fn handle_deadline(&mut self, swim: &Swim, now: Time) {
        self.orders.extend(self.holds.connect(now));
        let suspects: Vec<NodeId> = self.cases.keys().copied().collect();
        for suspect in suspects {
            while let Some(case) = self.cases.get_mut(&suspect) {
                if swim.held_alive(suspect) != Some(&case.suspect) {
                    self.cases.remove(&suspect);
                    break;
                }
                let Some(step) = case.step(now) else { break };
                let nonce = case.nonce;
                match step {
                    Step::Ping => self.orders.push_back(ExitOrder::Ping(suspect, nonce)),
                    Step::Reach => self.orders.push_back(ExitOrder::Reach(suspect, nonce)),
                    Step::Vote { ask_more } => {
                        self.tell(swim, suspect, ask_more);
                        self.rule(swim, suspect, now);
                    }
                    Step::Over => drop(self.cases.remove(&suspect)),
                }
            }
        }
    }

    pub(crate) fn handle_held(&mut self, hold: HoldId, now: Time) {
        self.holds.note_held(hold, now);
    }

    pub(crate) fn handle_hold_ended(
        &mut self,
        hold: HoldId,
        end: HoldEnd,
        swim: &Swim,
        detector: &Detector,
        now: Time,
    ) {
        let end = match end {
            HoldEnd::Goodbye if mutant::is(Mutant::IgnoreGoodbye) => HoldEnd::Closed,
            end => end,
        };
        let Some(node) = self.holds.note_ended(hold, end, &mut self.rng, now) else { return };
        let Some(suspect) = swim.held_alive(node).copied() else { return };
        self.tally.hints += 1;
        if let Some(case) = self.open_case(suspect, detector, now) {
            case.note_hint(end == HoldEnd::Closed);
        }
    }

    /// Takes the outcome of an attempt to reach a member.
    pub(crate) fn handle_reached(
        &mut self,
        reach: ReachId,
        outcome: ReachOutcome,
        swim: &Swim,
        now: Time,
    ) {
        let Some(case) = self.cases.get_mut(&reach.node) else { return };
        if case.nonce != reach.nonce {
            return;
        }
        case.note_outcome();
        match outcome {
            ReachOutcome::Refused => {
                case.note_refused();
                self.rule(swim, reach.node, now);
            }
            ReachOutcome::LocalError if mutant::is(Mutant::OwnErrorsAreRefusals) => {
                case.note_refused();
            }
            ReachOutcome::Open => self.acquit(reach.node),
            ReachOutcome::Dropped if mutant::is(Mutant::AcquitOnAccept) => {
                self.acquit(reach.node);
            }
            ReachOutcome::Dropped | ReachOutcome::Silent | ReachOutcome::LocalError => {}
        }
    }

    /// Takes a pong of a member. It acquits if it answers a ping of the case: the answer to an earlier one may have been on
    /// its way when the process exited.
    pub(crate) fn handle_pong(&mut self, node: NodeId, tag: [u8; 4]) {
        if self.cases.get(&node).is_some_and(|case| pong_tag(node, case.nonce) == tag) {
            self.acquit(node);
        }
    }

    /// Takes the vote of an active member.
    pub(crate) fn handle_vote(
        &mut self,
        vote: &ExitVote,
        swim: &Swim,
        detector: &Detector,
        now: Time,
    ) {
        let node = vote.suspect;
        let Some(suspect) = swim.held_alive(node).copied() else { return };
        if suspect.epoch != vote.epoch || node == self.own || vote.sender == node {
            return;
        }
        if vote.alive {
            let acquitted = self.cases.remove(&node).is_some();
            self.tally.acquitted += u64::from(acquitted);
            return;
        }
        if self.holds.said_goodbye(node, now) {
            return;
        }
        if let Some(case) = self.open_case(suspect, detector, now) {
            case.note_vote(vote);
            self.rule(swim, node, now);
        }
    }

    /// Whether we see for ourselves that the process of a member exited, as far as one node can. Then a verdict that
    /// says so needs no check.
    pub(crate) fn is_witness_of(&self, node: NodeId) -> bool {
        self.cases.get(&node).is_some_and(Case::has_evidence)
    }

    fn open_case(
        &mut self,
        suspect: Identity,
        detector: &Detector,
        now: Time,
    ) -> Option<&mut Case> {
        let node = suspect.node_id;
        if !self.cases.contains_key(&node) {
            if self.cases.len() >= MAX_EXIT_CASES {
                self.tally.refused += 1;
                return None;
            }
            let nonce = self.rng.next_u32().to_le_bytes();
            let round_trip = detector.round_trip(node);
            self.cases.insert(node, Case::new(suspect, nonce, round_trip, now));
        }
        self.cases.get_mut(&node)
    }

    /// Ends a case because the member lives, and tells those that may think otherwise.
    fn acquit(&mut self, node: NodeId) {
        let Some(case) = self.cases.remove(&node) else { return };
        self.tally.acquitted += 1;
        let vote = ExitVote { alive: true, ..case.vote(self.own) };
        for to in case.acquainted() {
            self.orders.push_back(ExitOrder::Vote(to, vote));
        }
    }

    /// Tells our vote, if we have evidence.
    fn tell(&mut self, swim: &Swim, node: NodeId, ask_more: bool) {
        let Some(case) = self.cases.get(&node).filter(|case| case.has_evidence()) else { return };
        if mutant::is(Mutant::KeepExitVotes) {
            return;
        }
        let more = if ask_more && case.has_hint() { SUBSTITUTES } else { 0 };
        let (vote, receivers) = (case.vote(self.own), self.receivers(swim, case, more));
        if let Some(case) = self.cases.get_mut(&node) {
            case.note_told(&receivers);
        }
        for to in receivers {
            self.orders.push_back(ExitOrder::Vote(to, vote));
        }
    }

    /// The monitors of a suspect and `more` others beyond them, and all that told us their votes; without ourselves.
    fn receivers(&self, swim: &Swim, case: &Case, more: usize) -> BTreeSet<NodeId> {
        let suspect = case.suspect.node_id;
        let around = [self.own].into_iter().chain(swim.ring().predecessors(suspect));
        // We are one of the monitors, or a substitute, and not on our own ring.
        let nearest = around.take(1 + MONITORS + more);
        let mut receivers: BTreeSet<NodeId> = nearest.chain(case.voters()).collect();
        receivers.remove(&self.own);
        receivers
    }

    /// Passes a verdict, if the votes are enough.
    fn rule(&mut self, swim: &Swim, node: NodeId, now: Time) {
        let Some(case) = self.cases.get(&node) else { return };
        let others = swim.ring().len().saturating_sub(1);
        // The votes of members whose own processes may have exited are not waited for.
        let in_doubt = self.cases.iter().filter(|(other, case)| **other != node && case.has_hint());
        let voters = others.saturating_sub(in_doubt.count());
        let majority = (others + 1).min(MONITORS) / 2 + 1;
        let Some(mut referees) = case.verdict(majority.min(voters + 1), now) else { return };
        let suspect = case.suspect;
        self.cases.remove(&node);
        self.tally.convicted += 1;
        referees.truncate(MAX_REFEREES);
        self.orders.push_back(ExitOrder::Decide(Verdict {
            node,
            epoch: suspect.epoch,
            cause: Cause::Silence,
            accuser: self.own,
            referees,
            exited: true,
        }));
    }
}
