//! A cluster of the real protocol, and a log of everything that the goals are about.

use std::collections::BTreeSet;
use std::time::Duration;

use hobnob_membership::record::{Key, Text};
use hobnob_membership::view::{Change, InstanceStatus, MemberStatus};
use hobnob_membership::{Event, Node, Time};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::followed::Followed;
use super::measurement::Setting;
use crate::bench::service;
use crate::network::{Conditions, Latency, Network, Partition};
use crate::world::{NodeEvent, Observer, Stop, Storage, World, WriteOutcome};

/// The longest time that is waited for a join.
const JOIN_LIMIT: Duration = Duration::from_secs(300);
/// Time in which the agents of a new cluster come to trust each other.
const SETTLE: Duration = Duration::from_secs(60);
/// The port of an unchanged instance. Followed changes count ports from 1.
const UNCHANGED: u16 = u16::MAX;
/// The interval at which a slow agent may pause.
const BEAT: Duration = Duration::from_secs(1);
/// The latency of a local network.
const LATENCY: Latency =
    Latency::Uniform { min: Duration::from_micros(250), max: Duration::from_millis(1) };

/// An agent began or ceased to believe another alive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Belief {
    /// When.
    pub(super) at: Time,
    /// The agent whose belief changed.
    pub(super) observer: usize,
    /// The agent that the belief is about.
    pub(super) about: usize,
    /// Whether it is believed alive now.
    pub(super) alive: bool,
    /// Whether it was really running.
    pub(super) was_running: bool,
    /// Whether it is believed that its process exited.
    pub(super) exited: bool,
}

/// A log of the agents' events.
pub(super) struct ClusterLog {
    alive: Vec<Vec<bool>>,
    alive_count: Vec<usize>,
    running: Vec<bool>,
    /// Changes of belief since the last [`Cluster::take_beliefs`].
    beliefs: Vec<Belief>,
    /// The followed changes, and the agents that know them.
    pub(super) followed: Followed,
    /// Deleted records, and the agents that saw each go.
    deleted: BTreeSet<(usize, Text)>,
    told_gone: BTreeSet<(usize, usize, Text)>,
    /// Deleted records that came back to an agent that had seen them go.
    pub(super) returned: u64,
}

impl ClusterLog {
    fn change(&mut self, world: &World, at: Time, observer: usize, change: &Change) {
        let instance = &change.instance;
        let Some(origin) = world.host_of(instance.origin) else { return };
        if instance.status != InstanceStatus::Gone {
            self.followed.knows(at, observer, origin, &instance.id, instance.service.port);
        }
        if self.deleted.is_empty() {
            return;
        }
        let key = (origin, instance.id.clone());
        if self.deleted.contains(&key) {
            let key = (observer, key.0, key.1);
            if instance.status == InstanceStatus::Gone {
                self.told_gone.insert(key);
            } else if self.told_gone.contains(&key) {
                self.returned += 1;
            }
        }
    }
}

impl Observer for ClusterLog {
    fn on_event(&mut self, world: &World, event: &NodeEvent) {
        match &event.kind {
            Event::Instance(change) => self.change(world, event.at, event.host, change),
            Event::Member(change) => {
                let about = world.host_of(change.member.identity.node_id);
                let Some(about) = about else { return };
                if about == event.host {
                    return;
                }
                let alive = change.member.status == MemberStatus::Alive;
                if std::mem::replace(&mut self.alive[event.host][about], alive) == alive {
                    return;
                }
                let belief = world
                    .node(event.host)
                    .and_then(|node| node.belief(change.member.identity.node_id));
                let count = &mut self.alive_count[event.host];
                *count = if alive { *count + 1 } else { *count - 1 };
                self.beliefs.push(Belief {
                    at: event.at,
                    observer: event.host,
                    about,
                    alive,
                    was_running: self.running[about],
                    exited: belief.is_some_and(|belief| belief.verdict.exited),
                });
            }
            _ => {}
        }
    }
}

/// Agents that start at once and join through the first two.
pub(super) struct Cluster {
    /// The log of their events.
    pub(super) seen: ClusterLog,
    /// Random numbers for measurements.
    pub(super) rng: Xoshiro256PlusPlus,
    world: World,
    slow: BTreeSet<usize>,
    ports: u16,
}

