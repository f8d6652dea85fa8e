//! The clients of all hosts: what they ask for, and what they are answered.

mod client;
mod watcher;

use std::collections::BTreeSet;
use std::time::Duration;

use hobnob_membership::record::{Health, InstanceScope, Key, ServiceRecord, Tags, Text, Value};
use hobnob_membership::registering::{self, InitialHealth};
use hobnob_membership::{NodeId, Time};
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use crate::scenario::WorkloadSpec;
use crate::truth::{STAMP_KEY, Stamp, Truth};
use crate::world::{Detail, World, WriteOutcome};

pub use client::{Answer, ClientCall, ClientRequest};
pub use watcher::Watcher;

/// The services that instances belong to.
const SERVICES: [&str; 3] = ["web", "api", "db"];
/// Instance ids of each host. They are few, so that each comes, goes and comes again.
const IDS_PER_HOST: u64 = 8;
/// Registrations that a storm makes at once.
const STORM_BATCH: usize = 40;

/// The clients of all hosts.
pub struct Workload {
    spec: WorkloadSpec,
    rng: Xoshiro256PlusPlus,
    next_stamp: Stamp,
    next_write: Option<Time>,
    next_read: Option<Time>,
    next_storm: Option<Time>,
    storm_left: Vec<usize>,
    storm_host: usize,
    /// Nodes that have registered their first instances.
    populated: BTreeSet<NodeId>,
    watchers: Vec<Watcher>,
    history: Vec<ClientCall>,
}

/// Calls that are kept.
const MAX_HISTORY: usize = 20_000;

impl Workload {
    /// Clients that have not done anything yet.
    #[must_use]
    pub fn new(spec: WorkloadSpec, rng: Xoshiro256PlusPlus) -> Self {
        let due = |rate: f64| (rate > 0.0).then_some(Time::from_millis(2_000));
        Self {
            spec,
            rng,
            next_stamp: 1,
            next_write: due(spec.writes_per_second),
            next_read: due(spec.reads_per_second),
            next_storm: spec.storm_at.map(|at| Time::ZERO + at.0),
            storm_left: (0..spec.storm).collect(),
            storm_host: 0,
            populated: BTreeSet::new(),
            watchers: (0..spec.watchers).map(Watcher::new).collect(),
            history: Vec::new(),
        }
    }

    /// The watching clients.
    pub fn watchers(&mut self) -> &mut [Watcher] {
        &mut self.watchers
    }

    /// All calls of clients and their results, in order.
    #[must_use]
    pub fn history(&self) -> &[ClientCall] {
        &self.history
    }

    /// When the next client acts.
    #[must_use]
    pub fn next_at(&self) -> Option<Time> {
        [self.next_write, self.next_read, self.next_storm].into_iter().flatten().min()
    }

    /// Stops all writes.
    pub fn stop_writing(&mut self) {
        self.next_write = None;
        self.next_storm = None;
    }

    /// Registers the first instances of each node that has not done so.
    pub fn populate(&mut self, world: &mut World, truth: &mut Truth) {
        for host in 0..world.len() {
            let id = world.host(host).id;
            if world.node(host).is_none() || !self.populated.insert(id) {
                continue;
            }
            for number in 0..self.spec.instances as u64 {
                self.register(host, number, world, truth);
            }
        }
    }

    /// Makes the writes that are due. Watchers hear of them when the world goes on.
    pub fn write_due(&mut self, world: &mut World, truth: &mut Truth) {
        let now = world.now();
        if self.next_write.is_some_and(|due| due <= now) {
            self.next_write = Some(now + self.wait(self.spec.writes_per_second));
            self.write(world, truth);
        }
        if self.next_storm.is_some_and(|due| due <= now) {
            self.storm(world, truth);
        }
    }

    /// Makes the reads that are due, and returns their answers.
    pub fn read_due(&mut self, world: &mut World) -> Vec<Answer> {
        let now = world.now();
        if self.next_read.is_some_and(|due| due <= now) {
            self.next_read = Some(now + self.wait(self.spec.reads_per_second));
            return self.read(world);
        }
        Vec::new()
    }

    fn wait(&mut self, rate: f64) -> Duration {
        let mean = Duration::from_secs_f64(1.0 / rate);
        mean.mul_f64(2.0 * self.rng.random::<f64>()).max(Duration::from_micros(1))
    }

    fn write(&mut self, world: &mut World, truth: &mut Truth) {
        let host = self.rng.random_range(0..world.len());
        let number = self.rng.random_range(0..IDS_PER_HOST);
        let id = instance_id(host, number);
        let node = world.host(host).id;
        let known = truth.promise(node, &id);
        let dice: f64 = self.rng.random();
        match known {
            None => self.register(host, number, world, truth),
            Some(_) if dice < 0.55 => {
                let health = if self.rng.random() { Health::Passing } else { Health::Failing };
                let records = registering::set_health(&id, health);
                self.submit(host, ClientRequest::SetHealth(id, health), &records, world, truth);
            }
            Some(_) if dice < 0.75 => self.register(host, number, world, truth),
            Some(_) => self.deregister(host, id, world, truth),
        }
    }

