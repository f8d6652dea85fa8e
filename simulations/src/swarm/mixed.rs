//! The scenarios of most seeds: several random faults at once.

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::exits::exits;
use super::sealed;
use super::size::Size;
use crate::scenario::{
    Between, BurstSpec, Datacenter, FalseDowns, Fault, FaultKind, LatencySpec, Limits, LinkSpec,
    Scenario, Select, Span, StorageSpec, WorkloadSpec,
};

/// Draws the scenario of a seed.
pub(super) fn mixed(seed: u64, size: Size) -> Scenario {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x5eed_0f5c_e4a1);
    let mut scenario = Scenario::quiet(&format!("swarm-{seed}"), size.nodes);
    scenario.about = format!("drawn from seed {seed}");
    scenario.seed = seed;
    scenario.duration = Span::seconds(size.seconds);
    scenario.start_within = Span::millis(rng.random_range(0..5_000));
    // With one seed host, a loss of its disk would leave it alone: it knows no peer, and no peer looks for it.
    scenario.seed_hosts = rng.random_range(2..=3);
    scenario.limits = Limits {
        heal_within: Span::seconds(90),
        detect_within: Span::seconds(15),
        // Several faults at once have effects for longer.
        grace: Span::seconds(20),
        bytes_per_second: 400_000,
        ..Limits::default()
    };
    // Drawn from a second generator, so that the meaning of older seeds does not change.
    let mut other = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x6a7e_5eed);
    scenario.retention = other.random_bool(0.5).then(|| Span::seconds(other.random_range(3..30)));
    datacenters(&mut scenario, &mut rng);
    scenario.link = link(&mut rng);
    if scenario.link.burst.is_some() {
        scenario.limits.false_downs = FalseDowns::Allowed;
    }
    scenario.workload = WorkloadSpec {
        instances: rng.random_range(0..4),
        writes_per_second: *[0.5, 2.0, 5.0, 20.0].choose(&mut rng).unwrap_or(&5.0),
        reads_per_second: 10.0,
        watchers: rng.random_range(1..=size.nodes.min(8)),
        large: *[0.0, 0.02, 0.2].choose(&mut rng).unwrap_or(&0.0),
        storm_at: rng
            .random_bool(0.3)
            .then(|| Span::seconds(rng.random_range(size.seconds / 4..size.seconds * 3 / 4))),
        storm: 400,
        scoped: 0.0,
    };
    let kinds = rng.random_range(1..=5);
    for _ in 0..kinds {
        let fault = fault(&mut rng, size, &scenario);
        scenario.fault.push(fault);
    }
    if rng.random_bool(0.06) {
        scenario.fault.push(blackout(&mut rng, size));
    }
    if rng.random_bool(0.06) {
        scenario.fault.push(other_cluster(&mut rng, size));
    }
    if rng.random_bool(0.06) {
        let fault = duplicate_id(&mut rng, size, &scenario);
        scenario.fault.push(fault);
    }
    scenario.fault.extend(exits(&mut other, size));
    let mut third = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x5ea1_ed00);
    sealed::sometimes(&mut scenario, &mut third, size);
    scenario
}

/// Sometimes splits the hosts into two distant datacenters.
fn datacenters(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    if !rng.random_bool(0.25) {
        return;
    }
    let east = scenario.nodes / 2;
    let dc = |name: &str, nodes| Datacenter {
        name: name.into(),
        nodes,
        zones: vec!["a".into(), "b".into()],
        seeds: None,
        starts_at: Span::default(),
        link: LinkSpec::default(),
    };
    scenario.datacenter = vec![dc("east", east), dc("west", scenario.nodes - east)];
    let median = Span::millis(rng.random_range(5..35));
    scenario.between = vec![Between {
        from: Select::Datacenter("east".into()),
        to: Select::Datacenter("west".into()),
        both_ways: true,
        link: LinkSpec {
            latency: Some(LatencySpec::LogNormal { median, sigma: 0.15 }),
            ..LinkSpec::default()
        },
    }];
}

/// Draws the conditions of all links.
fn link(rng: &mut Xoshiro256PlusPlus) -> LinkSpec {
    let mut some = |chance: f64, most: f64| {
        let on = rng.random_bool(chance);
        let share = rng.random::<f64>() * most;
        on.then_some(share)
    };
    let mut link = LinkSpec {
        loss: some(0.4, 0.05),
        duplicate: some(0.3, 0.2),
        replay: some(0.3, 0.01),
        reorder: some(0.3, 0.2),
        truncate: some(0.2, 0.005),
        corrupt: some(0.2, 0.005),
        stream_reset: some(0.2, 0.05),
        stream_stall: some(0.2, 0.1),
        ..LinkSpec::default()
    };
    link.mtu = rng.random_bool(0.1).then_some(1_200);
    if rng.random_bool(0.15) {
        link.burst = Some(BurstSpec { begin: 0.005, end: 0.1, loss: 0.7 });
    }
    link
}

/// Isolates every host at once: they must find each other again.
fn blackout(rng: &mut Xoshiro256PlusPlus, size: Size) -> Fault {
    let third = size.seconds / 3;
    Fault {
        at: Span::seconds(rng.random_range(third..2 * third)),
        lasts: None,
        every: None,
        what: FaultKind::Isolate { nodes: Select::All },
    }
}