impl Cluster {
    /// A cluster at its start, with `instances` instances per agent.
    pub(super) fn new(nodes: usize, instances: usize, setting: &Setting) -> Self {
        let seed = setting.seed;
        let conditions = Conditions { latency: LATENCY, ..Conditions::default() };
        let mut world = World::new(seed, Network::new(nodes, conditions));
        world.seal(setting.seal);
        world.seeds = vec![0, 1];
        for _ in 0..nodes {
            world.add("dc1", "");
        }
        for agent in 0..nodes {
            world.start(agent);
        }
        let mut cluster = Self {
            seen: ClusterLog {
                alive: vec![vec![false; nodes]; nodes],
                alive_count: vec![0; nodes],
                running: vec![true; nodes],
                beliefs: Vec::new(),
                followed: Followed::new(nodes),
                deleted: BTreeSet::new(),
                told_gone: BTreeSet::new(),
                returned: 0,
            },
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            world,
            slow: BTreeSet::new(),
            ports: 0,
        };
        for agent in 0..nodes {
            for number in 0..instances {
                cluster.register(agent, number, UNCHANGED);
            }
        }
        cluster
    }

    /// A cluster that has settled; from then on its links have a loss of `loss`.
    pub(super) fn settled(nodes: usize, instances: usize, loss: f64, setting: &Setting) -> Self {
        let mut cluster = Self::new(nodes, instances, setting);
        cluster.run_until(Duration::from_millis(100), JOIN_LIMIT, Self::is_whole);
        cluster.run_for(SETTLE);
        cluster.set_loss(loss);
        cluster.take_beliefs();
        cluster
    }

    /// The number of agents.
    pub(super) fn len(&self) -> usize {
        self.world.len()
    }

    /// Virtual time.
    pub(super) fn now(&self) -> Time {
        self.world.now()
    }

