//! A scenario: topology, workload, faults, and limits for the checkers. It is written as TOML, or drawn from a seed by
//! the swarm.

mod fault;
mod library;
mod limit;
mod limits;
mod link;
mod select;
mod span;
mod workload;

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use serde::de::Error;
use serde::{Deserialize, Serialize};

use crate::network::{Conditions, Network};
use crate::world::{Seal, World};

pub use fault::{Fault, FaultKind, StorageSpec};
pub use library::{Builtin, builtin, builtins};
pub use limit::{Limit, LimitValue};
pub use limits::{FalseDowns, Limits};
pub use link::{BurstSpec, LatencySpec, LinkSpec};
pub use select::{Select, Topology};
pub use span::Span;
pub use workload::WorkloadSpec;

/// Everything about a run but the randomness.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// A description of it, in a sentence or two.
    pub about: String,
    /// The number of hosts. With datacenters, the sum of theirs.
    #[serde(default = "default_nodes")]
    pub nodes: usize,
    /// The seed of a run that gives none.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// The time for which faults and writes last. Then everything is healed, and the cluster must become live.
    #[serde(default = "default_duration")]
    pub duration: Span,
    /// Number of seeds: the first hosts. Others join through them.
    #[serde(default = "default_seed_hosts")]
    pub seed_hosts: usize,
    /// All hosts start within this time.
    #[serde(default)]
    pub start_within: Span,
    /// Whether all hosts know each other from the start, as if they had joined long ago. A join of thousands takes hours.
    #[serde(default, skip_serializing_if = "is_false")]
    pub settled: bool,
    /// Retention of dead members' records on hosts with an even number. The others keep the protocol's default of a
    /// day. Checkers must see no difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Span>,
    /// How the cluster is sealed; not at all by default.
    #[serde(default, skip_serializing_if = "Seal::is_none")]
    pub seal: Seal,
    /// The limits that the checkers apply.
    #[serde(default)]
    pub limits: Limits,
    /// The conditions of all links, unless `wan`, a datacenter's `link` or `between` differ, in this order.
    #[serde(default)]
    pub link: LinkSpec,
    /// The difference of the links between datacenters.
    #[serde(default, skip_serializing_if = "LinkSpec::is_default")]
    pub wan: LinkSpec,
    /// The datacenters. Without any, all hosts are in one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datacenter: Vec<Datacenter>,
    /// Links between two sets of hosts, in one direction, or in both with `both_ways`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub between: Vec<Between>,
    /// The work of clients.
    #[serde(default)]
    pub workload: WorkloadSpec,
    /// The faults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fault: Vec<Fault>,
}

/// The hosts of one datacenter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Datacenter {
    /// Its name.
    pub name: String,
    /// The number of hosts.
    pub nodes: usize,
    /// Its zones. Hosts are assigned to them in turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<String>,
    /// The number of its hosts that others join through, its first ones; the scenario's `seed_hosts` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeds: Option<usize>,
    /// When its hosts begin to start; at the start of the run by default.
    #[serde(default, skip_serializing_if = "Span::is_zero")]
    pub starts_at: Span,
    /// The difference of the links inside.
    #[serde(default, skip_serializing_if = "LinkSpec::is_default")]
    pub link: LinkSpec,
}

/// Different conditions on the links from one set of hosts to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// The senders.
    pub from: Select,
    /// The receivers.
    pub to: Select,
    /// Applies to the opposite direction as well.
    #[serde(default)]
    pub both_ways: bool,
    /// The difference.
    pub link: LinkSpec,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

fn default_nodes() -> usize {
    20
}

fn default_seed() -> u64 {
    1
}

fn default_duration() -> Span {
    Span::seconds(60)
}

fn default_seed_hosts() -> usize {
    3
}

impl Scenario {
    /// A scenario without faults.
    #[must_use]
    pub fn quiet(name: &str, nodes: usize) -> Self {
        Self {
            name: name.to_owned(),
            about: String::new(),
            nodes,
            seed: default_seed(),
            duration: default_duration(),
            seed_hosts: default_seed_hosts(),
            start_within: Span::default(),
            settled: false,
            retention: None,
            seal: Seal::None,
            limits: Limits::default(),
            link: LinkSpec::default(),
            wan: LinkSpec::default(),
            datacenter: Vec::new(),
            between: Vec::new(),
            workload: WorkloadSpec::default(),
            fault: Vec::new(),
        }
    }

