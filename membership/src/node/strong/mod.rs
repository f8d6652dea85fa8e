//! Strong reads and writes as a part of the node. The messages of the room are questions to other members, and their replies.

mod absorbing;
mod registering;
mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use absorbing::Absorbing;
use smol_str::SmolStr;

use crate::base::counters::Counters;
use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::node::Node;
use crate::node::io::Event;
use crate::quorum::{
    Chain, Deposit, Failure, Image, Message, OpId, Outcome, Output, Provenance, Quorum,
};
use crate::requests::{Purpose, RequestError, RequestId};

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
    /// Members that refused to be told, and when they are told again.
    refused: BTreeMap<NodeId, Time>,
    absorbing: Absorbing,
    /// Operations of the node itself. Its owner does not hear of them.
    own_ops: BTreeSet<OpId>,
}

impl Strong {
    fn new(quorum: Quorum) -> Self {
        let (serving, untold, tells, refused, absorbing, own_ops) = Default::default();
        let told_last = NodeId(0);
        Self {
            quorum,
            serving,
            untold,
            told_last,
            tells,
            tells_at: None,
            refused,
            absorbing,
            own_ops,
        }
    }

    pub(in crate::node) fn next_deadline(&self) -> Option<Time> {
        let refused = self.refused.values().copied().min();
        let absorbing = self.absorbing.next_deadline();
        let own = [self.quorum.next_deadline(), self.tells_at, refused, absorbing];
        own.into_iter().flatten().min()
    }

    /// What this node tells others, if it has a seat.
    fn told(&self, own: NodeId) -> Option<Chain> {
        let has_seat = |chain: &&Chain| chain.token(own).is_some();
        self.quorum.chain().filter(has_seat).cloned()
    }
}

impl Node {
    /// Takes part in strong reads and writes from now on, with the image that was found on disk. Called again, as after a disk had failed
    /// and its log was read anew, it begins afresh with that image: operations under way end as if their time was over, and writes
    /// to disk that are under way count no more.
    pub fn begin_strong(&mut self, image: Image, provenance: Provenance, seed: u64, now: Time) {
        let own = self.identity().node_id;
        let before = self.strong.take().map(|strong| strong.quorum);
        let quorum = match before {
            None => Quorum::new(own, image, provenance, seed, now),
            Some(ended) => {
                let (quorum, over) = Quorum::replacing(ended, image, provenance, seed, now);
                over.into_iter()
                    .for_each(|(op, outcome)| self.emit(Event::StrongDone { op, outcome }));
                quorum
            }
        };
        let mut strong = Strong::new(quorum);
        if strong.told(own).is_some() {
            strong.untold = self.members_to_tell();
        }
        self.strong = Some(Box::new(strong));
        self.requests.take_questions(true);
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

    /// Changes of [`Event::StrongStore`] could not be made durable. This node answers no question until it starts again, or
    /// [`begin_strong`](Self::begin_strong) is called with what the disk holds.
    pub fn strong_failed(&mut self) {
        if let Some(strong) = &mut self.strong {
            strong.quorum.store_failed();
            // Members that ask are told so.
            self.requests.take_questions(false);
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
        if strong.take_told(request, result.as_ref().map(drop).map_err(Clone::clone), now) {
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
                Output::Done { op, outcome } => self.end_strong_operation(op, outcome, now),
                Output::Learned(chain) => {
                    self.tell_all();
                    self.emit(Event::Voters(chain));
                }
            }
        }
        self.tell_some(now);
        self.review_voting(now);
    }

    fn end_strong_operation(&mut self, op: OpId, outcome: Outcome, now: Time) {
        if let Outcome::Unknown(Failure::Fenced(epoch)) = outcome {
            self.pass_fence(epoch, now);
        }
        let is_own = self.strong.as_mut().is_some_and(|strong| strong.own_ops.remove(&op));
        if !is_own {
            self.emit(Event::StrongDone { op, outcome });
        }
    }

    fn send_strong(&mut self, to: NodeId, message: &Message, now: Time) {
        if let Message::Reply(reply) = message {
            let strong = self.strong.as_mut();
            let request = strong.and_then(|it| it.serving.remove(&(to, reply.number)));
            if let Some(request) = request {
                self.requests.answer(request, message.encode(), now);
            }
        } else if let Some(peer) = self.in_reach(to).filter(|_| !self.liveness.is_silent()) {
            let bytes = message.encode();
            let asked = self.requests.ask(Purpose::Voter, &peer, bytes, QUESTION_LASTS, now);
            // A question that is not sent has no answer, and is asked again.
            self.counters.encoding_errors += u64::from(asked == Err(RequestError::TooLarge));
        }
    }

    pub(in crate::node) fn handle_strong_deadline(&mut self, now: Time) {
        if let Some(strong) = &mut self.strong
            && strong.quorum.next_deadline().is_some_and(|due| due <= now)
        {
            strong.quorum.handle_deadline(now);
        }
        if let Some(strong) = &mut self.strong {
            strong.tell_refused(now);
        }
        self.absorb(now);
        self.pass_on_strong(now);
    }

    /// Adds what the room counted.
    pub(in crate::node) fn count_strong(&self, counters: &mut Counters) {
        if let Some(quorum) = self.strong() {
            let counted = quorum.counters();
            counters.voter_questions_dropped += counted.questions_dropped;
            counters.voter_writes_full += counted.writes_full;
            counters.voter_writes_beyond += counted.writes_beyond;
            counters.voter_numbers_refused += counted.numbers_refused;
            counters.voter_pages_unknown += counted.pages_unknown;
        }
    }
}
