//! The other datacenters: a table of their members, how they are found, and whether they are reached.
//!
//! Each datacenter has a pool of its own. No pool reaches across: what a datacenter knows of another one is what members of that one
//! told. Each node holds the whole table. Its gateways, the first three living members by rendezvous hash, speak for a datacenter.

mod beats;
mod exchange;
pub(crate) mod facts;
mod isolation;
mod joining;
pub(crate) mod looking;
mod looks;
mod merging;
mod reach;
mod round_trips;
pub(crate) mod seen;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod withdrawn;

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use crate::base::counters::Counters;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Identity, NodeId};
use crate::base::io::{Output, StreamId, StreamNumbers};
use crate::base::protocol::Protocol;
use crate::base::time::Time;
use crate::base::timers::{Timer, Timers};
use crate::catalog::record::Text;
use crate::wire::{Envelope, Outbox, Packed};

use exchange::Exchange;
use facts::Fact;
use isolation::Isolations;
use joining::WanSeeds;
use looking::Outages;
use looks::Looks;
use reach::Reaches;
use round_trips::RoundTrips;
use seen::GATEWAYS;
use table::{Entry, Table};
use withdrawn::Withdrawn;

/// The streams of this room have numbers of their own, far above those of both planes.
const FIRST_STREAM: u64 = 1 << 61;

/// The other datacenters, as one node knows them.
pub(crate) struct Wan {
    own: DatacenterId,
    identity: Identity,
    out: Outbox<Fact>,
    rng: Xoshiro256PlusPlus,
    streams: StreamNumbers,
    timers: Timers,
    table: Table,
    seeds: WanSeeds,
    exchanges: BTreeMap<StreamId, Exchange>,
    looks: Looks,
    reaches: Reaches,
    round_trips: RoundTrips,
    isolations: Isolations,
    outages: Outages,
    /// Since when we are one of the gateways of our datacenter.
    gateway: Option<Time>,
    /// See [`Wan::tables`].
    tables: [u8; 4],
    /// Whether the table changed since the gateways were computed.
    is_changed: bool,
    /// Members of our own datacenter that changed, and of which the other datacenters were not told yet.
    changed: BTreeSet<NodeId>,
    /// Members that a member of their home does not list, which that was and when it was heard first.
    unlisted: BTreeMap<NodeId, (NodeId, Time)>,
    withdrawn: Withdrawn,
    /// When the node began.
    began: Time,
    leaving: bool,
}