/// Moves some hosts to another cluster.
fn other_cluster(rng: &mut Xoshiro256PlusPlus, size: Size) -> Fault {
    let third = size.seconds / 3;
    Fault {
        at: Span::seconds(rng.random_range(third / 2..third)),
        lasts: Some(Span::seconds(third)),
        every: None,
        what: FaultKind::OtherCluster { nodes: Select::Random(2) },
    }
}

/// Copies a data directory to another host of the same datacenter. Two agents that run on copies in different datacenters are taken
/// for one that moves back and forth.
fn duplicate_id(rng: &mut Xoshiro256PlusPlus, size: Size, scenario: &Scenario) -> Fault {
    let third = size.seconds / 3;
    let mut host = || rng.random_range(0..size.nodes);
    let (from, to) = (host(), host());
    let (mut first, mut nodes) = (0, size.nodes);
    for datacenter in &scenario.datacenter {
        if (first..first + datacenter.nodes).contains(&from) {
            nodes = datacenter.nodes;
            break;
        }
        first += datacenter.nodes;
    }
    let to = first + to % nodes;
    let one = |number| Select::Range(number, number + 1);
    let what = FaultKind::DuplicateId { from: one(from), to: one(to) };
    Fault {
        at: Span::seconds(rng.random_range(third / 2..third)),
        lasts: Some(Span::seconds(third)),
        every: None,
        what,
    }
}

/// Draws a fault.
fn fault(rng: &mut Xoshiro256PlusPlus, size: Size, scenario: &Scenario) -> Fault {
    let few = || Select::Random(1 + size.nodes / 20);
    let share = |rng: &mut Xoshiro256PlusPlus| Select::RandomPercent(rng.random_range(2..40));
    let what = match rng.random_range(0..26) {
        0 => FaultKind::Cut { left: Select::FirstHalf, right: Select::SecondHalf },
        1 => FaultKind::Cut { left: share(rng), right: share(rng) },
        2 => FaultKind::OneWay { from: share(rng), to: share(rng) },
        3 => FaultKind::Bridge { node: Select::Random(1) },
        4 => FaultKind::MajorityRing,
        5 | 6 => FaultKind::Isolate { nodes: few() },
        7 if !scenario.datacenter.is_empty() => FaultKind::DatacenterCut { name: "west".into() },
        7 | 8 => FaultKind::Flap {
            left: Select::FirstHalf,
            right: Select::SecondHalf,
            down: Span::millis(rng.random_range(200..6_000)),
            up: Span::millis(rng.random_range(200..6_000)),
        },
        9 => FaultKind::UdpBlocked { left: few(), right: Select::All },
        10 => FaultKind::StreamsBlocked { left: share(rng), right: Select::All },
        11 => FaultKind::Degrade {
            from: share(rng),
            to: Select::All,
            link: LinkSpec { loss: Some(rng.random::<f64>() * 0.4), ..LinkSpec::default() }.into(),
        },
        12 => FaultKind::Degrade {
            from: few(),
            to: Select::All,
            link: LinkSpec { bandwidth: Some(20_000), ..LinkSpec::default() }.into(),
        },
        13 | 14 => FaultKind::Crash { nodes: few(), storage: StorageSpec::Kept },
        15 => FaultKind::Crash { nodes: share(rng), storage: StorageSpec::Kept },
        16 => FaultKind::Crash { nodes: few(), storage: StorageSpec::Lost },
        17 => FaultKind::Crash { nodes: few(), storage: StorageSpec::RolledBack },
        18 => FaultKind::Crash { nodes: few(), storage: StorageSpec::Torn },
        19 => FaultKind::SeedOutage,
        20 => FaultKind::RollingRestart {
            nodes: share(rng),
            gap: Span::millis(rng.random_range(200..3_000)),
            down: Span::millis(rng.random_range(10..5_000)),
        },
        21 => FaultKind::Stutter {
            nodes: few(),
            min: Span::millis(100),
            max: Span::millis(2_000),
            gap: Span::millis(rng.random_range(300..3_000)),
        },
        22 => FaultKind::Pause { nodes: few() },
        23 => FaultKind::DiskFull { nodes: share(rng) },
        24 => FaultKind::AddressChange { nodes: few() },
        _ => match rng.random_range(0..5) {
            0 => FaultKind::ClockDrift { nodes: Select::All, ppm: 20_000 },
            1 => FaultKind::WallJump {
                nodes: share(rng),
                seconds: rng.random_range(-90_000..90_000),
            },
            2 => FaultKind::Leave { nodes: few() },
            3 => FaultKind::Slow { nodes: few(), service_time: Span::millis(2) },
            _ => FaultKind::LateTimers { nodes: share(rng), by: Span::millis(150) },
        },
    };
    let third = size.seconds / 3;
    let at = Span::millis(rng.random_range(1_000..2_000 * third));
    let repeats = rng.random_bool(0.4);
    let lasts = Span::millis(rng.random_range(500..1_000 * if repeats { 10 } else { third }));
    // Some faults last until everything is healed; such a crash is permanent.
    let endless =
        rng.random_bool(0.15) && !matches!(what, FaultKind::SeedOutage | FaultKind::Pause { .. });
    Fault {
        at,
        lasts: (!endless).then_some(lasts),
        every: (repeats && !endless).then(|| Span::millis(rng.random_range(3_000..30_000))),
        what,
    }
}
