//! Strong reads and writes as a part of the node. The messages of the room are questions on streams of their own, and their answers.
//!
//! Voters tell all members of the pool what they know of the configurations: after each change, and a member that becomes active.

mod registering;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use smol_str::SmolStr;

use crate::base::counters::Counters;
use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::node::Node;
use crate::node::io::Event;
use crate::quorum::{
    Ask, Chain, Deposit, Failure, Image, Message, OpId, Output, Provenance, Quorum,
};
use crate::requests::{Purpose, RequestError, RequestId};

/// Members that are told of the configurations at once.
const MAX_TELLS: usize = 8;
/// Members that could not be told are told again after this long.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// A question to a voter waits for so long. The room asks again before.
const QUESTION_LASTS: Duration = Duration::from_secs(2);

/// The room, and the requests that carry its messages.
pub(in crate::node) struct Strong {
    quorum: Quorum,
    /// Questions of others that wait for the disk, by their senders and numbers.
    serving: BTreeMap<(NodeId, u64), RequestId>,
    /// Members that may not know of the configurations.
    untold: BTreeSet<NodeId>,
    /// The member whose turn it was last. Members take turns, so that those that do not answer hold up no other.
    told_last: NodeId,
    tells: BTreeMap<RequestId, NodeId>,
    tells_at: Option<Time>,
}

impl Strong {
    pub(in crate::node) fn next_deadline(&self) -> Option<Time> {
        self.quorum.next_deadline().into_iter().chain(self.tells_at).min()
    }

    /// Takes the next member that may not know of the configurations.
    fn take_turn(&mut self) -> Option<NodeId> {
        let later = self.untold.range((Bound::Excluded(self.told_last), Bound::Unbounded)).next();
        let next = later.or(self.untold.first()).copied()?;
        self.untold.remove(&next);
        self.told_last = next;
        Some(next)
    }

    /// What this node tells others, if it has a seat.
    fn told(&self, own: NodeId) -> Option<Chain> {
        let has_seat = |chain: &&Chain| chain.token(own).is_some();
        self.quorum.chain().filter(has_seat).cloned()
    }
}

impl Node {
    /// Takes part in strong reads and writes from now on, with the image that was found on disk.
    pub fn begin_strong(&mut self, image: Image, provenance: Provenance, seed: u64, now: Time) {
        let own = self.identity().node_id;
        let quorum = Quorum::new(own, image, provenance, seed, now);
        let (serving, untold, tells) = Default::default();
        let told_last = NodeId(0);
        let mut strong = Strong { quorum, serving, untold, told_last, tells, tells_at: None };
        if strong.told(own).is_some() {
            strong.untold = self.members_to_tell();
        }
        self.strong = Some(Box::new(strong));
        self.requests.take_questions();
        self.settle(now);
    }

    /// The room of strong reads and writes, if this node takes part in them.
    #[must_use]
    pub fn strong(&self) -> Option<&Quorum> {
        self.strong.as_ref().map(|strong| &strong.quorum)
    }

    /// Reads which instances of a service are registered. [`Event::StrongDone`] follows, after `within` at the latest.
    ///
    /// # Errors
    /// Nothing was asked, and no event follows.
    pub fn read_strongly(
        &mut self,
        service: &SmolStr,
        within: Duration,
        now: Time,
    ) -> Result<OpId, Failure> {
        self.operate(now, |quorum| quorum.read(service, within, now))
    }

    /// Writes registers. [`Event::StrongDone`] follows, after `within` at the latest.
    ///
    /// # Errors
    /// Nothing was sent, and no event follows.
    pub fn write_strongly(
        &mut self,
        deposit: Deposit,
        within: Duration,
        now: Time,
    ) -> Result<OpId, Failure> {
        self.operate(now, |quorum| quorum.write(deposit, within, now))
    }