impl Wan {
    /// A node that knows no other datacenter than its own, of this name.
    pub(crate) fn new(
        envelope: Envelope,
        identity: Identity,
        name: &Text,
        protocol: &Protocol,
        seed: u64,
        now: Time,
    ) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self {
            own: DatacenterId::named(name),
            identity,
            out: Outbox::new(envelope),
            streams: StreamNumbers::new(FIRST_STREAM, 1),
            timers: Timers::default(),
            table: Table::new(name),
            seeds: WanSeeds::new(protocol, rng.next_u64()),
            exchanges: BTreeMap::new(),
            looks: Looks::default(),
            reaches: Reaches::default(),
            round_trips: RoundTrips::default(),
            isolations: Isolations::default(),
            outages: Outages::default(),
            gateway: None,
            tables: [0; 4],
            is_changed: true,
            changed: BTreeSet::new(),
            unlisted: BTreeMap::new(),
            withdrawn: Withdrawn::default(),
            began: now,
            leaving: false,
            rng,
        }
    }

    /// The next output, with facts as its events.
    pub(crate) fn poll_output(&mut self) -> Option<Output<Fact, Packed>> {
        self.out.poll()
    }

    /// The counters of this room.
    pub(crate) fn counters(&self) -> &Counters {
        &self.out.counters
    }

    /// The table of all members.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// Takes the table of another member of our datacenter.
    #[cfg(feature = "testing")]
    pub(crate) fn adopt(&mut self, table: &Table) {
        self.table = table.clone();
        self.is_changed = true;
    }

    #[cfg(feature = "testing")]
    pub(crate) fn table_mut(&mut self) -> &mut Table {
        &mut self.table
    }

    /// What we heard of a datacenter.
    pub(crate) fn look(&self, datacenter: DatacenterId) -> Option<&looks::Look> {
        self.looks.get(datacenter)
    }

    /// Whether we are one of the gateways of our datacenter.
    pub(crate) fn is_gateway(&self) -> bool {
        self.gateway.is_some()
    }

    /// Our own datacenter.
    pub(crate) fn own(&self) -> DatacenterId {
        self.own
    }

    /// The low half of one hash of the tables of other datacenters, and of what is known of reach: equal on two nodes of one datacenter
    /// that know the same.
    pub(crate) fn tables(&self) -> [u8; 4] {
        self.tables
    }

    /// Since when a datacenter is out of reach, or isolated.
    pub(crate) fn out_since(&self, datacenter: DatacenterId) -> Option<Time> {
        let isolated = self.isolated_since(datacenter);
        isolated.into_iter().chain(self.reaches.out_since(datacenter)).min()
    }

    /// A hash of what is known of reach, of the orders to isolate datacenters, and of round trips.
    fn reach_hash(&self) -> u64 {
        self.reaches.hash(self.own) ^ self.isolations.hash() ^ self.round_trips.hash()
    }

    /// Number of exchanges of tables under way.
    pub(crate) fn exchanges(&self) -> usize {
        self.exchanges.len()
    }

    /// Number of addresses at which other datacenters are looked for.
    pub(crate) fn seeds(&self) -> usize {
        self.seeds.len()
    }

    /// Sets a member of our own datacenter, ourselves among them, as the pool sees it; `None` if the pool forgot it. A gateway tells the
    /// other datacenters.
    pub(crate) fn set_own(
        &mut self,
        node: NodeId,
        member: Option<Entry>,
        accuser: Option<NodeId>,
        now: Time,
    ) {
        if node == self.identity.node_id
            && let Some(entry) = &member
        {
            self.identity = entry.identity;
        }
        if self.table.set_own(node, member, accuser, now) {
            self.is_changed = true;
            self.changed.insert(node);
        }
    }

    /// When [`Wan::handle_deadlines`] is due.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Notes that our own loop comes `now` and was due at `due`. After a stall we may have missed what others said.
    pub(crate) fn notice_call(&mut self, due: Option<Time>, now: Time) {
        if due.is_some_and(|due| now.since(due) >= looks::STOOD_STILL) {
            self.looks.begin_anew(now);
        }
    }

    /// Notes that the node may speak again, and has heard nothing meanwhile.
    pub(crate) fn resume(&mut self, now: Time) {
        self.looks.begin_anew(now);
    }

    /// Does what is due.
    pub(crate) fn handle_deadlines(&mut self, now: Time) {
        self.drop_stalled_exchanges(now);
        self.believe_held(now);
        if self.timers.is_expired(Timer::WanForget, now) {
            self.timers.set(Timer::WanForget, now + FORGET_EVERY);
            for node in self.table.forget_old(now) {
                self.unlisted.remove(&node);
                self.out.tell(Fact::Member(node));
            }
            self.is_changed = true;
        }
        if self.leaving {
            return;
        }
        self.handle_wan_hello_deadline(now);
        self.handle_look_deadline(now);
    }

    /// Computes the gateways anew if the table changed, and sets the timers.
    pub(crate) fn settle(&mut self, now: Time) {
        if std::mem::take(&mut self.is_changed) {
            let hash = self.table.hash() ^ self.reach_hash();
            [self.tables[0], self.tables[1], self.tables[2], self.tables[3], ..] =
                hash.to_le_bytes();
            let rank = self.table.rank(self.identity.node_id, GATEWAYS);
            let was = self.gateway;
            self.gateway = rank.map(|_| was.unwrap_or(now));
            if was.is_none() {
                self.looks.begin_anew(now);
            }
            let others = self.spoken_with();
            self.looks.retain(|datacenter| others.contains(&datacenter));
            let has_work = !others.is_empty() && self.gateway.is_some();
            let at = self.timers.get(Timer::WanLook).unwrap_or(now);
            self.timers.put(Timer::WanLook, has_work.then_some(at));
            if self.timers.get(Timer::WanForget).is_none() && !others.is_empty() {
                self.timers.set(Timer::WanForget, now + FORGET_EVERY);
            }
            self.timers.put(Timer::WanHeld, self.table.next_held());
        }
        self.tell_changes();
        self.pump_exchanges();
        self.timers.put(Timer::WanExchange, self.exchange_deadline());
        self.timers.put(Timer::WanHello, self.seeds.next_deadline());
    }

    /// Tells the other datacenters that we leave, and begins nothing any more.
    pub(crate) fn leave(&mut self) {
        self.tell_changes();
        self.leaving = true;
        self.timers.stop(Timer::WanHello);
        self.timers.stop(Timer::WanLook);
        self.seeds.clear();
    }
}

/// Time between two looks for members that went down long ago.
const FORGET_EVERY: std::time::Duration = std::time::Duration::from_secs(3_600);
