//! Changes on their way to the disk, and the replies that wait for them.

use std::collections::VecDeque;

use super::image::Change;
use crate::base::identity::NodeId;
use crate::base::mutants::{self as mutant, Mutant};
use crate::quorum::message::Reply;

/// Replies that wait for the disk. Further questions are not answered; their nodes ask again.
pub(crate) const MAX_REPLIES_WAITING: usize = 1_024;

/// What a voter wrote, and told nobody before it is on disk. One write is under way at a time, and the next takes all that came
/// meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Storing {
    pending: Vec<Change>,
    is_under_way: bool,
    ticket: u64,
    waiting: VecDeque<(u64, NodeId, Reply)>,
    has_failed: bool,
}

impl Storing {
    /// Goes on with the numbers of another one, so that no number comes twice.
    pub(crate) fn follow(&mut self, ended: &Self) {
        self.ticket = ended.ticket;
    }

    /// Notes a change for the disk.
    pub(crate) fn add(&mut self, change: Change) {
        // Nothing is written any more, so nothing waits either.
        if !self.has_failed {
            self.pending.push(change);
        }
    }

    /// Whether a further reply finds room.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < MAX_REPLIES_WAITING && !self.has_failed
    }

    /// The number of replies that wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Holds a reply until all that was noted so far is on disk.
    pub(crate) fn hold(&mut self, to: NodeId, reply: Reply) {
        let ticket = if !self.pending.is_empty() {
            self.ticket + 1
        } else if self.is_under_way {
            self.ticket
        } else {
            0
        };
        let ticket = if mutant::is(Mutant::AckBeforeStored) { 0 } else { ticket };
        self.waiting.push_back((ticket, to, reply));
    }

    /// The changes to write next, with the number of the write.
    pub(crate) fn next_write(&mut self) -> Option<(u64, Vec<Change>)> {
        if self.is_under_way || self.pending.is_empty() || self.has_failed {
            return None;
        }
        self.is_under_way = true;
        self.ticket += 1;
        Some((self.ticket, std::mem::take(&mut self.pending)))
    }

    /// Notes that a write is on disk.
    pub(crate) fn written(&mut self, ticket: u64) {
        if self.is_under_way && ticket == self.ticket {
            self.is_under_way = false;
        }
    }

    /// Notes that a write failed. Nothing that waits for the disk is ever told.
    pub(crate) fn failed(&mut self) {
        self.has_failed = true;
        self.waiting.clear();
        self.pending.clear();
    }

    /// Whether all that was noted is on disk.
    pub(crate) fn is_settled(&self) -> bool {
        self.pending.is_empty() && !self.is_under_way
    }

    /// The next reply whose changes are on disk.
    pub(crate) fn next_reply(&mut self) -> Option<(NodeId, Reply)> {
        let on_disk = if self.is_under_way { self.ticket.saturating_sub(1) } else { self.ticket };
        self.waiting.front().filter(|(ticket, ..)| *ticket <= on_disk)?;
        self.waiting.pop_front().map(|(_, to, reply)| (to, reply))
    }
}
