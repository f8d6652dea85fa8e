//! Plane 2, traffic: how changes of the catalog reach every member, and how lost changes are repaired.
//!
//! [`Spread`] owns the catalog and handles the messages and stream frames that are about records. It asks [`Peers`]
//! whom to send to, and its outputs carry [`Fact`]s for the node. Nothing here knows how members are found or watched.

mod budget;
mod bulk;
pub(crate) mod confirming;
mod digests;
pub(crate) mod facts;
mod gaps;
mod gateway;
mod news;
pub(crate) mod peers;
pub(crate) mod provenance;
mod repair;
mod retention;
mod rumors;
mod sending;
mod session;
pub(crate) mod sketch;
mod sync;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::base::counters::Counters;
use crate::base::durations::Durations;
use crate::base::identity::{Identity, NodeId};
use crate::base::io::{Output, StreamId, StreamNumbers};
use crate::base::protocol::Protocol;
use crate::base::time::Time;
use crate::base::timers::{Timer, Timers};
use crate::catalog::record::NodeRecord;
use crate::catalog::{Catalog, Version};
use crate::wire::{Envelope, Outbox, Packed};

use budget::Budget;
use bulk::Bulk;
use confirming::Confirming;
use digests::{DigestSchedule, RecentHeads};
use facts::Fact;
use gaps::Gaps;
use gateway::Gateways;
use peers::Peers;
use provenance::{Arrival, ForceLeft, Provenances};
use retention::Retention;
use rumors::Rumors;
use session::Session;
use sync::SyncSchedule;

/// Bytes that a message of rumors takes beside its deltas: the sender's id, their number, and the number of ages.
const RUMORS_OVERHEAD_BYTES: usize = 8 + 1 + 1;

/// The catalog of one node, and all traffic that keeps it equal to the catalogs of other nodes.
pub(crate) struct Spread {
    own: NodeId,
    out: Outbox<Fact>,
    protocol: Protocol,
    rng: Xoshiro256PlusPlus,
    streams: StreamNumbers,
    catalog: Catalog,
    rumors: Rumors,
    bulk: Bulk,
    /// The time at which bulk last arrived.
    bulk_at: Option<Time>,
    /// Datagrams that answer pulls, with their destinations.
    answers: VecDeque<(SocketAddr, Packed)>,
    budget: Budget,
    digests: DigestSchedule,
    recent: RecentHeads,
    gaps: Gaps,
    /// How long each gap was open that records closed.
    gaps_closed: Durations,
    /// The ages of changes of other members when a rumor brought them.
    convergence: Durations,
    confirming: Confirming,
    gateways: Gateways,
    sessions: BTreeMap<StreamId, Session>,
    sync: SyncSchedule,
    provenances: Provenances,
    retention: Retention,
    timers: Timers,
    leaving: bool,
}