    /// Makes these members the voters. [`Event::StrongDone`] follows, after `within` at the latest. With `is_first` an operator vouches
    /// that there was no first configuration before.
    ///
    /// # Errors
    /// Nothing was asked, and no event follows.
    pub fn set_voters(
        &mut self,
        voters: Vec<NodeId>,
        is_first: bool,
        within: Duration,
        now: Time,
    ) -> Result<OpId, Failure> {
        self.operate(now, |quorum| quorum.set_voters(voters, is_first, within, now))
    }

    fn operate(
        &mut self,
        now: Time,
        begin: impl FnOnce(&mut Quorum) -> Result<OpId, Failure>,
    ) -> Result<OpId, Failure> {
        let strong = self.strong.as_mut().ok_or(Failure::NoVoters)?;
        let begun = begin(&mut strong.quorum);
        self.settle(now);
        begun
    }

    /// Changes of [`Event::StrongStore`] are durable.
    pub fn strong_stored(&mut self, ticket: u64, now: Time) {
        if let Some(strong) = &mut self.strong {
            strong.quorum.stored(ticket, now);
            self.settle(now);
        }
    }

    /// Changes of [`Event::StrongStore`] could not be made durable. This node answers no question any more, until it starts again.
    pub fn strong_failed(&mut self) {
        if let Some(strong) = &mut self.strong {
            strong.quorum.store_failed();
        }
    }

    /// Takes an operator's word on what this node keeps as a voter. See [`Quorum::vouch`].
    pub fn vouch(&mut self, now: Time) -> bool {
        let vouched = self.strong.as_mut().is_some_and(|strong| strong.quorum.vouch(now));
        self.settle(now);
        vouched
    }

    /// Takes a question of another member.
    pub(in crate::node) fn take_question(
        &mut self,
        request: RequestId,
        from: NodeId,
        bytes: &[u8],
        now: Time,
    ) {
        let Self { strong, requests, counters, .. } = self;
        let Some(strong) = strong else { return };
        match Message::decode(bytes) {
            Ok(Message::Ask(ask)) => {
                strong.serving.retain(|_, request| requests.is_awaited(*request));
                strong.serving.insert((from, ask.number), request);
                strong.quorum.handle(from, Message::Ask(ask), now);
            }
            _ => counters.messages_invalid += 1,
        }
    }

    /// Takes the answer to a question of this node. Questions without one are asked again.
    pub(in crate::node) fn take_voters_answer(
        &mut self,
        request: RequestId,
        from: NodeId,
        result: Result<Vec<u8>, RequestError>,
        now: Time,
    ) {
        let Self { strong, counters, .. } = self;
        let Some(strong) = strong else { return };
        if let Some(node) = strong.tells.remove(&request) {
            // A member that takes no part answers, too: it refuses.
            if !matches!(result, Ok(_) | Err(RequestError::Refused)) {
                strong.untold.insert(node);
                strong.tells_at = Some(now + TOLD_AGAIN_AFTER);
            }
            return;
        }
        let Ok(bytes) = result else { return };
        match Message::decode(&bytes) {
            Ok(message @ Message::Reply(_)) => strong.quorum.handle(from, message, now),
            _ => counters.messages_invalid += 1,
        }
    }

    /// Carries out what the room wants done.
    pub(in crate::node) fn pass_on_strong(&mut self, now: Time) {
        while let Some(output) = self.strong.as_mut().and_then(|strong| strong.quorum.poll_output())
        {
            match output {
                Output::Send { to, message } => self.send_strong(to, &message, now),
                Output::Store { ticket, changes } => {
                    self.emit(Event::StrongStore { ticket, changes });
                }
                Output::Done { op, outcome } => self.emit(Event::StrongDone { op, outcome }),
                Output::Learned(chain) => {
                    self.tell_all();
                    self.emit(Event::Voters(chain));
                }
            }
        }
        self.tell_some(now);
    }