    /// Reads a scenario file.
    ///
    /// # Errors
    /// When the TOML or a value in it is invalid; the error names the line, or the values that contradict each other.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let mut scenario: Self = toml::from_str(text)?;
        let starts_late = scenario.datacenter.iter().any(|dc| !dc.starts_at.is_zero());
        if scenario.settled
            && (starts_late || !scenario.start_within.is_zero() || !scenario.seal.is_none())
        {
            let what = "`settled` hosts know each other from the start: leave out `start_within`, `starts_at` and `seal`";
            return Err(toml::de::Error::custom(what));
        }
        if !scenario.datacenter.is_empty() {
            scenario.nodes = scenario.datacenter.iter().map(|dc| dc.nodes).sum();
        }
        Ok(scenario)
    }

    /// The same scenario with another number of hosts. Datacenters keep their shares.
    #[must_use]
    pub fn with_nodes(mut self, nodes: usize) -> Self {
        let before = self.nodes.max(1);
        let mut left = nodes;
        let count = self.datacenter.len();
        for (index, dc) in self.datacenter.iter_mut().enumerate() {
            let share = dc.nodes * nodes / before;
            dc.nodes = if index + 1 == count { left } else { share.max(1).min(left) };
            left -= dc.nodes;
        }
        // Joining and healing cost more bytes in a larger cluster.
        let growth = nodes.div_ceil(before).max(1) as u64;
        self.limits.bytes_per_second *= growth;
        self.nodes = nodes;
        self
    }

    /// The conditions of links without a `between`.
    #[must_use]
    pub fn base(&self) -> Conditions {
        self.link.over(Conditions::default())
    }

    /// A world with the hosts and links of this scenario. No node runs yet.
    #[must_use]
    pub fn build(&self, seed: u64) -> World {
        let mut world = World::new(seed, Network::new(self.nodes, self.base()));
        world.seal(self.seal);
        if self.datacenter.is_empty() {
            (0..self.nodes).for_each(|_| {
                world.add("dc1", "");
            });
        }
        for dc in &self.datacenter {
            for number in 0..dc.nodes {
                let zone = dc.zones.get(number % dc.zones.len().max(1));
                world.add(&dc.name, zone.map_or("", String::as_str));
            }
        }
        world.retention = self.retention.map(|retention| retention.0);
        world.seeds = self.seeds();
        self.reset_links(&mut world);
        world
    }

    /// When the datacenter of a host begins to start.
    #[must_use]
    pub fn starts_at(&self, host: usize) -> Duration {
        let mut first = 0;
        let of = self.datacenter.iter().find(|dc| {
            first += dc.nodes;
            host < first
        });
        of.map_or(Duration::ZERO, |dc| dc.starts_at.0)
    }

    /// The hosts that others join through.
    fn seeds(&self) -> Vec<usize> {
        if self.datacenter.is_empty() {
            return (0..self.seed_hosts.clamp(1, self.nodes.max(1))).collect();
        }
        let mut first = 0;
        let of = self.datacenter.iter().flat_map(|dc| {
            let seeds =
                first..first + dc.seeds.unwrap_or(self.seed_hosts).clamp(1, dc.nodes.max(1));
            first += dc.nodes;
            seeds
        });
        of.collect()
    }

    /// Resets the conditions of all links to the scenario's.
    pub fn reset_links(&self, world: &mut World) {
        world.network().set_all(self.base());
        self.differ(world, |world, from, to, link| {
            world.network().change(from, to, |before| link.over(*before));
        });
    }

    /// The links of this scenario, for the hosts of a world.
    #[must_use]
    pub fn links(&self, world: &mut World) -> Network {
        let mut links = Network::new(world.len(), self.base());
        self.differ(world, |_, from, to, link| {
            links.change(from, to, |before| link.over(*before));
        });
        links
    }

    /// Tells in which links the scenario differs from its base: from which hosts to which, and how.
    fn differ(
        &self,
        world: &mut World,
        mut tell: impl FnMut(&mut World, &[usize], &[usize], &LinkSpec),
    ) {
        let of = |world: &World, dc: &Datacenter| {
            let all = 0..world.len();
            all.filter(|host| world.location(*host).0 == dc.name).collect::<Vec<usize>>()
        };
        for dc in &self.datacenter {
            let inside = of(world, dc);
            let outside: Vec<usize> =
                (0..world.len()).filter(|host| world.location(*host).0 != dc.name).collect();
            tell(world, &inside, &outside, &self.wan);
            tell(world, &inside, &inside, &dc.link);
        }
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        for between in &self.between {
            let from = between.from.choose(world, &mut rng);
            let to = between.to.choose(world, &mut rng);
            tell(world, &from, &to, &between.link);
            if between.both_ways {
                tell(world, &to, &from, &between.link);
            }
        }
    }
}
