//! Requests of one member to another, of any datacenter: one frame on a stream of its own, and one frame as the answer.
//!
//! What a request says is the business of the owners of the nodes. A node tells its owner of a request once. It does not know
//! whether a request that got no answer was carried out, so owners make requests that may be repeated.

pub(crate) mod facts;

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
use crate::wire::{Answer, Envelope, Frame, Outbox, Packed, Request, Taken};

use facts::Fact;

/// The streams of this room have numbers of their own, far above those of both planes.
const FIRST_STREAM: u64 = 1 << 60;

/// Names a request, of this node or to this node, by its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

impl From<StreamId> for RequestId {
    fn from(stream: StreamId) -> Self {
        Self(stream.0)
    }
}

impl RequestId {
    fn stream(self) -> StreamId {
        StreamId(self.0)
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
    due: Time,
}

/// A request that this node, or its owner, is answering.
#[derive(Debug)]
struct Serving {
    purpose: Purpose,
    from: NodeId,
    due: Time,
}

/// The requests under way.
pub(crate) struct Requests {
    own: NodeId,
    out: Outbox<Fact>,
    streams: StreamNumbers,
    asked: BTreeMap<StreamId, Asked>,
    serving: BTreeMap<StreamId, Serving>,
    takes_questions: bool,
    leaving: bool,
}

impl Requests {
    pub(crate) fn new(envelope: Envelope, own: NodeId) -> Self {
        Self {
            own,
            out: Outbox::new(envelope),
            streams: StreamNumbers::new(FIRST_STREAM, 1),
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

    /// Takes questions to this node as a voter from now on.
    pub(crate) fn take_questions(&mut self) {
        self.takes_questions = true;
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
        let request = Request {
            cluster: self.out.mark(),
            sender: self.own,
            receiver: peer.node_id,
            within_ms: u32::try_from(within.as_millis()).unwrap_or(u32::MAX),
            body,
        };
        let stream = self.streams.take();
        self.out.open(stream, peer);
        let frame = match purpose {
            Purpose::Owner => {
                self.out.counters.requests_sent += 1;
                Frame::Request(request)
            }
            Purpose::Voter => {
                self.out.counters.voter_questions_sent += 1;
                Frame::Question(request)
            }
        };
        self.out.send_frame(stream, &frame);
        self.asked.insert(stream, Asked { purpose, to: peer.node_id, due: now + within });
        Ok(stream.into())
    }

    fn count_refused(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::Owner => self.out.counters.requests_refused += 1,
            Purpose::Voter => self.out.counters.voter_questions_refused += 1,
        }
    }

    /// Whether a stream carries a request.
    pub(crate) fn has_stream(&self, stream: StreamId) -> bool {
        self.asked.contains_key(&stream) || self.serving.contains_key(&stream)
    }

    /// Takes a request that begins a stream. `is_member` tells of a node whether it is a living member.
    pub(crate) fn serve(
        &mut self,
        stream: StreamId,
        bytes: &[u8],
        is_member: impl Fn(NodeId) -> bool,
        now: Time,
    ) {
        let (purpose, request) = match Frame::decode(bytes) {
            Ok(Frame::Request(request)) => (Purpose::Owner, request),
            Ok(Frame::Question(request)) => (Purpose::Voter, request),
            _ => {
                self.out.counters.messages_invalid += 1;
                return self.out.reset(stream);
            }
        };
        let Request { cluster, sender, receiver, within_ms, body } = request;
        if cluster != self.out.mark() {
            self.out.counters.sessions_other_cluster += 1;
            return self.out.reset(stream);
        }
        let is_asked = receiver == self.own && sender != self.own;
        let takes = purpose == Purpose::Owner || self.takes_questions;
        if self.leaving || !takes || !is_asked || !is_member(sender) {
            return self.turn_away(stream, purpose, Taken::Refused);
        }
        let served = self.serving.values().filter(|serving| serving.purpose == purpose);
        let of_sender = served.clone().filter(|serving| serving.from == sender).count();
        let limit = match purpose {
            Purpose::Owner => MAX_REQUESTS_SERVED,
            Purpose::Voter => MAX_QUESTIONS_SERVED,
        };
        if served.count() >= limit || of_sender >= MAX_REQUESTS_OF_MEMBER {
            return self.turn_away(stream, purpose, Taken::Busy);
        }
        let within = Duration::from_millis(within_ms.into()).min(MAX_REQUEST_TIME);
        match purpose {
            Purpose::Owner => self.out.counters.requests_received += 1,
            Purpose::Voter => self.out.counters.voter_questions_received += 1,
        }
        self.serving.insert(stream, Serving { purpose, from: sender, due: now + within });
        let request = stream.into();
        self.out.tell(Fact::Requested { request, purpose, from: sender, bytes: body });
    }

    fn turn_away(&mut self, stream: StreamId, purpose: Purpose, taken: Taken) {
        self.count_refused(purpose);
        self.out.send_frame(stream, &Frame::Answer(Answer { taken, body: Vec::new() }));
        self.out.finish(stream);
    }

    /// Answers a request, if its sender still waits. Returns whether it does.
    pub(crate) fn answer(&mut self, request: RequestId, body: Vec<u8>) -> bool {
        let stream = request.stream();
        let Some(serving) = self.serving.remove(&stream) else { return false };
        if body.len() > MAX_REQUEST_BYTES {
            self.out.counters.encoding_errors += 1;
            self.out.reset(stream);
            return false;
        }
        if serving.purpose == Purpose::Owner {
            self.out.counters.requests_answered += 1;
        }
        self.out.send_frame(stream, &Frame::Answer(Answer { taken: Taken::Yes, body }));
        self.out.finish(stream);
        true
    }

    /// Whether the sender of a request still waits.
    pub(crate) fn is_awaited(&self, request: RequestId) -> bool {
        self.serving.contains_key(&request.stream())
    }

    /// Handles a frame on the stream of a request.
    pub(crate) fn handle_frame(&mut self, stream: StreamId, bytes: &[u8]) {
        if self.serving.remove(&stream).is_some() {
            // The sender has said all that it may.
            self.out.counters.messages_invalid += 1;
            return self.out.reset(stream);
        }
        let Some(asked) = self.asked.remove(&stream) else { return };
        let result = match Frame::decode(bytes) {
            Ok(Frame::Answer(Answer { taken: Taken::Yes, body })) => Ok(body),
            Ok(Frame::Answer(Answer { taken: Taken::Busy, .. })) => Err(RequestError::Busy),
            Ok(Frame::Answer(Answer { taken: Taken::Refused, .. })) => Err(RequestError::Refused),
            _ => {
                self.out.counters.messages_invalid += 1;
                self.out.reset(stream);
                return self.conclude(stream, &asked, Err(RequestError::Lost));
            }
        };
        self.out.finish(stream);
        self.conclude(stream, &asked, result);
    }

    fn conclude(&mut self, stream: StreamId, asked: &Asked, result: Result<Vec<u8>, RequestError>) {
        let failed = u64::from(result.is_err());
        match asked.purpose {
            Purpose::Owner => self.out.counters.requests_failed += failed,
            Purpose::Voter => self.out.counters.voter_questions_failed += failed,
        }
        let (purpose, from) = (asked.purpose, asked.to);
        self.out.tell(Fact::Answered { request: stream.into(), purpose, from, result });
    }

    /// Notes that a stream is over.
    pub(crate) fn stream_closed(&mut self, stream: StreamId) {
        self.serving.remove(&stream);
        if let Some(asked) = self.asked.remove(&stream) {
            self.conclude(stream, &asked, Err(RequestError::Lost));
        }
    }

    /// Gives up requests to a member that is gone.
    pub(crate) fn member_lost(&mut self, node: NodeId) {
        let lost = self.asked.iter().filter(|(_, asked)| asked.to == node);
        for stream in lost.map(|(stream, _)| *stream).collect::<Vec<_>>() {
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
        asked.chain(self.serving.values().map(|serving| serving.due)).min()
    }

    /// Gives up requests whose time is over.
    pub(crate) fn handle_deadlines(&mut self, now: Time) {
        let over = self.asked.extract_if(.., |_, asked| asked.due <= now);
        for (stream, asked) in over.collect::<Vec<_>>() {
            if asked.purpose == Purpose::Owner {
                self.out.counters.requests_timed_out += 1;
            }
            self.out.reset(stream);
            self.conclude(stream, &asked, Err(RequestError::TimedOut));
        }
        let unanswered = self.serving.extract_if(.., |_, serving| serving.due <= now);
        for (stream, serving) in unanswered.collect::<Vec<_>>() {
            if serving.purpose == Purpose::Owner {
                self.out.counters.requests_unanswered += 1;
            }
            self.out.reset(stream);
        }
    }
}
