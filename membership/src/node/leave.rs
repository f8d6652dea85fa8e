//! Leaving on purpose.

use std::sync::Arc;
use std::time::Duration;

use super::Node;
use super::io::Event;
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::catalog::record::{Key, NodeRecord, Value};

/// Rounds of telling the members that this node leaves.
const LEAVE_ROUNDS: u32 = 5;
/// The time between two rounds.
const LEAVE_ROUND_GAP: Duration = Duration::from_millis(60);

/// A leave that is under way.
pub(super) struct Leaving {
    rounds_left: u32,
}

impl Node {
    pub(super) fn leave(&mut self, now: Time) {
        if self.leaving.is_some() {
            return;
        }
        let own = *self.identity();
        if let Some(node) = self.catalog().origin(own.node_id).and_then(|origin| origin.node()) {
            let node = NodeRecord { left: Some(own.epoch), ..(**node).clone() };
            // Never refused, since it replaces a legal record by one with an epoch more. A refusal would be counted, and the
            // members would take this node for down.
            let _ = self.spread.write(vec![(Key::Node, Some(Value::Node(Arc::new(node))))], now);
        }
        // An isolated node has no member to tell, so it leaves at once.
        let (rounds_left, due) = if self.liveness.is_connected() {
            (LEAVE_ROUNDS, now + LEAVE_ROUND_GAP)
        } else {
            (1, now)
        };
        self.leaving = Some(Leaving { rounds_left });
        self.timers.set(Timer::Leave, due);
        self.review_home(own.node_id, now);
        self.wan.leave();
        self.requests.leave();
        self.liveness.leave(now);
        self.spread.leave();
    }

    /// Tells the members again that this node leaves, or reports `Left` after the last round.
    pub(super) fn handle_leave_deadline(&mut self, now: Time) {
        let Some(leaving) =
            self.leaving.as_mut().filter(|_| self.timers.is_expired(Timer::Leave, now))
        else {
            return;
        };
        leaving.rounds_left = leaving.rounds_left.saturating_sub(1);
        if leaving.rounds_left == 0 {
            self.timers.stop(Timer::Leave);
            return self.emit(Event::Left);
        }
        self.timers.set(Timer::Leave, now + LEAVE_ROUND_GAP);
        self.spread.repeat_own(now);
    }
}
