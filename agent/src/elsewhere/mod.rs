//! Instances that are registered with an agent of another datacenter, and what its voters keep.
//!
//! The agent that a client asks hands the change to an agent there, which becomes the origin: it makes the change durable, runs the
//! check, and answers. An instance that a process of its own host registered is never changed from elsewhere.

mod answering;
mod asking;
mod echoing;
mod message;
mod reading;

use hobnob_membership::{NodeId, RequestId};

pub(crate) use answering::Answering;
pub(crate) use asking::{Done, deregister, register};
pub(crate) use echoing::{echo_by_quic, echoes_by_udp};
pub(crate) use message::Echoed;
pub(crate) use reading::read_strongly;

/// The most requests of other agents that wait for their turn. The node is answering fewer at once.
pub(crate) const MAX_WAITING_REQUESTS: usize = 64;

/// A request of another agent.
#[derive(Debug)]
pub(crate) struct Requested {
    pub(crate) request: RequestId,
    pub(crate) from: NodeId,
    pub(crate) bytes: Vec<u8>,
}
