//! Requests to other members, and what the owner of the node is told of them.

use std::time::Duration;

use super::Node;
use super::io::Event;
use crate::base::identity::{Identity, NodeId};
use crate::base::io::StreamId;
use crate::base::time::Time;
use crate::requests::facts::Fact;
use crate::requests::{Purpose, RequestError, RequestId};
use crate::trust::rights::Hidden;
use crate::wire::{Frame, HomeVerdict};

impl Node {
    /// Asks a living member, of any datacenter. [`Event::Answered`] with this number follows: with the answer of its owner, or
    /// with an error, at the latest after `within`, which is [`MAX_REQUEST_TIME`](crate::limits::MAX_REQUEST_TIME) at most.
    ///
    /// # Errors
    /// Nothing was sent, and no event follows.
    pub fn request(
        &mut self,
        to: NodeId,
        bytes: Vec<u8>,
        within: Duration,
        now: Time,
    ) -> Result<RequestId, RequestError> {
        let peer = self.in_reach(to).filter(|_| !self.liveness.is_silent());
        let peer = peer.ok_or(RequestError::OutOfReach)?;
        let request = self.requests.ask(Purpose::Owner, &peer, bytes, within, now);
        self.settle(now);
        request
    }

    /// Pings active members of the own pool, to see whether datagrams pass both ways. [`Node::echo`] tells which of them answered.
    /// Returns the members that were pinged: none while this node is silent.
    pub fn ask_for_echoes(&mut self, of: &[NodeId], now: Time) -> Vec<NodeId> {
        if self.liveness.is_silent() {
            return Vec::new();
        }
        let pinged = of.iter().copied().filter(|node| self.liveness.ask_for_echo(*node, now));
        let pinged = pinged.collect();
        self.settle(now);
        pinged
    }

    /// The time that the last echo of a member took: from [`Node::ask_for_echoes`] to its answer by datagram. `None` while there is no
    /// answer.
    #[must_use]
    pub fn echo(&self, of: NodeId) -> Option<Duration> {
        self.liveness.echo(of)
    }

    /// Whether the member that made a request still waits for the answer.
    #[must_use]
    pub fn is_awaited(&self, request: RequestId) -> bool {
        self.requests.is_awaited(request)
    }

    /// Why instances of a service that this node registered are hidden, or would be; `None` if it may serve them. In a clear cluster
    /// every node may.
    #[must_use]
    pub fn hides(&self, node: NodeId, service: &str) -> Option<Hidden> {
        self.guard.as_ref()?.hides(node, &service.into())
    }

    /// A member that is alive and in reach, other than this node.
    pub(super) fn in_reach(&self, node: NodeId) -> Option<Identity> {
        if node == self.identity().node_id {
            return None;
        }
        if let Some(entry) = self.wan.remote(node) {
            let is_alive =
                self.wan.table().believed(entry) == HomeVerdict::Alive && !self.is_revoked(node);
            let is_near = self.wan.out_since(entry.home).is_none();
            return (is_alive && is_near).then_some(entry.identity);
        }
        self.liveness.members().active(node).copied()
    }

    /// Serves the request that begins a stream.
    pub(super) fn serve_request(&mut self, stream: StreamId, bytes: &[u8], now: Time) {
        let Self { requests, liveness, wan, .. } = self;
        if Frame::is_question(bytes) {
            // Only members of the own pool ask voters.
            let is_alive = |node| liveness.members().active(node).is_some();
            return requests.serve(stream, bytes, is_alive, now);
        }
        // A member of a datacenter that is held out of reach was heard just now.
        let is_alive = |node| match wan.remote(node) {
            Some(entry) => wan.table().believed(entry) == HomeVerdict::Alive,
            None => liveness.members().active(node).is_some(),
        };
        requests.serve(stream, bytes, is_alive, now);
    }

    /// Handles a further frame on the stream of a request.
    pub(super) fn handle_request_frame(&mut self, stream: StreamId, bytes: &[u8], now: Time) {
        let Self { requests, liveness, .. } = self;
        // Only voters of the own pool are asked more than once on a stream.
        let is_alive = |node| liveness.members().active(node).is_some();
        requests.handle_frame(stream, bytes, is_alive, now);
    }

    pub(super) fn pass_on_requests(&mut self, now: Time) {
        loop {
            self.pass_on_strong(now);
            let Some(output) = self.requests.poll_output() else { return };
            match output.split(|packed| self.close(&packed, now)) {
                Ok(Some(work)) => self.put_out(work, now),
                Ok(None) => {}
                Err(Fact::Requested { request, purpose: Purpose::Owner, from, bytes }) => {
                    self.emit(Event::Requested { request, from, bytes });
                }
                Err(Fact::Answered { request, purpose: Purpose::Owner, result, .. }) => {
                    self.emit(Event::Answered { request, result });
                }
                Err(Fact::Requested { request, from, bytes, .. }) => {
                    self.take_question(request, from, &bytes, now);
                }
                Err(Fact::Answered { request, from, result, .. }) => {
                    self.take_voters_answer(request, from, result, now);
                }
            }
        }
    }
}
