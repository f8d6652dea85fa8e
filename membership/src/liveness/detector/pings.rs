//! Pings that may still be answered.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::base::identity::NodeId;
use crate::base::limits::MAX_PENDING_PINGS;
use crate::base::time::Time;
use crate::wire::pong_tag;

/// A pong that comes later than this is no sign of life. Longer than the longest suspicion timeout.
const ANSWERED_WITHIN: Duration = Duration::from_secs(12);

/// Pings that wait for a pong, by the tag that the pong will carry.
#[derive(Debug, Default)]
pub(super) struct Pings {
    awaited: BTreeMap<[u8; 4], NodeId>,
    sent: VecDeque<(Time, [u8; 4])>,
}

impl Pings {
    /// Expects a pong to the pings with this nonce to this node. Drops pings that are too old or too many.
    pub(super) fn expect(&mut self, node: NodeId, nonce: [u8; 4], now: Time) {
        while let Some((at, tag)) = self.sent.front()
            && (now.since(*at) > ANSWERED_WITHIN || self.sent.len() >= MAX_PENDING_PINGS)
        {
            self.awaited.remove(tag);
            self.sent.pop_front();
        }
        let tag = pong_tag(node, nonce);
        self.awaited.insert(tag, node);
        self.sent.push_back((now, tag));
    }

    /// The node whose pong carries this tag, if a ping waits for it. Each nonce is answered once.
    pub(super) fn answered(&mut self, tag: [u8; 4]) -> Option<NodeId> {
        self.awaited.remove(&tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pong_counts_once_and_only_in_time() {
        let mut pings = Pings::default();
        let (node, nonce) = (NodeId(7), [1, 2, 3, 4]);
        pings.expect(node, nonce, Time::ZERO);
        assert_eq!(pings.answered(pong_tag(NodeId(8), nonce)), None);
        assert_eq!(pings.answered(pong_tag(node, nonce)), Some(node));
        assert_eq!(pings.answered(pong_tag(node, nonce)), None);
        pings.expect(node, nonce, Time::ZERO);
        pings.expect(node, [0; 4], Time::from_millis(12_001));
        assert_eq!(pings.answered(pong_tag(node, nonce)), None);
        assert_eq!(pings.answered(pong_tag(node, [0; 4])), Some(node));
    }
}
