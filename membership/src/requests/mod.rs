//! Requests of one member to another, of any datacenter: one frame on a stream of its own, and one frame as the answer. Questions to voters
//! are requests, too; they follow each other on [lines].
//!
//! What a request says is the business of the owners of the nodes. A node tells its owner of a request once. It does not know
//! whether a request that got no answer was carried out, so owners make requests that may be repeated.

pub(crate) mod facts;
mod lines;
mod questions;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::counters::Counters;
use crate::base::identity::{Identity, NodeId};
use crate::base::io::{Output, StreamId, StreamNumbers};
use crate::base::limits::{
    MAX_QUESTIONS_ASKED, MAX_QUESTIONS_SERVED, MAX_REQUEST_BYTES, MAX_REQUEST_TIME,
    MAX_REQUESTS_ASKED, MAX_REQUESTS_OF_MEMBER, MAX_REQUESTS_SERVED,
};
use crate::base::time::Time;
use crate::wire::{Answer, Envelope, Frame, Outbox, Packed, Question, Reply, Request, Taken};

use facts::Fact;
use lines::Lines;

/// The streams of this room have numbers of their own, far above those of both planes.
const FIRST_STREAM: u64 = 1 << 60;
/// Questions have numbers above those of all streams.
const FIRST_QUESTION: u64 = 1 << 63;

/// Names a request, of this node or to this node: by its stream, or as a question by a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

impl From<StreamId> for RequestId {
    fn from(stream: StreamId) -> Self {
        Self(stream.0)
    }
}

/// The reason why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Nothing was sent: the request is too long.
    #[error("the request has more than {MAX_REQUEST_BYTES} bytes")]
    TooLarge,
    /// Nothing was sent: too many requests are under way.
    #[error("{MAX_REQUESTS_ASKED} requests are under way, and no more may be")]
    TooMany,
    /// Nothing was sent: the node is no living member in reach, or this node is silent or leaves.
    #[error("the member is not in reach")]
    OutOfReach,
    /// The member has as many requests under way as it may. It did nothing.
    #[error("the member has as many requests under way as it may")]
    Busy,
    /// The member does not hold this node for a living member, or leaves. It did nothing.
    #[error(
        "the member does not take the request: it does not hold this node for a living member, or it leaves"
    )]
    Refused,
    /// The connection broke before the answer came, or there was none.
    #[error("the connection to the member broke, or there was none")]
    Lost,
    /// No answer came in time.
    #[error("no answer came in time")]
    TimedOut,
}

impl RequestError {
    /// Whether the member may have carried out the request all the same.
    #[must_use]
    pub fn is_in_doubt(self) -> bool {
        matches!(self, Self::Lost | Self::TimedOut)
    }
}

/// The part of a member that a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The owner of the member.
    Owner,
    /// The member as a voter. The node answers when its disk has the changes.
    Voter,
}

/// A request that this node made.
#[derive(Debug)]
struct Asked {
    purpose: Purpose,
    to: NodeId,
    stream: StreamId,
    at: Time,
    due: Time,
}

/// A request that this node, or its owner, is answering.
#[derive(Debug)]
struct Serving {
    purpose: Purpose,
    from: NodeId,
    stream: StreamId,
    /// The number that its sender gave to a question.
    number: u64,
    due: Time,
}

/// The requests under way.
pub(crate) struct Requests {
    own: NodeId,
    out: Outbox<Fact>,
    streams: StreamNumbers,
    lines: Lines,
    /// The number of questions so far, of this node and to it.
    questions: u64,
    asked: BTreeMap<RequestId, Asked>,
    serving: BTreeMap<RequestId, Serving>,
    takes_questions: bool,
    leaving: bool,
}

impl Requests {
    pub(crate) fn new(envelope: Envelope, own: NodeId) -> Self {
        Self {
            own,
            out: Outbox::new(envelope),
            streams: StreamNumbers::new(FIRST_STREAM, 1),
            lines: Lines::default(),
            questions: 0,
            asked: BTreeMap::new(),
            serving: BTreeMap::new(),
            takes_questions: false,
            leaving: false,
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output<Fact, Packed>> {
        self.out.poll()
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.out.counters
    }

    /// The number of requests under way.
    pub(crate) fn open(&self) -> usize {
        self.asked.len() + self.serving.len()
    }

    /// Takes questions to this node as a voter from now on, or refuses them.
    pub(crate) fn take_questions(&mut self, takes: bool) {
        self.takes_questions = takes;
    }

    /// Asks a member, and waits for the answer for so long.
    ///
    /// # Errors
    /// Nothing was sent.
    pub(crate) fn ask(
        &mut self,
        purpose: Purpose,
        peer: &Identity,
        body: Vec<u8>,
        within: Duration,
        now: Time,
    ) -> Result<RequestId, RequestError> {
        if body.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLarge);
        }
        let limit = match purpose {
            Purpose::Owner => MAX_REQUESTS_ASKED,
            Purpose::Voter => MAX_QUESTIONS_ASKED,
        };
        if self.asked.values().filter(|asked| asked.purpose == purpose).count() >= limit {
            self.count_refused(purpose);
            return Err(RequestError::TooMany);
        }
        if self.leaving {
            return Err(RequestError::OutOfReach);
        }
        let within = within.min(MAX_REQUEST_TIME);
        let within_ms = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
        let (cluster, sender, receiver) = (self.out.mark(), self.own, peer.node_id);
        let (request, stream) = match purpose {
            Purpose::Owner => {
                let stream = self.streams.take();
                self.out.open(stream, peer);
                self.out.counters.requests_sent += 1;
                let request = Request { cluster, sender, receiver, within_ms, body };
                self.out.send_frame(stream, &Frame::Request(request));
                (stream.into(), stream)
            }
            Purpose::Voter => {
                let Ok(stream) = self.line_to(peer, now) else {
                    self.count_refused(purpose);
                    return Err(RequestError::TooMany);
                };
                let request = self.next_question();
                let number = request.0;
                let question = Question { cluster, sender, receiver, within_ms, number, body };
                if !self.lines.send(&mut self.out, stream, Frame::Question(question), now) {
                    self.count_refused(purpose);
                    return Err(RequestError::TooMany);
                }
                self.out.counters.voter_questions_sent += 1;
                (request, stream)
            }
        };
        let (to, due) = (peer.node_id, now + within);
        self.asked.insert(request, Asked { purpose, to, stream, at: now, due });
        Ok(request)
    }