impl Spread {
    /// The catalog of a node that has written nothing yet.
    pub(crate) fn new(
        envelope: Envelope,
        identity: Identity,
        protocol: &Protocol,
        streams: StreamNumbers,
        seed: u64,
        now: Time,
    ) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        // Nodes that start together must not stay in step.
        let first_digest = now + protocol.digest_period.mul_f64(rng.random::<f64>());
        let first_sync = now + protocol.sync_period.mul_f64(0.5 + rng.random::<f64>() / 2.0);
        let first_tell = rng.random();
        let mut timers = Timers::default();
        timers.set(Timer::PeriodicSync, first_sync);
        timers.set(Timer::Retention, now);
        Self {
            own: identity.node_id,
            out: Outbox::new(envelope),
            rng,
            streams,
            catalog: Catalog::new(identity.node_id, identity.epoch),
            rumors: Rumors::new(protocol.coalesce),
            bulk: Bulk::default(),
            bulk_at: None,
            answers: VecDeque::new(),
            budget: Budget::new(protocol.bytes_per_second, now),
            digests: DigestSchedule::new(protocol, now, first_digest),
            recent: RecentHeads::default(),
            gaps: Gaps::default(),
            gaps_closed: Durations::default(),
            convergence: Durations::default(),
            confirming: Confirming::default(),
            gateways: Gateways::new(identity.node_id, protocol, first_tell),
            sessions: BTreeMap::new(),
            sync: SyncSchedule::default(),
            provenances: Provenances::default(),
            retention: Retention::default(),
            timers,
            leaving: false,
            protocol: protocol.clone(),
        }
    }

    /// Bytes that the deltas in one datagram may take.
    fn rumors_bytes(&self) -> usize {
        self.out.body_bytes() - RUMORS_OVERHEAD_BYTES
    }

    /// The next output or fact.
    pub(crate) fn poll_output(&mut self) -> Option<Output<Fact, Packed>> {
        self.out.poll()
    }

    /// The counters of this plane.
    pub(crate) fn counters(&self) -> &Counters {
        &self.out.counters
    }

    /// The records of all origins.
    #[cfg(feature = "testing")]
    pub(crate) fn catalog_mut(&mut self) -> &mut Catalog {
        &mut self.catalog
    }

    /// Holds our own writes for known to all.
    #[cfg(feature = "testing")]
    pub(crate) fn forget_own_news(&mut self) {
        self.rumors.forget_own();
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The number of our own versions that nobody was told yet.
    pub(crate) fn own_unsent(&self) -> Version {
        let last = self.catalog.head(self.own).map_or(0, |head| head.known_to);
        self.rumors.own_unsent_after().map_or(0, |after| last.saturating_sub(after))
    }

    /// The number of rumors in the queue.
    pub(crate) fn rumors_waiting(&self) -> usize {
        self.rumors.len()
    }

    /// The number of datagrams that answer pulls and wait to be sent.
    pub(crate) fn answers_waiting(&self) -> usize {
        self.answers.len()
    }

    /// The number of origins of which versions are known to be missing.
    pub(crate) fn gaps_open(&self) -> usize {
        self.gaps.len()
    }

    /// How long gaps were open until records closed them.
    pub(crate) fn gaps_closed(&self) -> Durations {
        self.gaps_closed
    }

    /// How old the changes of other members were when a rumor brought them, as far as that is known.
    pub(crate) fn convergence(&self) -> Durations {
        self.convergence
    }

    /// Whether versions of this origin are known to be missing.
    pub(crate) fn lacks(&self, origin: NodeId) -> bool {
        self.gaps.is_open(origin)
    }

    /// The latest news of an origin's records.
    pub(crate) fn latest_news(&self, origin: NodeId) -> Option<Arrival> {
        self.provenances.get(origin)
    }

    /// The force-leave of a node, while its origin tombstone stands.
    pub(crate) fn force_left(&self, node: NodeId) -> Option<&ForceLeft> {
        let tombstone = self.catalog.origin_tombstone(node);
        let stands = tombstone.is_some_and(|tombstone| !tombstone.yields());
        self.provenances.force_left(node).filter(|_| stands)
    }

    /// The node record of a node, or the last one before its records were dropped.
    pub(crate) fn description(&self, node: NodeId) -> Option<&Arc<NodeRecord>> {
        let record = self.catalog.origin(node).and_then(|origin| origin.node());
        record.or_else(|| self.provenances.force_left(node).map(|force_left| &force_left.record))
    }

    /// Forgets the provenance of a node that is no member any more, unless we still have its records.
    pub(crate) fn forget(&mut self, node: NodeId) {
        if self.catalog.origin(node).is_none() {
            self.provenances.forget(node);
        }
    }

    /// Opens no more sessions: the node leaves.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
        self.timers.stop(Timer::PeriodicSync);
        self.timers.stop(Timer::RequestedSync);
    }

    /// When [`Spread::handle_deadlines`] is due.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Does what is due.
    pub(crate) fn handle_deadlines(&mut self, peers: &mut dyn Peers, now: Time) {
        // Repair comes first, since it may request a session.
        self.handle_repair_deadlines(peers, now);
        self.handle_confirm_deadline(peers, now);
        self.handle_far_deadlines(peers, now);
        self.handle_sync_deadlines(peers, now);
        self.handle_retention_deadline(peers, now);
    }

    /// Sends what is ready, as far as the bandwidth goes.
    pub(crate) fn settle(&mut self, peers: &mut dyn Peers, now: Time) {
        self.flush(peers, now);
        self.flush_links(peers, now);
        self.pump_sessions(now);
        self.set_timers();
    }

    /// Sets the timers for everything that waits in queues. Each queue knows its deadline, so none is searched.
    fn set_timers(&mut self) {
        self.timers.put(Timer::Send, self.send_deadline());
        self.timers.set(Timer::Digest, self.digests.next_deadline());
        self.timers.put(Timer::Pull, self.gaps.next_deadline());
        self.set_confirm_timer();
        self.set_far_timers();
        self.set_sync_timers();
    }
}