    fn send_strong(&mut self, to: NodeId, message: &Message, now: Time) {
        if let Message::Reply(reply) = message {
            let strong = self.strong.as_mut();
            let request = strong.and_then(|it| it.serving.remove(&(to, reply.number)));
            if let Some(request) = request {
                self.requests.answer(request, message.encode(), now);
            }
        } else if let Some(peer) = self.in_reach(to).filter(|_| !self.liveness.is_silent()) {
            // A question that is not sent has no answer, and is asked again.
            let _ = self.requests.ask(Purpose::Voter, &peer, message.encode(), QUESTION_LASTS, now);
        }
    }

    fn members_to_tell(&self) -> BTreeSet<NodeId> {
        let own = self.identity().node_id;
        let active = self.liveness.members().iter_active().map(|identity| identity.node_id);
        active.filter(|node| *node != own).collect()
    }

    fn tell_all(&mut self) {
        let (own, members) = (self.identity().node_id, self.members_to_tell());
        if let Some(strong) = &mut self.strong {
            let is_voter = strong.told(own).is_some();
            strong.untold = if is_voter { members } else { BTreeSet::new() };
            strong.tells_at = None;
        }
    }

    /// Notes that a member became active, or is lost.
    pub(in crate::node) fn note_strong_member(&mut self, node: NodeId, is_active: bool) {
        let own = self.identity().node_id;
        let Some(strong) = &mut self.strong else { return };
        if !is_active {
            strong.untold.remove(&node);
        } else if strong.told(own).is_some() && node != own {
            strong.untold.insert(node);
        }
    }

    /// Tells some members what is known of the configurations.
    fn tell_some(&mut self, now: Time) {
        let own = self.identity().node_id;
        loop {
            let Some(strong) = &mut self.strong else { return };
            if strong.tells_at.is_some_and(|at| at > now) {
                return;
            }
            strong.tells_at = None;
            if strong.tells.len() >= MAX_TELLS {
                return;
            }
            let Some(node) = strong.take_turn() else { return };
            let Some(chain) = strong.told(own) else { continue };
            let ask = Ask { number: 0, chain: Some(chain), parts: Vec::new() };
            let Some(peer) = self.in_reach(node) else { continue };
            let bytes = Message::Ask(ask).encode();
            let asked = self.requests.ask(Purpose::Voter, &peer, bytes, QUESTION_LASTS, now);
            let Some(strong) = &mut self.strong else { return };
            if let Ok(request) = asked {
                strong.tells.insert(request, node);
            } else {
                strong.untold.insert(node);
                strong.tells_at = Some(now + TOLD_AGAIN_AFTER);
            }
        }
    }

    pub(in crate::node) fn handle_strong_deadline(&mut self, now: Time) {
        if let Some(strong) = &mut self.strong
            && strong.quorum.next_deadline().is_some_and(|due| due <= now)
        {
            strong.quorum.handle_deadline(now);
        }
        self.pass_on_strong(now);
    }

    /// Adds what the room counted.
    pub(in crate::node) fn count_strong(&self, counters: &mut Counters) {
        if let Some(quorum) = self.strong() {
            let counted = quorum.counters();
            counters.voter_questions_dropped += counted.questions_dropped;
            counters.voter_writes_full += counted.writes_full;
            counters.voter_numbers_refused += counted.numbers_refused;
            counters.voter_pages_unknown += counted.pages_unknown;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_take_turns_in_being_told() {
        let quorum = Quorum::new(NodeId(1), Image::default(), Provenance::New, 0, Time::ZERO);
        let untold = [2, 3, 4].map(NodeId).into();
        let (serving, tells) = Default::default();
        let told_last = NodeId(0);
        let mut strong = Strong { quorum, serving, untold, told_last, tells, tells_at: None };
        for turn in [2, 3, 4, 2, 3] {
            assert_eq!(strong.take_turn(), Some(NodeId(turn)));
            // It does not answer.
            strong.untold.insert(NodeId(turn));
        }
    }
}