    fn count_refused(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::Owner => self.out.counters.requests_refused += 1,
            Purpose::Voter => self.out.counters.voter_questions_refused += 1,
        }
    }

    /// Whether a stream carries a request.
    pub(crate) fn has_stream(&self, stream: StreamId) -> bool {
        let request = RequestId::from(stream);
        let is_request = self.asked.contains_key(&request) || self.serving.contains_key(&request);
        is_request || self.lines.get(stream).is_some()
    }

    /// Takes a request, or the first question, that begins a stream. `is_member` tells of a node whether it is a living member.
    pub(crate) fn serve(
        &mut self,
        stream: StreamId,
        bytes: &[u8],
        is_member: impl Fn(NodeId) -> bool,
        now: Time,
    ) {
        match Frame::decode(bytes) {
            Ok(Frame::Request(request)) => self.serve_request(stream, request, is_member, now),
            Ok(Frame::Question(question)) => {
                self.begin_line(stream, question, is_member, now);
            }
            _ => {
                self.out.counters.messages_invalid += 1;
                self.out.reset(stream);
            }
        }
    }

    fn serve_request(
        &mut self,
        stream: StreamId,
        Request { cluster, sender, receiver, within_ms, body }: Request,
        is_member: impl Fn(NodeId) -> bool,
        now: Time,
    ) {
        if cluster != self.out.mark() {
            self.out.counters.sessions_other_cluster += 1;
            return self.out.reset(stream);
        }
        let purpose = Purpose::Owner;
        let is_refused = receiver != self.own || sender == self.own || !is_member(sender);
        let taken = self.judge(purpose, sender, is_refused);
        if taken != Taken::Yes {
            self.count_refused(purpose);
            self.out.send_frame(stream, &Frame::Answer(Answer { taken, body: Vec::new() }));
            return self.out.finish(stream);
        }
        self.out.counters.requests_received += 1;
        let due = now + Duration::from_millis(within_ms.into()).min(MAX_REQUEST_TIME);
        let serving = Serving { purpose, from: sender, stream, number: 0, due };
        self.serving.insert(stream.into(), serving);
        let request = stream.into();
        self.out.tell(Fact::Requested { request, purpose, from: sender, bytes: body });
    }

    /// Whether a request is taken.
    fn judge(&self, purpose: Purpose, sender: NodeId, is_refused: bool) -> Taken {
        if self.leaving || is_refused {
            return Taken::Refused;
        }
        let served = self.serving.values().filter(|serving| serving.purpose == purpose);
        let of_sender = served.clone().filter(|serving| serving.from == sender).count();
        let limit = match purpose {
            Purpose::Owner => MAX_REQUESTS_SERVED,
            Purpose::Voter => MAX_QUESTIONS_SERVED,
        };
        let is_busy = served.count() >= limit || of_sender >= MAX_REQUESTS_OF_MEMBER;
        if is_busy { Taken::Busy } else { Taken::Yes }
    }

    /// Answers a request, if its sender still waits. Returns whether it does.
    pub(crate) fn answer(&mut self, request: RequestId, body: Vec<u8>, now: Time) -> bool {
        let Some(serving) = self.serving.remove(&request) else { return false };
        let Serving { purpose, stream, number, .. } = serving;
        let (is_too_long, taken) = (body.len() > MAX_REQUEST_BYTES, Taken::Yes);
        self.out.counters.encoding_errors += u64::from(is_too_long);
        match purpose {
            Purpose::Voter if is_too_long => false,
            Purpose::Voter => {
                let reply = Frame::Reply(Reply { number, taken, body });
                self.lines.send(&mut self.out, stream, reply, now)
            }
            Purpose::Owner if is_too_long => {
                self.out.reset(stream);
                false
            }
            Purpose::Owner => {
                self.out.counters.requests_answered += 1;
                self.out.send_frame(stream, &Frame::Answer(Answer { taken, body }));
                self.out.finish(stream);
                true
            }
        }
    }

    /// Whether the sender of a request still waits.
    pub(crate) fn is_awaited(&self, request: RequestId) -> bool {
        self.serving.contains_key(&request)
    }

    /// Handles a frame on the stream of a request, or on a line. `is_member` tells of a node whether it is a living member.
    pub(crate) fn handle_frame(
        &mut self,
        stream: StreamId,
        bytes: &[u8],
        is_member: impl Fn(NodeId) -> bool,
        now: Time,
    ) {
        if let Some((_, is_ours)) = self.lines.get(stream) {
            return match (Frame::decode(bytes), is_ours) {
                (Ok(Frame::Reply(reply)), true) => self.take_reply(stream, reply, now),
                (Ok(Frame::Question(question)), false) => {
                    self.serve_question(stream, question, is_member, now);
                }
                _ => {
                    self.out.counters.messages_invalid += 1;
                    self.drop_line(stream);
                }
            };
        }
        let request = RequestId::from(stream);
        if self.serving.remove(&request).is_some() {
            // The sender has said all that it may.
            self.out.counters.messages_invalid += 1;
            return self.out.reset(stream);
        }
        let Some(asked) = self.asked.remove(&request) else { return };
        let result = match Frame::decode(bytes) {
            Ok(Frame::Answer(Answer { taken: Taken::Yes, body })) => Ok(body),
            Ok(Frame::Answer(Answer { taken: Taken::Busy, .. })) => Err(RequestError::Busy),
            Ok(Frame::Answer(Answer { taken: Taken::Refused, .. })) => Err(RequestError::Refused),
            _ => {
                self.out.counters.messages_invalid += 1;
                self.out.reset(stream);
                return self.conclude(request, &asked, Err(RequestError::Lost));
            }
        };
        self.out.finish(stream);
        self.conclude(request, &asked, result);
    }

    fn conclude(
        &mut self,
        request: RequestId,
        asked: &Asked,
        result: Result<Vec<u8>, RequestError>,
    ) {
        let failed = u64::from(result.is_err());
        match asked.purpose {
            Purpose::Owner => self.out.counters.requests_failed += failed,
            Purpose::Voter => self.out.counters.voter_questions_failed += failed,
        }
        let (purpose, from) = (asked.purpose, asked.to);
        self.out.tell(Fact::Answered { request, purpose, from, result });
    }

    /// Notes that a stream is over.
    pub(crate) fn stream_closed(&mut self, stream: StreamId) {
        if self.lines.get(stream).is_some() {
            self.out.finish(stream);
            return self.line_ended(stream);
        }
        let request = RequestId::from(stream);
        self.serving.remove(&request);
        if let Some(asked) = self.asked.remove(&request) {
            self.conclude(request, &asked, Err(RequestError::Lost));
        }
    }

    /// Notes that the transport has written a frame.
    pub(crate) fn stream_written(&mut self, stream: StreamId) {
        self.lines.written(&mut self.out, stream);
    }

    /// Gives up requests to a member that is gone.
    pub(crate) fn member_lost(&mut self, node: NodeId) {
        let lines = [self.lines.opened_to(node), self.lines.accepted_from(node)];
        for line in lines.into_iter().flatten() {
            self.drop_line(line);
        }
        let lost = self.asked.values().filter(|asked| asked.to == node);
        for stream in lost.map(|asked| asked.stream).collect::<Vec<_>>() {
            self.out.reset(stream);
            self.stream_closed(stream);
        }
    }

    /// Takes no more requests. Those under way are answered.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let asked = self.asked.values().map(|asked| asked.due);
        let serving = self.serving.values().map(|serving| serving.due);
        asked.chain(serving).chain(self.lines.next_deadline()).min()
    }

    /// Gives up requests whose time is over.
    pub(crate) fn handle_deadlines(&mut self, now: Time) {
        let over = self.asked.extract_if(.., |_, asked| asked.due <= now);
        for (request, asked) in over.collect::<Vec<_>>() {
            self.conclude(request, &asked, Err(RequestError::TimedOut));
            match asked.purpose {
                Purpose::Owner => {
                    self.out.counters.requests_timed_out += 1;
                    self.out.reset(asked.stream);
                }
                // The peer may be another life of the member, which knows nothing of the line.
                Purpose::Voter if self.lines.is_silent_since(asked.stream, asked.at) => {
                    self.drop_line(asked.stream);
                }
                Purpose::Voter => {}
            }
        }
        let unanswered = self.serving.extract_if(.., |_, serving| serving.due <= now);
        for (_, serving) in unanswered.collect::<Vec<_>>() {
            if serving.purpose == Purpose::Owner {
                self.out.counters.requests_unanswered += 1;
                self.out.reset(serving.stream);
            }
        }
        for line in self.lines.resting(now) {
            self.out.finish(line);
            self.line_ended(line);
        }
    }
}
