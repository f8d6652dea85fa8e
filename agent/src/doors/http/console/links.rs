//! The links between members that this agent knows: to those that it watches, from those that watch it, and to those that were called down.

use hobnob_api::NodeId;
use hobnob_membership::{self as membership, Node, Time};
use serde::Serialize;

use crate::clock::millis;
use crate::translate::api_node_id;

/// The most verdicts that are told.
const MAX_VERDICTS: usize = 256;

/// The links that this agent knows of.
#[derive(Debug, Serialize)]
pub(super) struct Links {
    /// The members that this agent watches.
    watches: Vec<WatchedLink>,
    /// The members that watch this agent.
    watched_by: Vec<NodeId>,
    /// The members that are down by the word of others.
    verdicts: Vec<CalledDown>,
    /// Whether more of them are down than are told.
    more: bool,
}

/// The link to a member that this agent watches.
#[derive(Debug, Serialize)]
struct WatchedLink {
    node_id: NodeId,
    /// The time since the member answered a ping, in milliseconds; none when it never did.
    answered_ago_ms: Option<u64>,
    /// The time since it last answered, in milliseconds, while the link is broken.
    silent_ms: Option<u64>,
}

/// The members that called another one down.
#[derive(Debug, Serialize)]
struct CalledDown {
    member: NodeId,
    by: NodeId,
    agreed: Vec<NodeId>,
}

impl Links {
    /// Reads them.
    pub(super) fn read(node: &Node, now: Time) -> Self {
        let ago = |at: Time| millis(now.since(at));
        let link = |id| WatchedLink {
            node_id: api_node_id(id),
            answered_ago_ms: node.last_answer(id).map(ago),
            silent_ms: node.link_broken_for(id, now).map(millis),
        };
        let mut verdicts = node.member_ids().filter_map(|id| verdict(node, id));
        Self {
            watches: node.member_ids().filter(|id| node.is_watched(*id)).map(link).collect(),
            watched_by: node.monitors().map(api_node_id).collect(),
            verdicts: verdicts.by_ref().take(MAX_VERDICTS).collect(),
            more: verdicts.next().is_some(),
        }
    }
}

fn verdict(node: &Node, id: membership::NodeId) -> Option<CalledDown> {
    let told = &node.belief(id)?.verdict;
    Some(CalledDown {
        member: api_node_id(id),
        by: api_node_id(told.accuser),
        agreed: told.referees.iter().copied().map(api_node_id).collect(),
    })
}
