//! The drills of the swarm: one stress on a calm network, under limits that are as tight as the protocol can keep.
//!
//! Where much goes wrong at once, much is excused, and what one mechanism misses another one repairs in time. A drill
//! leaves one mechanism alone with its task, and gives it no more time than it needs.

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::fault::{Fault, FaultKind, StorageSpec};
use crate::scenario::{FalseDowns, Limits, LinkSpec, Scenario, Select, Span};
use crate::swarm::Size;

/// Every so many seeds of the swarm one is a drill.
const EVERY: u64 = 5;
/// In smaller clusters there are too few referees.
const MIN_NODES: usize = 8;
/// Members have proven that they are prompt by then, and something may still happen.
const MIN_SECONDS: u64 = 60;

/// The drill that a seed of the swarm stands for, if it does.
pub(crate) fn drill(seed: u64, size: Size) -> Option<Scenario> {
    if seed % EVERY != EVERY - 1 || size.nodes < MIN_NODES {
        return None;
    }
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0xd411);
    let mut scenario = Scenario::quiet(&format!("swarm-{seed}"), size.nodes);
    scenario.seed = seed;
    scenario.duration = Span::seconds(size.seconds.max(MIN_SECONDS));
    scenario.join_within = Span::seconds(2);
    scenario.limits = Limits {
        heal_within: Span::seconds(20),
        grace: Span::seconds(2),
        bytes_per_second: 400_000,
        ..Limits::default()
    };
    let draw = match seed / EVERY % 6 {
        0 => crash,
        1 => deaf_monitors,
        2 => slow,
        3 => missed_verdict,
        4 => last_words,
        _ => old_image,
    };
    draw(&mut scenario, &mut rng);
    Some(scenario)
}

/// Who finds a member down tells everybody, at once.
fn crash(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "one host stops, and all know it three seconds later".into();
    scenario.limits.detect_within = Span::seconds(3);
    scenario.limits.false_downs = FalseDowns::Never;
    let [host, _] = two(scenario.nodes, rng);
    let crash = FaultKind::Crash { nodes: host, storage: StorageSpec::Kept };
    scenario.fault = vec![fault(rng.random_range(34_000..50_000), None, crash)];
}

/// Who does not hear a member is told by others that it lives.
fn deaf_monitors(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "two hosts do not hear a third, which all others hear".into();
    scenario.limits.false_downs = FalseDowns::Never;
    let [host, _] = two(scenario.nodes, rng);
    let cut = FaultKind::Cut { left: Select::Random(2), right: host };
    scenario.fault = vec![fault(rng.random_range(10_000..35_000), Some(20_000), cut)];
}

/// Who was seen to be slow is given the time that it needs.
fn slow(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "a host pauses, and everybody knows it for that when it pauses longer".into();
    scenario.limits.false_downs = FalseDowns::Never;
    let [host, _] = two(scenario.nodes, rng);
    let mut pause = |from: u64, lasts: std::ops::Range<u64>| {
        let at = rng.random_range(from..from + 5_000);
        fault(at, Some(rng.random_range(lasts)), FaultKind::Pause { nodes: host.clone() })
    };
    scenario.fault = vec![
        pause(8_000, 1_100..1_500),
        pause(20_000, 2_300..2_900),
        pause(35_000, 2_300..2_900),
        pause(45_000, 2_300..2_900),
    ];
}

/// Who missed a verdict learns it from those whose view differs.
fn missed_verdict(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "a host stops while another hears no datagrams, which is to learn it later".into();
    scenario.limits.detect_within = Span::seconds(8);
    // A change of the catalog would bring them together sooner.
    scenario.workload.writes_per_second = 0.0;
    let [deaf, stops] = two(scenario.nodes, rng);
    let blocked = FaultKind::UdpBlocked { left: deaf, right: Select::All };
    let crash = FaultKind::Crash { nodes: stops, storage: StorageSpec::Kept };
    scenario.fault = vec![
        fault(20_000, Some(12_000), blocked),
        fault(rng.random_range(22_000..26_000), None, crash),
    ];
}

/// Of what a host said last, parts are lost for good, and somebody missed all of it.
fn last_words(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "a host writes, hears nothing, is hardly heard, and stops; another missed all of that"
            .into();
    scenario.workload.writes_per_second = 100.0;
    let [deaf, stops] = two(scenario.nodes, rng);
    let at = rng.random_range(20_000..30_000);
    let blocked = FaultKind::UdpBlocked { left: deaf, right: Select::All };
    let unheard = FaultKind::OneWay { from: Select::All, to: stops.clone() };
    let loss = LinkSpec { loss: Some(0.8), ..LinkSpec::default() };
    let hardly = FaultKind::Degrade { from: stops.clone(), to: Select::All, link: Box::new(loss) };
    let crash = FaultKind::Crash { nodes: stops, storage: StorageSpec::Kept };
    scenario.fault = vec![
        fault(at, Some(6_000), blocked),
        fault(at, Some(3_500), unheard),
        fault(at, Some(3_500), hardly),
        fault(at + 3_000, None, crash),
    ];
}

/// A host begins an epoch a second time, and learns that from those who remember the first.
fn old_image(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "a host with a slow clock restarts, and again from an image of before that".into();
    // In both lives together about as many as the image is behind.
    scenario.workload.writes_per_second = 1.5 * scenario.nodes as f64;
    let [host, _] = two(scenario.nodes, rng);
    let crash = |storage| FaultKind::Crash { nodes: host.clone(), storage };
    let at = rng.random_range(20_000..30_000);
    scenario.fault = vec![
        fault(at - 1_000, None, FaultKind::WallJump { nodes: host.clone(), seconds: -3_600 }),
        fault(at, Some(300), crash(StorageSpec::Kept)),
        fault(at + 4_000, Some(300), crash(StorageSpec::RolledBack)),
    ];
}

fn fault(at: u64, lasts: Option<u64>, what: FaultKind) -> Fault {
    Fault { at: Span::millis(at), lasts: lasts.map(Span::millis), every: None, what }
}

/// Two different hosts.
fn two(nodes: usize, rng: &mut Xoshiro256PlusPlus) -> [Select; 2] {
    let mut hosts: Vec<usize> = (0..nodes).collect();
    let (drawn, _) = hosts.partial_shuffle(rng, 2);
    let host = |at: usize| drawn.get(at).map_or(Select::Random(1), |n| Select::Range(*n, n + 1));
    [host(0), host(1)]
}
