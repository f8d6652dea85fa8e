//! Questions to a node: its members, its instances, its load, and the reasons for what it believes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Node;
use super::view::{Instance, Member, MemberStatus};
use crate::base::counters::{Counters, Load};
use crate::base::durations::Durations;
use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::catalog::record::{Key, NodeRecord, Text};
use crate::liveness::detector::{Belief, MONITORS};
use crate::liveness::duplicate::Duplicate;
use crate::liveness::ends::End;
use crate::liveness::heard::Heard;
use crate::quorum::Stamp;
use crate::spread::provenance::{Arrival, ForceLeft};

/// The last message of a node, and the last arrival of its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The last message from the node itself.
    pub heard: Option<Heard>,
    /// The latest arrival of new records of the node.
    pub news: Option<Arrival>,
}

impl Node {
    /// Every instance that is not gone, by origin and id.
    pub fn instances(&self) -> impl ExactSizeIterator<Item = &Arc<Instance>> {
        self.view.instances()
    }

    /// Every instance of one origin that is not gone, by id.
    pub fn instances_of(&self, origin: NodeId) -> impl Iterator<Item = &Arc<Instance>> {
        self.view.instances_of(origin)
    }

    /// An instance that is not gone.
    #[must_use]
    pub fn instance(&self, origin: NodeId, id: &Text) -> Option<&Arc<Instance>> {
        self.view.instance(origin, id)
    }

    /// The stamp of the definition that the catalog has of an instance.
    #[must_use]
    pub fn stamp_of(&self, origin: NodeId, id: &Text) -> Option<Stamp> {
        let replica = self.catalog().origin(origin)?.current()?;
        let version = replica.slot(&Key::Service(id.clone()))?.version();
        Some(Stamp { epoch: replica.epoch(), version })
    }

