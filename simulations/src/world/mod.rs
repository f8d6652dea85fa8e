//! The world: hosts that run the real protocol, the network between them, and a queue of what happens next.
//!
//! A [`World`] is one loop around [`hobnob_membership::Node`], as the agent's driver is: deliver an input, carry out
//! the outputs, go on to the next event. One seed decides all randomness, so a run can be repeated exactly.

mod clock;
mod connections;
mod disk;
mod fabric;
mod host;
mod ids;
mod node_event;
mod operation;
mod queue;
mod sealed;
mod secured;
mod step;
mod trace;

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::testing::{Settled, Shared};
use hobnob_membership::{Epoch, Node, NodeId, Protocol, Time};
use rand::RngExt;

use crate::network::Network;
use fabric::Fabric;
use ids::Ids;
use sealed::Sealed;

pub use clock::Clock;
pub use connections::Stop;
pub use disk::{Disk, DiskError};
pub use fabric::Crossed;
pub(crate) use host::MAX_WAKES;
pub use host::{DataDirectory, Host, Meter, Slowness, Storage};
pub use node_event::{NodeEvent, Observer};
pub use operation::WriteOutcome;
pub use sealed::{Ordered, Seal};
pub use trace::{Detail, Sink, Trace};

/// Hosts, a network and a clock, all simulated.
pub struct World {
    /// The hosts through which nodes join.
    pub seeds: Vec<usize>,
    /// The protocol parameters that nodes start with.
    pub protocol: Protocol,
    /// Retention of dead members' records on hosts with an even number. `None`: the protocol's default everywhere.
    pub retention: Option<Duration>,
    seed: u64,
    sealed: Option<Sealed>,
    hosts: Vec<Host>,
    ids: Ids,
    datacenters: Vec<(String, String)>,
    /// The first epoch of each node in each datacenter where it lived, in order.
    homes: BTreeMap<NodeId, Vec<(Epoch, String)>>,
    fabric: Fabric,
    events: Vec<NodeEvent>,
    /// Records that many nodes hold alike.
    shared: Shared,
    /// The next moment at which all nodes share what they hold.
    share_at: Time,
    now: Time,
}

/// The interval at which all nodes share what they hold.
const SHARE_EVERY: Duration = Duration::from_secs(10);

impl World {
    /// An empty world. The same seed and the same calls give the same run.
    #[must_use]
    pub fn new(seed: u64, network: Network) -> Self {
        Self {
            seeds: Vec::new(),
            protocol: Protocol::default(),
            retention: None,
            seed,
            sealed: None,
            hosts: Vec::new(),
            ids: Ids::default(),
            datacenters: Vec::new(),
            homes: BTreeMap::new(),
            fabric: Fabric::new(seed, network),
            events: Vec::new(),
            shared: Shared::default(),
            share_at: Time::ZERO + SHARE_EVERY,
            now: Time::ZERO,
        }
    }

    /// Virtual time since the start of the run.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// The links, for changing them between steps.
    pub fn network(&mut self) -> &mut Network {
        &mut self.fabric.network
    }

    /// The links.
    #[must_use]
    pub fn links(&self) -> &Network {
        &self.fabric.network
    }

    /// The trace of the run.
    pub fn trace(&mut self) -> &mut Trace {
        &mut self.fabric.trace
    }

