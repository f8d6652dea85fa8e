//! What a node can say of its members and records, and of where its beliefs come from.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Node;
use super::view::{Instance, Member, MemberStatus};
use crate::base::counters::{Counters, Load};
use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::catalog::record::NodeRecord;
use crate::liveness::detector::Belief;
use crate::liveness::duplicate::Duplicate;
use crate::liveness::heard::Heard;
use crate::spread::provenance::{Arrival, ForceLeft};

/// What came from a node, and of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// When we last heard the node itself.
    pub heard: Option<Heard>,
    /// The latest news of its records.
    pub news: Option<Arrival>,
}

impl Node {
    /// Every instance that is not gone, by origin and id.
    pub fn instances(&self) -> impl ExactSizeIterator<Item = &Arc<Instance>> {
        self.view.instances()
    }

    /// Every member that we know of, ourselves first.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let own = self.identity().node_id;
        std::iter::once(own)
            .chain(self.liveness.members().iter().map(|(node, _)| node))
            .filter_map(|node| self.member(node))
            .map(|mut member| {
                let suspected = self.liveness.detector().is_suspect(member.identity.node_id);
                if member.status == MemberStatus::Alive && suspected {
                    member.status = MemberStatus::Suspect;
                }
                member
            })
            .collect()
    }

    /// How many members are active, ourselves included.
    #[must_use]
    pub fn active_members(&self) -> usize {
        self.liveness.members().ring().len() + 1
    }

    /// The gossip addresses of the active members, to be remembered for the next start.
    pub fn peer_addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.liveness.members().iter_active().map(|identity| identity.addr)
    }

    /// Whether we hear at least one other member.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.liveness.is_connected()
    }

    /// When we last heard another member.
    #[must_use]
    pub fn last_contact(&self) -> Option<Time> {
        self.liveness.last_contact()
    }

    /// What is held at this moment, against the limits of [`crate::base::limits`].
    #[must_use]
    pub fn load(&self) -> Load {
        Load {
            members: self.liveness.members().len() + 1,
            own_unsent: self.spread.own_unsent(),
            rumors: self.spread.rumors_waiting(),
            answers: self.spread.answers_waiting(),
            gaps: self.spread.gaps_open(),
            sessions: self.spread.sessions_open(),
            indirect_probes: self.liveness.detector().open(),
            member_updates: self.liveness.updates_waiting(),
            unknown_records: self.catalog().unknown_records(),
        }
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters.clone();
        counters.add(self.liveness.counters());
        counters.add(self.spread.counters());
        counters
    }

    /// Why we believe that a member is down: who said so, when, and who agreed; `None` while it is not, or when the
    /// verdict itself did not reach us.
    #[must_use]
    pub fn belief(&self, node: NodeId) -> Option<&Belief> {
        self.liveness.belief(node)
    }

    /// Whether a suspect stands still: its host answered somebody who looks into its silence.
    #[must_use]
    pub fn is_stalled(&self, node: NodeId) -> bool {
        self.liveness.detector().is_stalled(node)
    }

    /// When a suspect is called down, unless somebody hears it until then; `None` when we do not suspect it.
    #[must_use]
    pub fn suspect_until(&self, node: NodeId) -> Option<Time> {
        self.liveness.detector().suspect_until(node)
    }

    /// Whether a member that we watch answers by stream, and not by datagram.
    #[must_use]
    pub fn is_heard_by_stream_alone(&self, node: NodeId, now: Time) -> bool {
        self.liveness.detector().is_heard_by_stream_alone(node, now)
    }

    /// Whether all members that we watch answer by stream alone, and have done so for some time.
    #[must_use]
    pub fn are_datagrams_blocked(&self) -> bool {
        self.liveness.are_datagrams_blocked()
    }

    /// When a member last answered a question of ours; `None` when we do not watch it.
    #[must_use]
    pub fn last_answer(&self, node: NodeId) -> Option<Time> {
        self.liveness.detector().last_heard(node)
    }

    /// When a node last lived, as far as we can tell.
    #[must_use]
    pub fn last_alive(&self, node: NodeId, now: Time) -> Time {
        self.liveness.last_alive(node, now)
    }

    /// Since when a member is no longer active; `None` while it is, or when it is unknown.
    #[must_use]
    pub fn down_since(&self, node: NodeId) -> Option<Time> {
        self.liveness.members().get(node)?.down_since
    }

    /// Another live agent under our node id, if we know of one.
    #[must_use]
    pub fn duplicate(&self, now: Time) -> Option<&Duplicate> {
        self.liveness.duplicate(now)
    }

    /// Whether we gave way to another agent under our node id: then we only ask whether it is still there.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.liveness.is_silent()
    }

    /// When a node was last heard, and how the latest news of its records came.
    #[must_use]
    pub fn provenance(&self, node: NodeId) -> Provenance {
        let heard = self.liveness.members().get(node).and_then(|peer| peer.heard);
        Provenance { heard, news: self.spread.latest_news(node) }
    }

    /// That a node was declared gone for good, for as long as that holds.
    #[must_use]
    pub fn force_left(&self, node: NodeId) -> Option<&ForceLeft> {
        self.spread.force_left(node)
    }

    /// How a node describes itself, or did before its records were dropped.
    #[must_use]
    pub fn description(&self, node: NodeId) -> Option<&Arc<NodeRecord>> {
        self.spread.description(node)
    }

    /// Whether we know that others have records of an origin that we do not.
    #[must_use]
    pub fn lacks(&self, origin: NodeId) -> bool {
        self.spread.lacks(origin)
    }
}
