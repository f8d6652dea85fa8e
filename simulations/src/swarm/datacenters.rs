//! Drills of many datacenters.

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use super::drills::fault;
use crate::scenario::{
    Datacenter, FalseDowns, FaultKind, LatencySpec, LinkSpec, Scenario, Select, Span, StorageSpec,
};

const NAMES: [&str; 3] = ["eu", "us", "ap"];

/// Splits the hosts into three datacenters, 40 ms apart.
fn apart(scenario: &mut Scenario) {
    scenario.nodes = scenario.nodes.max(12);
    let of = |n: usize| Datacenter {
        name: NAMES[n].into(),
        nodes: (scenario.nodes + n) / NAMES.len(),
        zones: Vec::new(),
        seeds: Some(2),
        starts_at: Span::default(),
        link: LinkSpec::default(),
    };
    scenario.datacenter = (0..NAMES.len()).map(of).collect();
    let latency = LatencySpec::LogNormal { median: Span::millis(40), sigma: 0.05 };
    scenario.wan = LinkSpec { latency: Some(latency), loss: Some(0.01), ..LinkSpec::default() };
    scenario.limits.false_downs = FalseDowns::Never;
}

fn datacenter(name: &str) -> Select {
    Select::Datacenter(name.into())
}

fn outside(name: &str) -> Select {
    Select::Outside(name.into())
}

/// Tests that a cut between datacenters is one event, and no verdict on anybody.
pub(super) fn cut(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "a datacenter is cut off; it is one event, and nobody is down".into();
    apart(scenario);
    let cut = FaultKind::DatacenterCut { name: NAMES[rng.random_range(0..3)].into() };
    scenario.fault = vec![fault(rng.random_range(20_000..25_000), Some(15_000), cut)];
}

/// Tests that gateways that hear no other datacenter do not decide for those that do.
pub(super) fn deaf_gateway(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "two gateways hear no other datacenter; all datacenters stay in reach".into();
    apart(scenario);
    let name = NAMES[rng.random_range(0..3)];
    let gateways = Select::Gateways(name.into(), 2);
    let cut = FaultKind::Cut { left: gateways, right: outside(name) };
    scenario.fault = vec![fault(rng.random_range(20_000..25_000), Some(25_000), cut)];
}

/// Tests that the word of a member's home reaches all others, and that older words do not replace it.
pub(super) fn restarts(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "agents of one datacenter restart, and some stay away".into();
    apart(scenario);
    scenario.limits.detect_within = Span::seconds(12);
    let name = NAMES[rng.random_range(0..3)];
    let gateways = Select::Gateways(name.into(), 1);
    let stays = FaultKind::Crash { nodes: gateways, storage: StorageSpec::Kept };
    let (gap, down) = (Span::millis(4_000), Span::millis(3_000));
    let rolling = FaultKind::RollingRestart { nodes: datacenter(name), gap, down };
    scenario.fault = vec![fault(20_000, Some(20_000), rolling), fault(45_000, None, stays)];
}
