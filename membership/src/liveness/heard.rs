//! How a member was last heard, for people who ask why a node believes that it lives.

use crate::base::time::Time;

/// When we last heard a node itself, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When.
    pub at: Time,
    /// By what.
    pub by: Sign,
}

/// How we heard a node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A ping, or the answer to one of ours.
    Ping,
    /// A question about a suspect, or a vote.
    Vote,
    /// A comparison of members.
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
