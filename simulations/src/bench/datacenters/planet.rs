//! Datacenters of the real protocol, and a log of what the measurements are about.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::record::Key;
use hobnob_membership::view::{InstanceStatus, MemberStatus};
use hobnob_membership::{Counters, Event, NodeId, Protocol, Time};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::DatacentersEffort;
use crate::bench::service;
use crate::network::{Conditions, Latency, Network};
use crate::world::{Crossed, NodeEvent, Observer, Storage, World};

/// The latency of a local network.
const LAN: Latency =
    Latency::Uniform { min: Duration::from_micros(250), max: Duration::from_millis(1) };
/// The port of an unchanged instance.
const UNCHANGED: u16 = u16::MAX;
/// An agent that learns of a change later than this, beyond the latency between datacenters, was left out by the first wave.
const LATE_AFTER: Duration = Duration::from_millis(12);
/// The longest time that is waited for a join.
const JOIN_LIMIT: Duration = Duration::from_secs(120);

/// A followed change.
#[derive(Clone, Debug)]
pub(super) struct Followed {
    /// When it was made.
    pub(super) at: Time,
    /// The number of agents that knew it when the last one learned of it.
    pub(super) knowing: usize,
    /// When the last agent of each datacenter learned of it.
    pub(super) last: Vec<Time>,
    /// The agents that learned of it late.
    pub(super) late: Vec<usize>,
}

/// The log of all agents' events.
#[derive(Debug, Default)]
pub(super) struct PlanetLog {
    /// The datacenter of each agent.
    pub(super) places: Vec<usize>,
    /// The time after which an agent learns of a change late.
    pub(super) late_after: Duration,
    /// The followed changes, by origin and port.
    pub(super) followed: BTreeMap<(NodeId, u16), Followed>,
    /// Agents that were declared down while they ran.
    pub(super) false_downs: Vec<NodeId>,
    /// Events by which agents told that a datacenter is out of reach, and when.
    pub(super) unreachable: Vec<(Time, usize, String)>,
    /// The same when one is back.
    pub(super) reachable: Vec<(Time, usize, String)>,
    running: BTreeMap<NodeId, bool>,
    /// The last change of each origin that each agent knows.
    known: BTreeMap<(usize, NodeId), u16>,
}

impl Observer for PlanetLog {
    fn on_event(&mut self, _: &World, event: &NodeEvent) {
        match &event.kind {
            Event::Instance(change) if change.instance.status != InstanceStatus::Gone => {
                let (origin, port) = (change.instance.origin, change.instance.service.port);
                // All agents know all others' unchanged instances, which would be many entries.
                if port == UNCHANGED {
                    return;
                }
                let known = self.known.entry((event.host, origin)).or_default();
                if port <= *known {
                    return;
                }
                // A later change of an instance stands for those before.
                let news = (origin, *known + 1)..=(origin, port);
                *known = port;
                for (_, followed) in self.followed.range_mut(news) {
                    followed.knowing += 1;
                    followed.last[self.places[event.host]] = event.at;
                    if event.at - followed.at > self.late_after {
                        followed.late.push(event.host);
                    }
                }
            }
            Event::Member(change) if change.member.status == MemberStatus::Down => {
                let id = change.member.identity.node_id;
                if self.running.get(&id) == Some(&true) {
                    self.false_downs.push(id);
                }
            }
            Event::DatacenterUnreachable { name, .. } => {
                self.unreachable.push((event.at, event.host, name.to_string()));
            }
            Event::DatacenterReachable { name, .. } => {
                self.reachable.push((event.at, event.host, name.to_string()));
            }
            _ => {}
        }
    }
}

/// All datacenters.
pub(super) struct Planet {
    /// The log of their events.
    pub(super) log: PlanetLog,
    /// Random numbers for measurements.
    pub(super) rng: Xoshiro256PlusPlus,
    /// The hosts.
    pub(super) world: World,
    /// Agents in each datacenter.
    pub(super) agents: usize,
    ports: u16,
}

/// The name of a datacenter.
pub(super) fn name_of(datacenter: usize) -> String {
    format!("dc{datacenter}")
}

fn register(world: &mut World, agent: usize, instance: usize, port: u16) {
    let key = Key::Service(format!("i{instance}").into());
    world.write(agent, vec![(key, Some(service(port)))]);
}

impl Planet {
    /// Datacenters whose agents start at once. Nothing is lost yet.
    fn new(effort: &DatacentersEffort, change: impl FnOnce(&mut Protocol)) -> Self {
        let all = effort.datacenters * effort.agents;
        let lan = Conditions { latency: LAN, ..Conditions::default() };
        let mut world = World::new(effort.seed, Network::new(all, lan));
        world.seal(effort.seal);
        change(&mut world.protocol);
        let places: Vec<usize> = (0..all).map(|agent| agent / effort.agents).collect();
        let first = |dc: usize| dc * effort.agents..dc * effort.agents + effort.agents.min(2);
        world.seeds = (0..effort.datacenters).flat_map(first).collect();
        let late_after = effort.latency + LATE_AFTER;
        let log = PlanetLog { places, late_after, ..PlanetLog::default() };
        let rng = Xoshiro256PlusPlus::seed_from_u64(effort.seed);
        let mut planet = Self { log, rng, world, agents: effort.agents, ports: 0 };
        for agent in 0..all {
            planet.world.add(&name_of(planet.log.places[agent]), "");
        }
        planet.set_loss(effort, 0.0, 0.0);
        let register = |world: &mut World| {
            let all = (0..all).flat_map(|agent| (0..effort.instances).map(move |it| (agent, it)));
            all.for_each(|(agent, instance)| register(world, agent, instance, UNCHANGED));
        };
        if effort.is_settled {
            planet.world.start_settled(register);
        } else {
            (0..all).for_each(|agent| planet.world.start(agent));
            register(&mut planet.world);
        }
        for agent in 0..all {
            planet.log.running.insert(planet.world.host(agent).id, true);
        }
        planet
    }

