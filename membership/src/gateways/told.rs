//! The tells that a gateway took lately, so that one which comes twice is forwarded once.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::base::identity::NodeId;
use crate::base::limits::MAX_TELLS_REMEMBERED;
use crate::base::time::Time;

/// A tell comes again within this time or not at all.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);

/// The tells that were taken, by sender and number.
#[derive(Debug, Default)]
pub(crate) struct Told {
    known: BTreeSet<(NodeId, u32)>,
    order: VecDeque<(Time, NodeId, u32)>,
}

impl Told {
    /// Notes a tell. Returns whether it is new.
    pub(crate) fn note(&mut self, sender: NodeId, number: u32, now: Time) -> bool {
        while let Some((at, sender, number)) = self.order.front().copied()
            && (now.since(at) > REMEMBERED_FOR || self.order.len() >= MAX_TELLS_REMEMBERED)
        {
            self.order.pop_front();
            self.known.remove(&(sender, number));
        }
        let is_new = self.known.insert((sender, number));
        if is_new {
            self.order.push_back((now, sender, number));
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tell_is_new_once_and_no_more_are_remembered_than_may_be() {
        let mut told = Told::default();
        assert!(told.note(NodeId(1), 7, Time::ZERO));
        assert!(!told.note(NodeId(1), 7, Time::from_millis(10)));
        assert!(told.note(NodeId(2), 7, Time::from_millis(10)), "another sender");
        for number in 0..2 * MAX_TELLS_REMEMBERED as u32 {
            assert!(told.note(NodeId(3), number, Time::from_millis(20)));
        }
        assert_eq!(
            (told.order.len(), told.known.len()),
            (MAX_TELLS_REMEMBERED, MAX_TELLS_REMEMBERED)
        );
        assert!(told.note(NodeId(3), u32::MAX, Time::from_millis(20_000)));
        assert_eq!(told.known.len(), 1);
    }
}
