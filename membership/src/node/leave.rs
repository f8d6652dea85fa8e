//! A node that leaves on purpose.

use std::sync::Arc;
use std::time::Duration;

use super::Node;
use crate::base::io::Event;
use crate::base::time::Time;
use crate::catalog::record::{Key, NodeRecord, Value};

/// Rounds in which a leaving node tells that it leaves, and the time between them.
const LEAVE_ROUNDS: u32 = 5;
const LEAVE_ROUND_GAP: Duration = Duration::from_millis(60);
/// What is left to do of it.
pub(super) struct Leaving {
    rounds_left: u32,
    due: Time,
}

impl Leaving {
    pub(super) fn next_deadline(&self) -> Option<Time> {
        (self.rounds_left > 0).then_some(self.due)
    }
}

impl Node {
    pub(super) fn leave(&mut self, now: Time) {
        if self.leaving.is_some() {
            return;
        }
        let own = self.identity().node_id;
        if let Some(node) = self.catalog.origin(own).and_then(|origin| origin.node()) {
            let left = Some(self.identity().epoch);
            let node = NodeRecord { left, ..(**node).clone() };
            self.write(vec![(Key::Node, Some(Value::Node(Arc::new(node))))], now);
        }
        self.leaving = Some(Leaving { rounds_left: LEAVE_ROUNDS, due: now + LEAVE_ROUND_GAP });
        self.tell_leaving(now);
        if self.swim.leave(now).is_err() {
            self.counters.swim_refused += 1;
        }
        if !self.connected {
            self.leaving = Some(Leaving { rounds_left: 1, due: now });
        }
    }

    /// foca tells three members once; some more rounds reach everybody in all but the worst networks.
    pub(super) fn handle_leave_deadline(&mut self, now: Time) {
        let Some(leaving) =
            self.leaving.as_mut().filter(|leaving| leaving.due <= now && leaving.rounds_left > 0)
        else {
            return;
        };
        leaving.rounds_left -= 1;
        leaving.due = now + LEAVE_ROUND_GAP;
        if leaving.rounds_left == 0 {
            self.emit(Event::Left);
            return;
        }
        if self.swim.gossip(now).is_err() {
            self.counters.swim_refused += 1;
        }
        let own = self.identity().node_id;
        let last = self.catalog.head(own).map_or(0, |head| head.known_to);
        self.spread_own(last.saturating_sub(1), now);
    }
}
