//! Questions to voters: how they are asked, served and replied to on [lines](super::lines).

use std::time::Duration;

use super::facts::Fact;
use super::lines::NoRoom;
use super::{FIRST_QUESTION, Purpose, RequestError, RequestId, Requests, Serving};
use crate::base::identity::{Identity, NodeId};
use crate::base::io::StreamId;
use crate::base::limits::MAX_REQUEST_TIME;
use crate::base::time::Time;
use crate::wire::{Frame, Question, Reply, Taken};

impl Requests {
    /// The line to a peer. It is opened if there is none.
    pub(super) fn line_to(&mut self, peer: &Identity, now: Time) -> Result<StreamId, NoRoom> {
        match self.lines.to(peer) {
            Ok(stream) => return Ok(stream),
            Err(None) => {}
            Err(Some(elsewhere)) => self.drop_line(elsewhere),
        }
        self.make_room(true)?;
        let stream = self.streams.take();
        self.out.open(stream, peer);
        self.out.counters.voter_lines_opened += 1;
        self.lines.open(stream, peer, now);
        Ok(stream)
    }

    /// Ends a line if that is needed for another one.
    fn make_room(&mut self, is_ours: bool) -> Result<(), NoRoom> {
        let Self { asked, serving, lines, .. } = self;
        let is_awaited = |line| {
            asked.values().any(|asked| asked.stream == line)
                || serving.values().any(|serving| serving.stream == line)
        };
        if let Some(line) = lines.make_room(is_ours, is_awaited)? {
            self.out.finish(line);
            self.line_ended(line);
        }
        Ok(())
    }

    pub(super) fn next_question(&mut self) -> RequestId {
        self.questions += 1;
        RequestId(FIRST_QUESTION + self.questions)
    }

    /// Takes the first question of a line that a peer opens.
    pub(super) fn begin_line(
        &mut self,
        stream: StreamId,
        question: Question,
        is_member: impl Fn(NodeId) -> bool,
        now: Time,
    ) {
        let sender = question.sender;
        if question.cluster != self.out.mark() {
            self.out.counters.sessions_other_cluster += 1;
            return self.out.reset(stream);
        }
        if self.is_refused(&question, &is_member) {
            // A stranger keeps no line.
            self.count_refused(Purpose::Voter);
            let (number, taken) = (question.number, Taken::Refused);
            let reply = Frame::Reply(Reply { number, taken, body: Vec::new() });
            self.out.send_frame(stream, &reply);
            return self.out.finish(stream);
        }
        // A member that opens another line gave up the one before.
        if let Some(before) = self.lines.accepted_from(sender) {
            self.drop_line(before);
        }
        if self.make_room(false).is_err() {
            self.count_refused(Purpose::Voter);
            return self.out.reset(stream);
        }
        self.lines.accept(stream, sender, now);
        self.serve_question(stream, question, is_member, now);
    }

    pub(super) fn serve_question(
        &mut self,
        stream: StreamId,
        question: Question,
        is_member: impl Fn(NodeId) -> bool,
        now: Time,
    ) {
        let is_refused = self.is_refused(&question, is_member);
        let Question { cluster, sender, within_ms, number, body, .. } = question;
        // In a sealed cluster the sender of the first one has proved who it is.
        let is_of_peer = self.lines.get(stream) == Some((sender, false));
        if cluster != self.out.mark() || !is_of_peer {
            self.out.counters.sessions_other_cluster += u64::from(cluster != self.out.mark());
            self.out.counters.messages_invalid += u64::from(!is_of_peer);
            return self.drop_line(stream);
        }
        let purpose = Purpose::Voter;
        let taken = self.judge(purpose, sender, is_refused);
        if taken != Taken::Yes {
            self.count_refused(purpose);
            let reply = Frame::Reply(Reply { number, taken, body: Vec::new() });
            // Without room it goes unanswered.
            self.lines.send(&mut self.out, stream, reply, now);
            return;
        }
        self.out.counters.voter_questions_received += 1;
        let due = now + Duration::from_millis(within_ms.into()).min(MAX_REQUEST_TIME);
        let request = self.next_question();
        self.serving.insert(request, Serving { purpose, from: sender, stream, number, due });
        self.out.tell(Fact::Requested { request, purpose, from: sender, bytes: body });
    }

    /// Whether a question is for somebody else, or from somebody who is no member.
    fn is_refused(&self, question: &Question, is_member: impl Fn(NodeId) -> bool) -> bool {
        let is_addressed = question.receiver == self.own && question.sender != self.own;
        self.leaving || !self.takes_questions || !is_addressed || !is_member(question.sender)
    }

    /// Takes the reply to a question. One that came too late, or twice, is for nobody.
    pub(super) fn take_reply(
        &mut self,
        stream: StreamId,
        Reply { number, taken, body }: Reply,
        now: Time,
    ) {
        let request = RequestId(number);
        self.lines.heard(stream, now);
        if self.asked.get(&request).is_none_or(|asked| asked.stream != stream) {
            return;
        }
        let Some(asked) = self.asked.remove(&request) else { return };
        let result = match taken {
            Taken::Yes => Ok(body),
            Taken::Busy => Err(RequestError::Busy),
            Taken::Refused => Err(RequestError::Refused),
        };
        self.conclude(request, &asked, result);
    }

    /// Ends a line at once. What was asked on it is lost.
    pub(super) fn drop_line(&mut self, stream: StreamId) {
        self.out.reset(stream);
        self.line_ended(stream);
    }

    /// Notes that a line is over.
    pub(super) fn line_ended(&mut self, stream: StreamId) {
        self.lines.remove(stream);
        self.serving.retain(|_, serving| serving.stream != stream);
        let lost = self.asked.extract_if(.., |_, asked| asked.stream == stream);
        for (request, asked) in lost.collect::<Vec<_>>() {
            self.conclude(request, &asked, Err(RequestError::Lost));
        }
    }
}
