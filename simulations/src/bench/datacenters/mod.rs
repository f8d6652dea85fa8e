//! Many datacenters in virtual time: how fast a change is everywhere, what crosses the links between datacenters, and what
//! becomes of cuts.

mod changes;
mod cuts;
mod loud;
mod planet;
mod reach;
mod rest;

use std::time::Duration;

use super::row::Row;
use crate::world::Seal;

/// The extent of the measurements.
#[derive(Clone, Debug)]
pub struct DatacentersEffort {
    /// Datacenters.
    pub datacenters: usize,
    /// Agents in each.
    pub agents: usize,
    /// Instances of each agent.
    pub instances: usize,
    /// Changes that are followed at each loss.
    pub changes: usize,
    /// Shares of packets that are lost inside of datacenters.
    pub lan_losses: Vec<f64>,
    /// The share of packets that is lost between datacenters.
    pub wan_loss: f64,
    /// The one-way latency between datacenters.
    pub latency: Duration,
    /// Changes on each side of a cut.
    pub storm: usize,
    /// The length of the long cut.
    pub long_cut: Duration,
    /// Days over bad links.
    pub days: f64,
    /// Whether the agents know each other from the start, instead of joining.
    pub is_settled: bool,
    /// The seed.
    pub seed: u64,
    /// How the cluster is sealed.
    pub seal: Seal,
}

impl DatacentersEffort {
    /// Three datacenters of eight agents, without loss: enough to tell a bug by its cost.
    #[must_use]
    pub fn small() -> Self {
        Self {
            datacenters: 3,
            agents: 8,
            instances: 1,
            changes: 20,
            lan_losses: vec![0.0],
            wan_loss: 0.0,
            latency: Duration::from_millis(40),
            storm: 300,
            long_cut: Duration::from_secs(30),
            days: 0.005,
            is_settled: false,
            seed: 1,
            seal: Seal::None,
        }
    }
}

/// Takes the measurements of a part.
type Measure = fn(&DatacentersEffort, &mut dyn FnMut(&str)) -> Vec<Row>;

/// A part of the measurements.
pub struct DatacentersPart {
    /// Its name.
    pub name: &'static str,
    /// A description of its measurements.
    pub about: &'static str,
    run: Measure,
}

impl DatacentersPart {
    /// Takes the measurements; `told` hears how far they are.
    pub fn measure(&self, effort: &DatacentersEffort, told: &mut dyn FnMut(&str)) -> Vec<Row> {
        (self.run)(effort, told)
    }
}

/// All parts.
pub const PARTS: &[DatacentersPart] = &[
    DatacentersPart {
        name: "changes",
        about: "time until a change is known to all agents everywhere, and its copies",
        run: changes::spread,
    },
    DatacentersPart {
        name: "gateways",
        about: "changes while gateways were just killed, or hear no other datacenter",
        run: changes::gateways,
    },
    DatacentersPart {
        name: "rest",
        about: "bytes between two datacenters while nothing happens",
        run: rest::rest,
    },
    DatacentersPart {
        name: "storm",
        about: "changes on both sides of a cut of a minute",
        run: cuts::storm,
    },
    DatacentersPart {
        name: "narrow",
        about: "more changes than the links between datacenters take",
        run: cuts::narrow,
    },
    DatacentersPart {
        name: "loud",
        about: "an agent that changes more than the links let through of one agent",
        run: loud::loud,
    },
    DatacentersPart {
        name: "cut",
        about: "a datacenter is cut off for long, and healed",
        run: cuts::long_cut,
    },
    DatacentersPart {
        name: "power",
        about: "a datacenter loses its power, and returns",
        run: cuts::power,
    },
    DatacentersPart {
        name: "reach",
        about: "days of loss and late packets between datacenters",
        run: reach::reach,
    },
    DatacentersPart {
        name: "churn",
        about: "one agent a second restarts in a datacenter with heavy loss inside",
        run: cuts::churn,
    },
];
