//! Hobnob as a subject of the comparison.

use std::collections::BTreeSet;
use std::time::Duration;

use hobnob_membership::record::{Key, Value};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Event, Time};

use super::Subject;
use crate::bench::service;
use crate::network::{Conditions, Network, Partition};
use crate::world::{NodeEvent, Observer, Storage, World};

/// A cluster of the real protocol.
pub struct HobnobCluster {
    world: World,
    counts: Counts,
    halves: Partition,
}

/// The beliefs of all agents, and how often a live agent was believed down.
struct Counts {
    alive: Vec<BTreeSet<usize>>,
    dead: BTreeSet<usize>,
    false_downs: u64,
}

impl Observer for Counts {
    fn on_event(&mut self, world: &World, event: &NodeEvent) {
        let Event::Member(change) = &event.kind else { return };
        let Some(other) = world.host_of(change.member.identity.node_id) else { return };
        if change.member.status == MemberStatus::Alive {
            self.alive[event.host].insert(other);
        } else if self.alive[event.host].remove(&other) && !self.dead.contains(&other) {
            self.false_downs += 1;
        }
    }
}

impl Subject for HobnobCluster {
    const NAME: &'static str = "hobnob";

    fn new(nodes: usize, loss: f64, seed: u64) -> Self {
        let conditions = Conditions { loss, ..Conditions::default() };
        let mut world = World::new(seed, Network::new(nodes, conditions));
        world.seeds = vec![0];
        for agent in 0..nodes {
            world.add("dc1", "");
            world.start(agent);
        }
        let hosts: Vec<usize> = (0..nodes).collect();
        let (left, right) = hosts.split_at(nodes / 2);
        Self {
            world,
            counts: Counts {
                alive: vec![BTreeSet::new(); nodes],
                dead: BTreeSet::new(),
                false_downs: 0,
            },
            halves: Partition::full(left, right),
        }
    }

    fn now(&self) -> Time {
        self.world.now()
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.world.now() + time;
        self.world.run_to(end, &mut self.counts);
    }

    fn publish(&mut self, agent: usize, value: u16) {
        let record = (Key::Service("bench".into()), Some(service(value)));
        self.world.write(agent, vec![record]);
    }

    fn known(&self, agent: usize, origin: usize) -> u16 {
        let id = self.world.host(origin).id;
        let replica = self.world.node(agent).and_then(|node| node.catalog().origin(id)?.current());
        match replica.and_then(|replica| replica.get(&Key::Service("bench".into()))) {
            Some(Value::Service(service)) => service.port,
            _ => 0,
        }
    }

    fn crash(&mut self, agent: usize) {
        self.counts.dead.insert(agent);
        self.world.crash(agent, Storage::Kept);
    }

    fn pause(&mut self, agent: usize, time: Duration) {
        self.world.pause(agent, time);
    }

    fn cut_halves(&mut self) {
        self.halves.begin(self.world.network());
    }

    fn heal(&mut self) {
        self.halves.end(self.world.network());
    }

    fn active(&self, agent: usize) -> usize {
        self.world.node(agent).map_or(0, hobnob_membership::Node::active_members)
    }

    fn believes_alive(&self, agent: usize, other: usize) -> bool {
        self.counts.alive[agent].contains(&other)
    }

    fn false_downs(&self) -> u64 {
        self.counts.false_downs
    }

    fn bytes(&self) -> u64 {
        let meters = (0..self.world.len()).map(|host| self.world.host(host).meter());
        meters.map(|meter| meter.datagram_bytes + meter.frame_bytes).sum()
    }

    fn copies(&self) -> u64 {
        self.world.running().map(|(_, node)| node.counters().rumors_received).sum()
    }
}