    /// Datacenters that have settled; from then on packets are lost, so many inside of datacenters.
    pub(super) fn settled(effort: &DatacentersEffort, lan_loss: f64) -> Self {
        let mut planet = Self::with(effort, |_| {});
        planet.lose(effort, lan_loss);
        planet
    }

    /// The same without loss inside, with other parameters of the protocol.
    pub(super) fn with(effort: &DatacentersEffort, change: impl FnOnce(&mut Protocol)) -> Self {
        let mut planet = Self::new(effort, change);
        planet.run_until(Duration::from_millis(250), JOIN_LIMIT, Self::is_equal);
        planet.run_for(Duration::from_secs(20));
        planet.lose(effort, 0.0);
        planet
    }

    /// Loses packets from now on, so many inside of datacenters, and lets the agents get used to it.
    pub(super) fn lose(&mut self, effort: &DatacentersEffort, lan_loss: f64) {
        self.set_loss(effort, lan_loss, effort.wan_loss);
        self.run_for(Duration::from_secs(2));
    }

    /// Sets the share of packets that are lost inside of datacenters and between them.
    pub(super) fn set_loss(&mut self, effort: &DatacentersEffort, lan: f64, wan: f64) {
        let inside = Conditions { latency: LAN, loss: lan, ..Conditions::default() };
        self.world.network().set_all(inside);
        let latency = Latency::Uniform { min: effort.latency, max: effort.latency };
        let between = Conditions { latency, loss: wan, ..Conditions::default() };
        for dc in 0..effort.datacenters {
            let (here, others) = (self.of(dc), self.outside(dc));
            self.world.network().change(&here, &others, |_| between);
        }
    }

    /// The agents of a datacenter.
    pub(super) fn of(&self, datacenter: usize) -> Vec<usize> {
        (datacenter * self.agents..(datacenter + 1) * self.agents).collect()
    }

    /// The agents of all other datacenters.
    pub(super) fn outside(&self, datacenter: usize) -> Vec<usize> {
        let all = 0..self.world.len();
        all.filter(|agent| self.log.places[*agent] != datacenter).collect()
    }

    /// The number of datacenters.
    pub(super) fn datacenters(&self) -> usize {
        self.world.len() / self.agents
    }

    /// Starts an agent.
    pub(super) fn start(&mut self, agent: usize) {
        self.world.start(agent);
        self.log.running.insert(self.world.host(agent).id, true);
    }

    /// Takes the power from an agent.
    pub(super) fn crash(&mut self, agent: usize) {
        self.log.running.insert(self.world.host(agent).id, false);
        self.world.crash(agent, Storage::Kept);
    }

    /// Changes an instance of an agent, and follows the change.
    pub(super) fn follow(&mut self, agent: usize) -> (NodeId, u16) {
        self.ports = self.ports % (UNCHANGED - 1) + 1;
        let origin = self.world.host(agent).id;
        let at = self.world.now();
        let last = vec![at; self.datacenters()];
        let key = (origin, self.ports);
        self.log.followed.insert(key, Followed { at, knowing: 0, last, late: Vec::new() });
        register(&mut self.world, agent, 0, self.ports);
        key
    }

    /// Changes an instance of an agent, without following it.
    pub(super) fn change(&mut self, agent: usize, instance: usize) {
        self.ports = self.ports % (UNCHANGED - 1) + 1;
        register(&mut self.world, agent, instance, self.ports);
    }

    /// A running agent at random.
    pub(super) fn any(&mut self, of: &[usize]) -> usize {
        loop {
            let agent = of[self.rng.random_range(0..of.len())];
            if self.world.node(agent).is_some() {
                return agent;
            }
        }
    }

    /// Lets time pass.
    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.world.now() + time;
        self.world.run_to(end, &mut self.log);
    }

    /// Runs until something holds, which is looked at every `step`. Returns how long that took.
    pub(super) fn run_until(
        &mut self,
        step: Duration,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.world.now();
        while !done(self) {
            if self.world.now() - start >= limit {
                return None;
            }
            self.run_for(step);
        }
        Some(self.world.now() - start)
    }

    /// Whether all running agents hold the same records, and there are as many origins as agents.
    pub(super) fn is_equal(&self) -> bool {
        let mut nodes = self.world.running().map(|(_, node)| node.catalog());
        let first = nodes.next();
        let all = self.world.len();
        first.is_some_and(|first| {
            let origins = first.origins().filter(|(_, it)| it.current().is_some()).count();
            origins == all && nodes.all(|other| other.digest() == first.digest())
        })
    }

    /// What crossed the links between datacenters.
    pub(super) fn crossed(&self) -> BTreeMap<(usize, usize), Crossed> {
        let place = |name: &str| name.trim_start_matches("dc").parse().unwrap_or(0);
        let crossed = self.world.crossed().into_iter();
        crossed.map(|((from, to), crossed)| ((place(&from), place(&to)), crossed)).collect()
    }

    /// The sum of a counter over the running agents.
    pub(super) fn sum(&self, of: &[usize], counter: impl Fn(&Counters) -> u64) -> u64 {
        of.iter().filter_map(|it| self.world.node(*it)).map(|it| counter(&it.counters())).sum()
    }
}
