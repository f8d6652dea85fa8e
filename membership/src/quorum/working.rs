//! The work of the room: what is to be asked is asked, answers are handed to what they are for, and outcomes are told.

use rand::Rng;

use super::asking::changing::Changing;
use super::asking::fetching::{Fetching, Purpose};
use super::asking::rounds::MadeLook;
use super::asking::votes::Speaker;
use super::chain::Chain;
use super::message::{Answer, Message, Part, Reply};
use super::voter::Standing;
use super::voter::image::{Change, MAX_RECOVERY_STEP};
use super::{FINISHED_AFTER, LEAST_PAUSE};
use super::{OpId, Outcome, Output, Quorum};
use crate::base::identity::NodeId;
use crate::base::time::Time;

/// What the answer to one question is for.
#[derive(Debug)]
pub(crate) enum Errand {
    Write(OpId),
    Look(MadeLook),
    Change(u64),
    Image(u64),
}

impl Quorum {
    pub(super) fn begin_change(
        &mut self,
        op: Option<OpId>,
        voters: Vec<NodeId>,
        is_first: bool,
        until: Time,
    ) {
        self.attempts += 1 << 20;
        let (chain, step) = (self.voter.chain(), self.attempts);
        self.changing = Some(Changing::new(op, voters, chain, is_first, step, until));
    }

    pub(super) fn take_chain(&mut self, chain: Option<&Chain>) {
        self.voter.learn(chain);
    }

    pub(super) fn take_reply(&mut self, from: NodeId, reply: Reply, now: Time) {
        let Reply { number, voice, chain, answers } = reply;
        let Some(errands) = self.calls.take(number, from) else { return };
        self.take_chain(chain.as_ref());
        if let Some(chain) = self.voter.chain() {
            let refused = self.lives.note(from, &voice, chain);
            self.answered.insert(from, now);
            self.answered.retain(|node, _| chain.token(*node).is_some());
            self.voter.counters.numbers_refused += refused;
        }
        let rank = chain.as_ref().map_or((0, false), Chain::rank);
        let from = Speaker { node: from, voice: &voice, rank };
        for (errand, answer) in errands.into_iter().zip(answers) {
            self.take_answer(&from, errand, answer, now);
        }
    }

    fn take_answer(&mut self, from: &Speaker<'_>, errand: Errand, answer: Answer, now: Time) {
        match errand {
            Errand::Write(op) => {
                if let Some(outcome) = self.writes.answered(op, from, &answer) {
                    self.outputs.push_back(Output::Done { op, outcome });
                }
            }
            Errand::Look(look) => match answer {
                Answer::Seen(seen) => self.reads.answered(from, look, seen),
                _ => self.reads.refused(from.node, &look),
            },
            Errand::Change(step) => {
                let Self { changing, rng, .. } = self;
                let Some(it) = changing else { return };
                let op = it.op();
                let outcome = it.answered(step, from, answer, now, || rng.next_u64());
                if let Some(outcome) = outcome {
                    self.end_change(op, outcome);
                }
            }
            Errand::Image(attempt) => self.take_image(from, attempt, answer),
        }
    }

    fn end_change(&mut self, op: Option<OpId>, outcome: Outcome) {
        self.changing = None;
        self.finishes_at = None;
        if let Some(op) = op {
            self.outputs.push_back(Output::Done { op, outcome });
        }
    }

    fn take_image(&mut self, from: &Speaker<'_>, attempt: u64, answer: Answer) {
        let Some(fetching) = self.fetching.as_mut().filter(|it| it.attempt == attempt) else {
            return;
        };
        match answer {
            Answer::Life(recoveries) => {
                let token = self.voter.chain().and_then(|chain| chain.token(self.own));
                let begun = self.voter.recoveries_begun(token.unwrap_or_default());
                if recoveries > begun + MAX_RECOVERY_STEP / 2 {
                    self.voter.counters.numbers_refused += 1;
                    return fetching.remembered(from, 0);
                }
                fetching.remembered(from, recoveries);
                if recoveries > begun && !from.voice.is_lost {
                    self.voter.set_outdated();
                }
            }
            Answer::Page(page) => {
                if page.changes.contains(&Change::Unknown) {
                    self.voter.counters.pages_unknown += 1;
                    return;
                }
                let voter = &mut self.voter;
                let adopted: Vec<bool> =
                    page.changes.into_iter().map(|change| voter.adopt(change)).collect();
                // A page with a number that is too far ahead is asked for again, until the steps reach it.
                if !adopted.contains(&false) {
                    fetching.took(from, page.next);
                }
            }
            Answer::Later => fetching.put_off(from.node),
            _ => {}
        }
    }

