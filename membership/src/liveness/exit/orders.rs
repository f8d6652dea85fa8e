//! Inputs for the exit cases, and carrying out what they ask for.

use crate::base::identity::Identity;
use crate::base::io::{HoldEnd, HoldId, Output, ReachId, ReachOutcome};
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::liveness::Liveness;
use crate::liveness::heard::Sign;
use crate::wire::{ExitVote, Message};

use super::ExitOrder;

impl Liveness {
    pub(crate) fn handle_held(&mut self, hold: HoldId, now: Time) {
        self.exits.handle_held(hold, now);
    }

    pub(crate) fn handle_hold_ended(&mut self, hold: HoldId, end: HoldEnd, now: Time) {
        self.exits.handle_hold_ended(hold, end, &self.swim, &self.detector, now);
    }

    pub(crate) fn handle_reached(&mut self, reach: ReachId, outcome: ReachOutcome, now: Time) {
        self.exits.handle_reached(reach, outcome, &self.swim, now);
    }

    pub(crate) fn handle_exit_vote(&mut self, vote: &ExitVote, now: Time) {
        if self.hear(vote.sender, Sign::Vote, now).is_some() {
            self.exits.handle_vote(vote, &self.swim, &self.detector, now);
        }
    }

    /// Holds a connection to each member that the ring assigns to us.
    fn hold_watched(&mut self, now: Time) {
        if self.held_assignment == self.detector.assignments() {
            return;
        }
        self.held_assignment = self.detector.assignments();
        let watched = self.detector.watched().filter_map(|node| self.swim.active_peer(node));
        let targets: Vec<Identity> = watched.copied().collect();
        self.exits.watch(&targets, now);
    }

    /// Carries out what the exit cases ask for.
    pub(crate) fn follow_exits(&mut self, now: Time) {
        if self.is_present() {
            self.hold_watched(now);
        } else {
            self.exits.stop(now);
            // Should we take part again, with the same members to watch, we hold connections to them again.
            self.held_assignment = 0;
        }
        while let Some(order) = self.exits.poll_order() {
            self.carry_out_exit(order, now);
        }
        let tally = self.exits.take_tally();
        self.out.counters.exit_hints += tally.hints;
        self.out.counters.exits_acquitted += tally.acquitted;
        self.out.counters.exits_convicted += tally.convicted;
        self.out.counters.exit_cases_refused += tally.refused;
        self.timers.put(Timer::Exit, self.exits.next_deadline());
    }

    fn carry_out_exit(&mut self, order: ExitOrder, now: Time) {
        match order {
            ExitOrder::Hold(hold, to, peer) => self.out.put(Output::Hold { hold, to, peer }),
            ExitOrder::Release(hold) => self.out.put(Output::Release { hold }),
            ExitOrder::Ping(node, nonce) => self.ping_suspect(node, nonce, now),
            ExitOrder::Reach(node, nonce) => {
                if let Some(to) = self.address_of(node).filter(|to| !self.has_successor(node, *to))
                {
                    self.out.put(Output::Reach { to, reach: ReachId { node, nonce } });
                }
            }
            ExitOrder::Vote(to, vote) => {
                if let Some(addr) = self.address_of(to) {
                    self.out.counters.exit_votes_sent += 1;
                    self.out.send(addr, &Message::ExitVote(vote));
                }
            }
            ExitOrder::Decide(verdict) => {
                self.out.counters.verdicts_passed += 1;
                if verdict.referees.is_empty() {
                    self.believe_alone(verdict, now);
                } else {
                    let own = self.identity().node_id;
                    self.believe(verdict, own, now);
                }
                self.take_swim_events(now);
            }
        }
    }
}