    /// Every member that we know, ourselves first, then those of our pool, then those of other datacenters.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.member_ids().filter_map(|node| self.member(node)).collect()
    }

    /// The ids of the members that we know, in the order of [`Node::members`].
    pub fn member_ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        let own = self.identity().node_id;
        // One that moved to another datacenter is shown there.
        let pool = self.liveness.members().iter().map(|(node, _)| node);
        let pool = pool.filter(|node| self.wan.remote(*node).is_none());
        std::iter::once(own)
            .chain(pool)
            .chain(self.wan.table().iter_remote().map(|entry| entry.identity.node_id))
    }

    /// A member that we know.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<Member> {
        let mut member = self.believed_member(node)?;
        let detector = self.liveness.detector();
        // Our suspicions on a member behind a broken link end with the word of others, again and again.
        let lives_by_word = detector.broken_links().any(|it| it == node);
        if member.status == MemberStatus::Alive && detector.is_suspect(node) && !lives_by_word {
            member.status = MemberStatus::Suspect;
        }
        Some(member)
    }

    /// The number of active members, ourselves included.
    #[must_use]
    pub fn active_members(&self) -> usize {
        self.liveness.members().ring().len() + 1
    }

    /// The gossip addresses of the active members, to be remembered for the next start.
    pub fn peer_addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.liveness.members().iter_active().map(|identity| identity.addr)
    }

    /// The monitors of this node: the members that the ring assigns to watch it.
    pub fn monitors(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.liveness.members().ring().predecessors(self.identity().node_id).take(MONITORS)
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

    /// The load of the node at this moment. The limits are in [`crate::base::limits`].
    #[must_use]
    pub fn load(&self) -> Load {
        Load {
            members: self.liveness.members().len() + 1,
            own_unsent: self.spread.own_unsent(),
            rumors: self.spread.rumors_waiting(),
            answers: self.spread.answers_waiting(),
            confirms: self.spread.confirms_waiting(),
            gaps: self.spread.gaps_open(),
            sessions: self.spread.sessions_open(),
            far_news: self.spread.far_waiting(),
            remote_members: self.wan.table().remote_len(),
            table_exchanges: self.wan.exchanges(),
            requests: self.requests.open(),
            wan_seeds: self.wan.seeds(),
            indirect_probes: self.liveness.detector().open(),
            connections_held: self.liveness.exits().connections_held(),
            exit_cases: self.liveness.exits().open(),
            member_updates: self.liveness.updates_waiting(),
            record_bytes: self.catalog().record_bytes(),
            unvouched_origins: self.catalog().unvouched().len(),
            records_unknown_now: self.catalog().unknown_records(),
            instances_hidden_now: self.view.hidden().len(),
        }
    }

    /// How long changes of other origins were known to be missing until they were applied, since the start of the node: from when they
    /// would first have been pulled. Those that a session brought after pulls were given up are not among them.
    #[must_use]
    pub fn gaps_closed(&self) -> Durations {
        self.spread.gaps_closed()
    }

    /// How old the changes of other members of the datacenter were when a rumor brought them: the time for which nodes on the
    /// way held them, without the time on the wire. What repair brought has no age.
    #[must_use]
    pub fn convergence(&self) -> Durations {
        self.spread.convergence()
    }

    /// The counters since the start of the node.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters.clone();
        counters.add(self.liveness.counters());
        counters.add(self.spread.counters());
        counters.add(self.wan.counters());
        counters.add(self.requests.counters());
        counters.instances_hidden += self.view.times_hidden();
        self.count_strong(&mut counters);
        if let Some(guard) = &self.guard {
            counters.add(&guard.counters());
        }
        counters
    }

    /// The number of hellos that this node has answered, without the work of adding up all counters.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn hellos_answered(&self) -> u64 {
        let counters = self.liveness.counters();
        counters.welcomes_sent + counters.referrals_sent
    }

    /// The verdict because of which we believe that a member is down. `None` if the member is not down, or if the
    /// verdict itself did not reach us.
    #[must_use]
    pub fn belief(&self, node: NodeId) -> Option<&Belief> {
        self.liveness.belief(node)
    }

    /// Whether a suspect is stalled: its host answered a TCP probe, of ours or of a referee.
    #[must_use]
    pub fn is_stalled(&self, node: NodeId) -> bool {
        self.liveness.detector().is_stalled(node)
    }

    /// When the suspicion timeout of a suspect ends: the earliest time at which we declare it down. `None` if we do not
    /// suspect it.
    #[must_use]
    pub fn suspect_until(&self, node: NodeId) -> Option<Time> {
        self.liveness.detector().suspect_until(node)
    }

    /// Whether a member that we watch answered by stream lately, and not by datagram.
    #[must_use]
    pub fn is_heard_by_stream_alone(&self, node: NodeId, now: Time) -> bool {
        self.liveness.detector().is_heard_by_stream_alone(node, now)
    }

    /// The time for which an active member that we watch has not answered our pings, once that is five seconds. The cause is not
    /// known.
    #[must_use]
    pub fn unanswered_for(&self, node: NodeId, now: Time) -> Option<Duration> {
        self.liveness.detector().unanswered_for(node, now)
    }

    /// The members that we watch and that have not answered for long, by id. We watch few, so a look costs little.
    pub fn unanswered(&self, now: Time) -> impl Iterator<Item = NodeId> {
        self.liveness.detector().unanswered(now)
    }

    /// The time since an active member that we watch last answered us, if our own link to it is broken: for five seconds at
    /// least it has not, and others heard it meanwhile.
    #[must_use]
    pub fn link_broken_for(&self, node: NodeId, now: Time) -> Option<Duration> {
        self.liveness.detector().link_broken_for(node, now)
    }

    /// The members that we watch and our own links to which are broken, by id.
    pub fn broken_links(&self) -> impl Iterator<Item = NodeId> {
        self.liveness.detector().broken_links()
    }

    /// Whether the ring assigns an active member to us: we ping it each second, and hold a connection to it.
    #[must_use]
    pub fn is_watched(&self, node: NodeId) -> bool {
        self.liveness.detector().watched().any(|watched| watched == node)
    }

    /// Since when we hold a connection to a member that we watch; `None` if we hold none. Its end is the first sign that the
    /// process of the member exited.
    #[must_use]
    pub fn held_since(&self, node: NodeId) -> Option<Time> {
        self.liveness.exits().held_since(node)
    }

    /// Whether all members that we watch answer by stream alone, and have done so for some time.
    #[must_use]
    pub fn are_datagrams_blocked(&self) -> bool {
        self.liveness.are_datagrams_blocked()
    }

    /// When an active member last answered a ping of ours; `None` if it never did.
    #[must_use]
    pub fn last_answer(&self, node: NodeId) -> Option<Time> {
        self.liveness.last_answer(node)
    }

    /// The latest time at which a node was alive, as far as we can tell.
    #[must_use]
    pub fn last_alive(&self, node: NodeId, now: Time) -> Time {
        let remote = self.remote_last_alive(node, now);
        remote.unwrap_or_else(|| self.liveness.last_alive(node, now))
    }

    /// When a member went down; `None` if it is active or unknown.
    #[must_use]
    pub fn down_since(&self, node: NodeId) -> Option<Time> {
        let remote = self.remote_down_since(node);
        remote.or_else(|| self.liveness.members().get(node)?.down_since)
    }

    /// When an origin was first noticed to be no active member. Noticed every ten seconds at most.
    #[must_use]
    pub fn absent_since(&self, origin: NodeId) -> Option<Time> {
        self.spread.absent_since(origin)
    }

    /// The duplicate of this node, if we know of one.
    #[must_use]
    pub fn duplicate(&self, now: Time) -> Option<&Duplicate> {
        self.liveness.duplicate(now)
    }

    /// Whether we gave way to a duplicate, and are silent except for asking whether it is still there.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.liveness.is_silent()
    }

    /// The last message of a node, and the last arrival of its records.
    #[must_use]
    pub fn provenance(&self, node: NodeId) -> Provenance {
        let heard = self.liveness.last_heard(node);
        Provenance { heard, news: self.spread.latest_news(node) }
    }

    /// The end of a member that is down for good. A member that left has none.
    #[must_use]
    pub fn end_of(&self, node: NodeId) -> Option<End> {
        self.liveness.end_of(node)
    }

    /// The force-leave of a node, for as long as it holds.
    #[must_use]
    pub fn force_left(&self, node: NodeId) -> Option<&ForceLeft> {
        self.spread.force_left(node)
    }

    /// The node record of a node, or the last one before its records were dropped.
    #[must_use]
    pub fn description(&self, node: NodeId) -> Option<&Arc<NodeRecord>> {
        self.spread.description(node)
    }

    /// Whether we know that records of an origin are missing here.
    #[must_use]
    pub fn lacks(&self, origin: NodeId) -> bool {
        self.spread.lacks(origin)
    }
}