    fn register(&mut self, host: usize, number: u64, world: &mut World, truth: &mut Truth) {
        let id = instance_id(host, number);
        let large = self.rng.random::<f64>() < self.spec.large;
        let is_scoped = self.spec.scoped > 0.0 && self.rng.random::<f64>() < self.spec.scoped;
        let stamp = self.next_stamp;
        self.next_stamp += 1;
        let health = match truth.promise(world.host(host).id, &id) {
            Some(_) => InitialHealth::Kept,
            None => InitialHealth::Found(Health::Passing),
        };
        let scope = if is_scoped { InstanceScope::Datacenter } else { InstanceScope::Global };
        let service = ServiceRecord { scope, ..service(number, stamp, large) };
        let records = registering::register(&id, service, health);
        self.submit(host, ClientRequest::Register(id, stamp), &records, world, truth);
    }

    fn deregister(&mut self, host: usize, id: Text, world: &mut World, truth: &mut Truth) {
        let records = registering::deregister(&id);
        self.submit(host, ClientRequest::Deregister(id), &records, world, truth);
    }

    /// One host registers and deregisters short-lived instances, a batch every 50 ms.
    fn storm(&mut self, world: &mut World, truth: &mut Truth) {
        let now = world.now();
        if self.storm_left.len() == self.spec.storm {
            let running = (0..world.len()).filter(|host| world.node(*host).is_some());
            let running: Vec<usize> = running.collect();
            if let Some(host) = running.get(self.rng.random_range(0..running.len().max(1))) {
                self.storm_host = *host;
            }
        }
        for _ in 0..STORM_BATCH {
            let Some(number) = self.storm_left.pop() else {
                self.next_storm = None;
                return;
            };
            let number = IDS_PER_HOST + number as u64;
            self.register(self.storm_host, number, world, truth);
            let id = instance_id(self.storm_host, number);
            self.deregister(self.storm_host, id, world, truth);
        }
        self.next_storm = Some(now + Duration::from_millis(50));
    }

    fn submit(
        &mut self,
        host: usize,
        request: ClientRequest,
        records: &[(Key, Option<Value>)],
        world: &mut World,
        truth: &mut Truth,
    ) {
        let now = world.now();
        let id = world.host(host).id;
        let outcome = world.write(host, records.to_vec());
        match outcome {
            WriteOutcome::Acknowledged => truth.acknowledged(id, records, now),
            WriteOutcome::Crashed => truth.stopped(id, now),
            WriteOutcome::Refused | WriteOutcome::Unavailable => {}
        }
        self.note(ClientCall { at: now, host, request, outcome: Some(outcome) }, world);
    }

    fn read(&mut self, world: &mut World) -> Vec<Answer> {
        if self.watchers.is_empty() {
            return Vec::new();
        }
        let chosen = self.rng.random_range(0..self.watchers.len());
        let service = SERVICES[self.rng.random_range(0..SERVICES.len())];
        let watcher = &mut self.watchers[chosen];
        if world.node(watcher.host()).is_none() {
            return Vec::new();
        }
        let host = watcher.host();
        watcher.attach(world.host(host).lives());
        let picked = watcher.pick(service);
        let found = watcher.query(service);
        let picked_id = picked.as_ref().map(|(_, id)| id.clone());
        let at = world.now();
        let request = ClientRequest::Query(service.to_owned(), found.len());
        self.note(ClientCall { at, host, request, outcome: None }, world);
        let request = ClientRequest::Pick(service.to_owned(), picked_id);
        self.note(ClientCall { at, host, request, outcome: None }, world);
        vec![Answer::Query { host, found }, Answer::Pick { host, picked }]
    }

    fn note(&mut self, call: ClientCall, world: &mut World) {
        if world.trace().wants(Detail::Events) {
            world.trace().line(call.at, format_args!("n{} client {call}", call.host));
        }
        if self.history.len() < MAX_HISTORY {
            self.history.push(call);
        }
    }
}

fn instance_id(host: usize, number: u64) -> Text {
    format!("i{host}-{number}").into()
}

fn service(number: u64, stamp: Stamp, large: bool) -> ServiceRecord {
    let large = 0..if large { 5 } else { 0 };
    let large = large.map(|n| (format!("large-{n}"), "x".repeat(400)));
    ServiceRecord {
        service: SERVICES[number as usize % SERVICES.len()].into(),
        namespace: "default".into(),
        address: "10.1.2.3".into(),
        port: 8_000 + (number % 1_000) as u16,
        tags: Tags::default(),
        meta: large.chain([(STAMP_KEY.to_owned(), stamp.to_string())]).collect(),
        weight: 1,
        checked: true,
        balancing: hobnob_membership::record::Balancing::default(),
        scope: Default::default(),
        upkeep: Default::default(),
    }
}