    /// A hash of every datagram, frame and TCP answer delivered so far.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.fabric.trace.hash()
    }

    /// The number of deliveries so far.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.fabric.trace.deliveries()
    }

    /// The number of hosts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there are no hosts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Adds a host on which nothing runs yet, and returns its number.
    pub fn add(&mut self, datacenter: &str, zone: &str) -> usize {
        let number = self.hosts.len();
        assert!(number < self.fabric.network.hosts(), "the network has no room for another host");
        let address = self.fabric.assign_address(number);
        let skew = self.fabric.rng.random_range(0..10_000_000);
        self.hosts.push(Host::new(number, address, skew));
        let known = self.datacenters.iter().position(|(name, _)| name == datacenter);
        self.fabric.places.push(known.map_or(number, |first| self.fabric.places[first]));
        self.datacenters.push((datacenter.to_owned(), zone.to_owned()));
        self.identify(number);
        number
    }

    /// A host.
    #[must_use]
    pub fn host(&self, number: usize) -> &Host {
        &self.hosts[number]
    }

    /// A host, for faults that change its state.
    pub fn host_mut(&mut self, number: usize) -> &mut Host {
        &mut self.hosts[number]
    }

    /// The node on a host. `None` when none runs there.
    #[must_use]
    pub fn node(&self, number: usize) -> Option<&Node> {
        self.hosts.get(number)?.node()
    }

    /// All running nodes but those that were revoked, with the numbers of their hosts.
    pub fn running(&self) -> impl Iterator<Item = (usize, &Node)> {
        let hosts = self.hosts.iter().enumerate();
        let members = hosts.filter(|(_, host)| !self.is_revoked(host.id));
        members.filter_map(|(number, host)| Some((number, host.node()?)))
    }

    /// The host that has or had this node id.
    #[must_use]
    pub fn host_of(&self, id: NodeId) -> Option<usize> {
        self.ids.host_of(id)
    }

    /// A node's name in messages: its host, with a mark for each lost disk.
    #[must_use]
    pub fn name_of(&self, id: NodeId) -> String {
        self.ids.name_of(id)
    }

    /// The gateways of a datacenter, in order, as one of its nodes computes them now.
    #[must_use]
    pub fn gateways(&self, datacenter: &str) -> Vec<usize> {
        let one = self.running().find(|(host, _)| self.location(*host).0 == datacenter);
        let Some((host, node)) = one else { return Vec::new() };
        let all = node.datacenters(self.hosts[host].clock.local(self.now));
        let own = all.into_iter().find(|it| it.is_own);
        let gateways = own.into_iter().flat_map(|own| own.gateways);
        gateways.filter_map(|gateway| self.host_of(gateway.node_id)).collect()
    }

    /// The datacenter in which a node lived in an epoch.
    #[must_use]
    pub fn home_of(&self, id: NodeId, epoch: Epoch) -> Option<&str> {
        let homes = self.homes.get(&id)?.iter().rev();
        homes.into_iter().find(|(first, _)| *first <= epoch).map(|(_, home)| home.as_str())
    }

    /// Moves a host to another datacenter. Its next life is there.
    pub fn move_to(&mut self, number: usize, datacenter: &str) {
        let known = self.datacenters.iter().position(|(name, _)| name == datacenter);
        self.fabric.places[number] = known.map_or(number, |first| self.fabric.places[first]);
        self.datacenters[number].0 = datacenter.to_owned();
    }

    /// What was sent from one datacenter to another so far, by their names.
    #[must_use]
    pub fn crossed(&self) -> BTreeMap<(String, String), Crossed> {
        let name = |place: usize| {
            let host = self.fabric.places.iter().position(|other| *other == place);
            host.map_or_else(String::new, |host| self.datacenters[host].0.clone())
        };
        let crossed = self.fabric.crossed.iter();
        crossed.map(|((from, to), crossed)| ((name(*from), name(*to)), *crossed)).collect()
    }

    /// The datacenter and zone of a host.
    #[must_use]
    pub fn location(&self, number: usize) -> (&str, &str) {
        let (datacenter, zone) = &self.datacenters[number];
        (datacenter, zone)
    }

    /// The time for which a host keeps the records of a dead member.
    #[must_use]
    pub fn retention_of(&self, number: usize) -> Duration {
        self.retention.filter(|_| number.is_multiple_of(2)).unwrap_or(self.protocol.retention)
    }

    /// The time of the next event.
    #[must_use]
    pub fn next_at(&self) -> Option<Time> {
        self.fabric.queue.next_at()
    }

    /// Runs until `end`, and passes each node event to `observer`.
    pub fn run_to(&mut self, end: Time, observer: &mut dyn Observer) {
        self.tell(observer);
        if self.now >= self.share_at {
            self.share();
        }
        while let Some((at, what)) = self.fabric.queue.pop_until(end) {
            self.now = at;
            self.process(what);
            self.tell(observer);
        }
        self.now = self.now.max(end);
    }

    /// Starts all hosts of a clear cluster, lets them register what they have to, and makes them know each other, as if they had
    /// joined long ago. What is measured after a join can be measured at sizes at which the join itself would take hours.
    pub fn start_settled(&mut self, register: impl FnOnce(&mut Self)) {
        // Nodes that start later join.
        let seeds = std::mem::take(&mut self.seeds);
        (0..self.len()).for_each(|host| self.start(host));
        register(self);
        self.settle();
        self.seeds = seeds;
    }

    /// Makes all running nodes of a clear cluster know each other.
    fn settle(&mut self) {
        let mut settled = Settled::of(self.running().map(|(_, node)| node));
        for number in 0..self.hosts.len() {
            let host = &mut self.hosts[number];
            let Some(process) = host.process.as_mut() else { continue };
            process.node.settle_among(&mut settled, host.clock.local(self.now));
            self.carry_out(number, None, None);
        }
    }

    /// Lets all nodes share what they hold alike. None of them notices.
    fn share(&mut self) {
        self.share_at = self.now + SHARE_EVERY;
        for process in self.hosts.iter_mut().filter_map(|host| host.process.as_mut()) {
            process.share(&mut self.shared);
        }
    }

    /// Passes on the node events since the last call.
    fn tell(&mut self, observer: &mut dyn Observer) {
        if self.events.is_empty() {
            return;
        }
        let mut events = std::mem::take(&mut self.events);
        for event in &events {
            observer.on_event(self, event);
        }
        events.clear();
        self.events = events;
    }

    /// Runs for a while without an observer.
    pub fn run_for(&mut self, time: Duration) {
        self.run_to(self.now + time, &mut ());
    }

    /// Runs until `done` holds, and returns how long that took. `None` when it does not hold within `limit`. `done` is
    /// checked after each millisecond in which something happened.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        let end = start + limit;
        while !done(self) {
            match self.next_at() {
                Some(at) if at <= end => self.run_to(at + Duration::from_millis(1), &mut ()),
                _ => {
                    self.now = end;
                    return None;
                }
            }
        }
        Some(self.now - start)
    }
}
