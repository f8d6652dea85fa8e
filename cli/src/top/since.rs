//! Since when members have their status, as far as this command has seen.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hobnob_api::{Member, MemberStatus, NodeId};

/// The status and the life of a member, and when it was first seen so.
#[derive(Clone, Copy, Debug)]
struct Seen {
    status: MemberStatus,
    epoch: u64,
    at: Instant,
    /// Whether it was so at the first look, and may have been for longer.
    from_start: bool,
}

/// Since when each member has its status.
#[derive(Debug, Default)]
pub(super) struct Since {
    seen: BTreeMap<NodeId, Seen>,
    has_looked: bool,
}

/// An age, or its least value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Age {
    pub(super) time: Duration,
    pub(super) is_at_least: bool,
}

impl Since {
    /// Takes a look at the members.
    pub(super) fn look(&mut self, members: &[Member], at: Instant) {
        self.seen.retain(|node, _| members.iter().any(|member| member.node_id == *node));
        for member in members {
            let now = Seen {
                status: member.status,
                epoch: member.epoch,
                at,
                from_start: !self.has_looked,
            };
            let seen = self.seen.entry(member.node_id).or_insert(now);
            if (seen.status, seen.epoch) != (now.status, now.epoch) {
                *seen = now;
            }
        }
        self.has_looked = true;
    }

    /// How long a member has had its status. The agent knows that of members that are down or gone.
    pub(super) fn age(&self, member: &Member, now: Instant) -> Option<Age> {
        if let Some(ms) = member.down_ago_ms {
            return Some(Age { time: Duration::from_millis(ms), is_at_least: false });
        }
        let seen = self.seen.get(&member.node_id)?;
        Some(Age { time: now.duration_since(seen.at), is_at_least: seen.from_start })
    }
}