    /// Does all that can be done now.
    pub(super) fn settle(&mut self, now: Time) {
        self.handled_at = now;
        self.calls.expire(now);
        loop {
            self.tend_change(now);
            self.tend_image();
            self.tell_outcomes(now);
            self.reads.begin_rounds();
            self.ask(now);
            let is_busy = self.send(now);
            if !is_busy {
                break;
            }
        }
        let rank = self.voter.chain().map(Chain::rank);
        if let Some(chain) = self.voter.chain().filter(|_| rank != self.told_rank) {
            self.outputs.push_back(Output::Learned(chain.clone()));
            self.told_rank = rank;
        }
        if let Some((ticket, changes)) = self.voter.storing.next_write() {
            self.outputs.push_back(Output::Store { ticket, changes });
        }
    }

    /// Sends bundles and replies. Returns whether something of this node's own came in.
    fn send(&mut self, now: Time) -> bool {
        let Self { calls, voter, rng, outputs, own, .. } = self;
        let bundles = calls.take_bundles(voter.chain(), now, || rng.next_u64());
        for (to, ask) in bundles {
            if to == *own {
                voter.answer(*own, ask, || rng.next_u64());
            } else {
                outputs.push_back(Output::Send { to, message: Message::Ask(ask) });
            }
        }
        let mut is_busy = false;
        while let Some((to, reply)) = self.voter.storing.next_reply() {
            if to == self.own {
                is_busy = true;
                self.take_reply(to, reply, now);
            } else {
                self.outputs.push_back(Output::Send { to, message: Message::Reply(reply) });
            }
        }
        is_busy
    }

    /// Asks voters for all that is due.
    fn ask(&mut self, now: Time) {
        let Self { calls, voter, lives, reads, writes, changing, fetching, own, .. } = self;
        let chain = voter.chain();
        if let Some(it) = changing {
            for to in it.targets(chain) {
                if calls.has_room(to)
                    && let Some(part) = it.due(to, chain, lives, now)
                {
                    calls.put(to, part, Errand::Change(it.step()));
                }
            }
        }
        let Some(chain) = chain else { return };
        if let Some(it) = fetching {
            for seat in it.seats(*own, chain) {
                if calls.has_room(seat.node)
                    && let Some(part) = it.due(seat, lives, now)
                {
                    calls.put(seat.node, part, Errand::Image(it.attempt));
                }
            }
        }
        for seat in chain.seats() {
            let calls = std::cell::RefCell::new(&mut *calls);
            let has_room = || calls.borrow().has_room(seat.node);
            writes.due(seat, chain, lives, now, has_room, |op, deposit| {
                calls.borrow_mut().put(seat.node, Part::Write(deposit), Errand::Write(op));
            });
            reads.due(seat, chain, lives, now, has_room, |look, made| {
                calls.borrow_mut().put(seat.node, Part::Look(look), Errand::Look(made));
            });
        }
    }

    fn tell_outcomes(&mut self, now: Time) {
        let Self { voter, lives, reads, writes, outputs, .. } = self;
        let written = writes.take_over(voter.chain(), lives, now);
        let read = reads.take_over(voter.chain(), lives, now);
        let done = written.into_iter().chain(read);
        outputs.extend(done.map(|(op, outcome)| Output::Done { op, outcome }));
    }

    /// Ends all operations as if their time was over.
    pub(super) fn end_all(&mut self) -> Vec<(OpId, Outcome)> {
        let Self { voter, lives, reads, writes, changing, .. } = self;
        let (chain, end) = (voter.chain(), Time::from_micros(u64::MAX));
        let change =
            changing.take().and_then(|it| Some((it.op()?, it.outcome(chain, lives, end)?)));
        let written = writes.take_over(chain, lives, end);
        let read = reads.take_over(chain, lives, end);
        written.into_iter().chain(read).chain(change).collect()
    }

