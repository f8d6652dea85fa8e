//! Requests to other agents, whose askers wait, and requests of theirs.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::{NodeId, RequestError, RequestId};
use tokio::sync::mpsc;

use super::Driver;
use crate::actor::Reply;
use crate::elsewhere::Requested;

/// The answer of another agent, or why there is none.
pub(crate) type Answered = Result<Vec<u8>, RequestError>;

/// The askers that wait, and the task that answers others. The node limits how many there are.
#[derive(Default)]
pub(super) struct Requesting {
    waiting: BTreeMap<RequestId, Reply<Answered>>,
    answering: Option<mpsc::Sender<Requested>>,
}

impl Driver {
    /// The same driver. It hands requests of other agents to a task that answers them; without one, they go unanswered.
    pub(crate) fn handing_requests_to(mut self, answering: mpsc::Sender<Requested>) -> Self {
        self.requesting.answering = Some(answering);
        self
    }

    pub(super) fn request(
        &mut self,
        to: NodeId,
        bytes: Vec<u8>,
        within: Duration,
        reply: Reply<Answered>,
    ) {
        match self.node.request(to, bytes, within, self.clock.now()) {
            Ok(request) => drop(self.requesting.waiting.insert(request, reply)),
            Err(error) => reply.send(Err(error)),
        }
    }

    pub(super) fn note_answered(&mut self, request: RequestId, result: Answered) {
        if let Some(reply) = self.requesting.waiting.remove(&request) {
            reply.send(result);
        }
    }

    /// Hands on a request of another agent. One that finds no room goes unanswered, and the node counts that.
    pub(super) fn note_requested(&self, requested: Requested) {
        if let Some(answering) = &self.requesting.answering {
            let _ = answering.try_send(requested);
        }
    }
}
