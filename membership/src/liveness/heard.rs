//! When and how a member was last heard, to explain why a node believes that the member lives.

use crate::base::time::Time;

/// The last message that we had from a node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When the message arrived.
    pub at: Time,
    /// The kind of message.
    pub by: Sign,
}

/// A kind of message from a node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A ping, or the answer to one of ours.
    Ping,
    /// A request for a vote on a suspect, or a vote.
    Vote,
    /// A comparison of views.
    Members,
    /// A rumor that it passed on.
    Rumor,
    /// A digest of its catalog.
    Digest,
    /// A request for repair.
    Pull,
    /// A sync session.
    Session,
}