    /// Goes on with a change of the voters, or begins to finish one that another node left.
    fn tend_change(&mut self, now: Time) {
        let next = self.voter.chain().and_then(|chain| chain.next.as_ref());
        match next.map(|next| next.number) {
            Some(number) if self.changing.is_none() && self.standing() == Standing::Votes => {
                let (_, at) = *self.finishes_at.get_or_insert_with(|| {
                    let nodes = next.into_iter().flat_map(super::Configuration::nodes);
                    let rank = nodes.take_while(|node| *node != self.own).count();
                    (number, now + FINISHED_AFTER * (1 + rank as u32))
                });
                if at <= now {
                    let wanted = next.map(|next| next.nodes().collect()).unwrap_or_default();
                    self.begin_change(None, wanted, false, now + FINISHED_AFTER * 4);
                }
            }
            _ => self.finishes_at = None,
        }
        loop {
            let Self { changing, voter, lives, rng, own, .. } = self;
            let Some(it) = changing else { return };
            let step = it.step();
            let chain = it.advance(*own, voter.chain(), lives, now, || rng.next_u64());
            let has_moved = it.step() != step;
            let op = it.op();
            let outcome = it.outcome(chain.as_ref().or(voter.chain()), lives, now);
            self.take_chain(chain.as_ref());
            if let Some(outcome) = outcome {
                return self.end_change(op, outcome);
            }
            if !has_moved {
                return;
            }
        }
    }

    /// Goes on to read the images of others, if this node needs them.
    fn tend_image(&mut self) {
        let Some(chain) = self.voter.chain().cloned() else { return };
        let standing = self.standing();
        let must_recover = matches!(standing, Standing::Doubtful | Standing::Lost);
        let caught_up = self.voter.image().caught_up;
        let own = self.own;
        let next = chain.next.as_ref().filter(|next| next.token(own).is_some());
        let behind = next.filter(|next| caught_up < next.number).map(|next| next.number);
        let wants = |fetching: &Fetching| match fetching.purpose {
            Purpose::CatchUp { number } => !must_recover && behind == Some(number),
            _ => must_recover,
        };
        self.fetching = self.fetching.take().filter(|it| wants(it) && it.is_current(&chain));
        if self.fetching.is_none() {
            let purpose = match (standing, behind) {
                (Standing::Doubtful | Standing::Lost, _) => Purpose::Remember { highest: 0 },
                (Standing::Votes, Some(number)) => Purpose::CatchUp { number },
                _ => return,
            };
            self.begin_reading(purpose, &chain);
        }
        let Some(fetching) = &self.fetching else { return };
        let is_vouched = self.is_vouched && standing == Standing::Doubtful;
        if !fetching.is_done(own, is_vouched, &chain, &self.lives) {
            return;
        }
        match fetching.purpose {
            Purpose::Remember { highest } => {
                let token = chain.token(own).unwrap_or_default();
                let known = self.lives.recoveries(own, token);
                let begun = self.voter.recoveries_begun(token);
                let recoveries = highest.max(known).max(begun).saturating_add(1);
                if self.voter.image().seat.token == token {
                    self.voter.begin_recovery(recoveries);
                }
                self.begin_reading(Purpose::Recover { token, recoveries }, &chain);
            }
            Purpose::Recover { token, recoveries } => {
                self.fetching = None;
                if let Some(next) = &chain.next {
                    self.voter.apply(Change::CaughtUp(next.number));
                }
                self.is_vouched = false;
                self.voter.recovered(token, recoveries);
            }
            Purpose::CatchUp { number } => {
                self.fetching = None;
                self.voter.apply(Change::CaughtUp(number));
            }
        }
    }

    fn begin_reading(&mut self, purpose: Purpose, chain: &Chain) {
        self.attempts += 1;
        self.fetching = Some(Fetching::new(purpose, chain, self.attempts));
    }

    /// When [`Quorum::handle_deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let parts = [
            self.reads.next_deadline(),
            self.writes.next_deadline(),
            self.calls.next_deadline(),
            self.changing.as_ref().and_then(Changing::next_deadline),
            self.fetching.as_ref().and_then(Fetching::next_deadline),
            self.finishes_at.map(|(_, at)| at),
        ];
        // A time that has passed is one at which there was no room to ask.
        parts.into_iter().flatten().min().map(|at| at.max(self.handled_at + LEAST_PAUSE))
    }
}