    /// Lets time pass; slow agents pause now and then.
    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now() + time;
        while !self.slow.is_empty() && self.now() + BEAT <= end {
            for agent in &self.slow {
                if self.rng.random_bool(0.5) {
                    let pause = Duration::from_millis(self.rng.random_range(100..2_000));
                    self.world.pause(*agent, pause);
                }
            }
            let beat = self.now() + BEAT;
            self.world.run_to(beat, &mut self.seen);
        }
        self.world.run_to(end, &mut self.seen);
    }

    /// Lets time pass until `done` holds, and returns how long that took. `None` after `limit`.
    pub(super) fn run_until(
        &mut self,
        step: Duration,
        limit: Duration,
        done: impl Fn(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.now();
        while !done(self) {
            if self.now() - start >= limit {
                return None;
            }
            self.run_for(step);
        }
        Some(self.now() - start)
    }

    /// Sets the loss of all links.
    pub(super) fn set_loss(&mut self, loss: f64) {
        let conditions = Conditions { latency: LATENCY, loss, ..Conditions::default() };
        self.world.network().set_all(conditions);
    }

    /// From now on one agent in twenty may pause each second, for 0.1 to 2 s, with a chance of one half.
    pub(super) fn slow_some(&mut self) {
        self.slow = (0..self.len().div_ceil(20)).map(|number| 2 + number * 19).collect();
    }

    /// Registers an instance, or changes its port.
    pub(super) fn register(&mut self, agent: usize, number: usize, port: u16) {
        let record = (Key::Service(instance_id(number)), Some(service(port)));
        let outcome = self.world.write(agent, vec![record]);
        assert_eq!(outcome, WriteOutcome::Acknowledged, "what is measured must happen");
    }

    /// Changes an instance, and follows the change until all know it.
    pub(super) fn change(&mut self, agent: usize, number: usize) {
        let port = self.seen.followed.begin(self.now(), agent, &instance_id(number));
        self.register(agent, number, port);
    }

    /// Changes an instance without following the change.
    pub(super) fn rewrite(&mut self, agent: usize, number: usize) {
        self.ports = self.ports % (UNCHANGED - 1) + 1;
        self.register(agent, number, self.ports);
    }

    /// Deregisters an instance, and watches whether it comes back.
    pub(super) fn delete(&mut self, agent: usize, number: usize) {
        let id = instance_id(number);
        self.world.write(agent, vec![(Key::Service(id.clone()), None)]);
        self.seen.deleted.insert((agent, id));
    }

    /// Pauses an agent.
    pub(super) fn pause(&mut self, agent: usize, time: Duration) {
        self.world.pause(agent, time);
    }

    /// Crashes an agent.
    pub(super) fn crash(&mut self, agent: usize) {
        self.world.crash(agent, Storage::Kept);
        self.seen.running[agent] = false;
        self.seen.alive[agent].fill(false);
        self.seen.alive_count[agent] = 0;
    }

    /// Kills the process of an agent. Its kernel refuses connections once it is gone, after `dying`.
    pub(super) fn kill(&mut self, agent: usize, dying: Duration) {
        self.world.stop(agent, Stop::Killed { dying });
        self.seen.running[agent] = false;
        self.seen.alive[agent].fill(false);
        self.seen.alive_count[agent] = 0;
    }

    /// Resets all held connections from and to an agent.
    pub(super) fn reset_connections(&mut self, agent: usize) {
        self.world.reset_connections(agent);
    }

    /// Starts a crashed agent again, with its disk.
    pub(super) fn start(&mut self, agent: usize) {
        self.world.start(agent);
        self.seen.running[agent] = true;
    }

    /// Cuts links.
    pub(super) fn cut(&mut self, partition: &mut Partition) {
        partition.begin(self.world.network());
    }

    /// Mends links.
    pub(super) fn mend(&mut self, partition: &mut Partition) {
        partition.end(self.world.network());
    }

    /// The running agents.
    pub(super) fn running(&self) -> Vec<usize> {
        (0..self.len()).filter(|agent| self.seen.running[*agent]).collect()
    }

    /// Whether every running agent believes exactly the running agents alive.
    pub(super) fn is_whole(&self) -> bool {
        let running = self.running();
        let right = |agent: &usize| {
            self.seen.alive_count[*agent] == running.len() - 1
                && running.iter().all(|other| other == agent || self.seen.alive[*agent][*other])
        };
        running.iter().all(right)
    }

    /// The number of wrong beliefs of running agents: dead agents believed alive, and live ones believed dead.
    pub(super) fn wrong_beliefs(&self) -> usize {
        let running = self.running();
        let wrong = |agent: usize| {
            let others = (0..self.len()).filter(move |other| *other != agent);
            others
                .filter(|other| self.seen.alive[agent][*other] != self.seen.running[*other])
                .count()
        };
        running.into_iter().map(wrong).sum()
    }

    /// Whether any running agent believes one of `victims` alive.
    pub(super) fn believed_alive(&self, victims: &[usize]) -> bool {
        let running = self.running();
        running.iter().any(|agent| victims.iter().any(|victim| self.seen.alive[*agent][*victim]))
    }

    /// Whether all running agents hold the same records.
    pub(super) fn is_converged(&self) -> bool {
        let mut digests = self.world.running().map(|(_, node)| node.catalog().digest());
        let first = digests.next();
        digests.all(|digest| Some(digest) == first)
    }

    /// The number of instances that an agent offers; 0 when it does not run.
    pub(super) fn healthy(&self, agent: usize) -> usize {
        let instances = self.world.node(agent).into_iter().flat_map(Node::instances);
        instances.filter(|instance| instance.status == InstanceStatus::Healthy).count()
    }

    /// The number of deleted records still shown, counted for each agent that shows one.
    pub(super) fn deleted_in_views(&self) -> u64 {
        let instances = self.world.running().flat_map(|(_, node)| node.instances());
        let deleted = instances.filter(|instance| {
            let origin = self.world.host_of(instance.origin);
            origin.is_some_and(|origin| self.seen.deleted.contains(&(origin, instance.id.clone())))
        });
        deleted.count() as u64
    }

    /// Takes the changes of belief since the last call.
    pub(super) fn take_beliefs(&mut self) -> Vec<Belief> {
        std::mem::take(&mut self.seen.beliefs)
    }

    /// Bytes that each agent sent since the start.
    pub(super) fn sent(&self) -> Sent {
        let meters = (0..self.len()).map(|agent| self.world.host(agent).meter());
        Sent(meters.map(|meter| (meter.datagram_bytes, meter.frame_bytes)).collect())
    }

    /// Copies of changes that running agents received in datagrams since their starts.
    pub(super) fn copies(&self) -> u64 {
        self.world.running().map(|(_, node)| node.counters().rumors_received).sum()
    }
}

/// Bytes that each agent sent in datagrams and on streams.
#[derive(Clone, Debug)]
pub(super) struct Sent(pub(super) Vec<(u64, u64)>);

impl Sent {
    /// The difference to an earlier reading.
    pub(super) fn since(&self, before: &Self) -> Self {
        let both = self.0.iter().zip(&before.0);
        Self(both.map(|(now, before)| (now.0 - before.0, now.1 - before.1)).collect())
    }

    /// Mean bytes of an agent in datagrams.
    pub(super) fn datagrams(&self) -> f64 {
        self.0.iter().map(|sent| sent.0).sum::<u64>() as f64 / self.0.len() as f64
    }

    /// Mean bytes of an agent on streams.
    pub(super) fn streams(&self) -> f64 {
        self.0.iter().map(|sent| sent.1).sum::<u64>() as f64 / self.0.len() as f64
    }
}

/// The id of an instance.
fn instance_id(number: usize) -> Text {
    format!("i{number}").into()
}
