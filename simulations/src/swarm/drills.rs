//! The drills of the swarm: one stress on a calm network, under limits that are as tight as the protocol can keep.
//!
//! Where much goes wrong at once, much is excused, and what one mechanism misses another one repairs in time. A drill
//! leaves one mechanism alone with its task, and gives it no more time than it needs.

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::size::Size;
use crate::scenario::{
    FalseDowns, Fault, FaultKind, LatencySpec, Limits, LinkSpec, Scenario, Select, Span,
    StorageSpec,
};

/// Every so many seeds of the swarm one is a drill.
const EVERY: u64 = 5;
/// In smaller clusters there are too few referees.
const MIN_NODES: usize = 8;
/// So many start at once that no seed has places for all.
const CROWD: usize = 150;
/// Among so many, two at random hardly ever watch each other.
const MANY: usize = 100;
/// Members have proven that they are prompt by then, and something may still happen.
const MIN_SECONDS: u64 = 60;

/// What is drilled, in turn.
const DRILLS: [fn(&mut Scenario, &mut Xoshiro256PlusPlus); 13] = [
    crash,
    deaf_monitors,
    slow,
    missed_verdict,
    last_words,
    old_image,
    long_absence,
    force_leaves,
    islands,
    mass_join,
    unheard,
    young,
    unseen_copy,
];

/// The drill that a seed of the swarm stands for, if it does.
pub(super) fn drill(seed: u64, size: Size) -> Option<Scenario> {
    if seed % EVERY != EVERY - 1 || size.nodes < MIN_NODES {
        return None;
    }
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0xd411);
    let mut scenario = Scenario::quiet(&format!("swarm-{seed}"), size.nodes);
    scenario.seed = seed;
    scenario.duration = Span::seconds(size.seconds.max(MIN_SECONDS));
    scenario.start_within = Span::seconds(2);
    scenario.limits = Limits {
        heal_within: Span::seconds(20),
        grace: Span::seconds(2),
        bytes_per_second: 400_000,
        ..Limits::default()
    };
    let turn = usize::try_from(seed / EVERY).unwrap_or(0) % DRILLS.len();
    DRILLS[turn](&mut scenario, &mut rng);
    Some(scenario)
}

/// Who finds a member down tells everybody, at once.
fn crash(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "one host stops, and all know it three seconds later".into();
    scenario.limits.detect_within = Span::seconds(3);
    scenario.limits.false_downs = FalseDowns::Never;
    let [host, _] = some(scenario.nodes, rng);
    let crash = FaultKind::Crash { nodes: host, storage: StorageSpec::Kept };
    scenario.fault = vec![fault(rng.random_range(34_000..50_000), None, crash)];
}

/// Who does not hear a member is told by others that it lives.
fn deaf_monitors(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "two hosts do not hear a third, which all others hear".into();
    scenario.limits.false_downs = FalseDowns::Never;
    let [host, _] = some(scenario.nodes, rng);
    let cut = FaultKind::Cut { left: Select::Random(2), right: host };
    scenario.fault = vec![fault(rng.random_range(10_000..35_000), Some(20_000), cut)];
}

/// Who stands still is given time for it, and who was seen to do so is given the time that it needs.
fn slow(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "a prompt host stands still, and everybody knows it for that later".into();
    scenario.limits.false_downs = FalseDowns::Never;
    let [host, _] = some(scenario.nodes, rng);
    let mut pause = |from: u64, lasts: std::ops::Range<u64>| {
        let at = rng.random_range(from..from + 5_000);
        fault(at, Some(rng.random_range(lasts)), FaultKind::Pause { nodes: host.clone() })
    };
    scenario.fault = vec![pause(32_000, 2_300..3_400), pause(41_000, 5_600..6_600)];
}

/// Who missed a verdict learns it from those whose view differs.
fn missed_verdict(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "a host stops, and another hears no datagrams when that is told, and is to learn it later"
            .into();
    scenario.limits.detect_within = Span::seconds(8);
    // A change of the catalog would bring them together sooner.
    scenario.workload.writes_per_second = 0.0;
    let [deaf, stops] = some(scenario.nodes, rng);
    let blocked = FaultKind::UdpBlocked { left: deaf, right: Select::All };
    let crash = FaultKind::Crash { nodes: stops, storage: StorageSpec::Kept };
    let at = rng.random_range(22_000..26_000);
    // Hardly longer than the verdict takes: who finds out that its datagrams are blocked compares all each second.
    scenario.fault = vec![fault(at, None, crash), fault(at + 500, Some(4_000), blocked)];
}

/// Of what a host said last, parts are lost for good, and somebody missed all of it.
fn last_words(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "a host writes, hears nothing, is hardly heard, and stops; another missed all of that"
            .into();
    scenario.workload.writes_per_second = 100.0;
    let [deaf, stops] = some(scenario.nodes, rng);
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

/// A host begins an epoch before the one in which the others know it, and learns that from them.
fn old_image(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "a host restarts with a clock that is ahead, and again, with one that is behind, from an image of before that"
            .into();
    scenario.workload.writes_per_second = 1.5 * scenario.nodes as f64;
    let [host, _] = some(scenario.nodes, rng);
    let crash = |storage| FaultKind::Crash { nodes: host.clone(), storage };
    // So soon that the image is hardly ever of after the first restart, and nothing later that would hide what was lost.
    let at = before_the_end(scenario, rng.random_range(5_000..7_000));
    scenario.fault = vec![
        fault(at - 1_000, None, FaultKind::WallJump { nodes: host.clone(), seconds: 3_600 }),
        fault(at, Some(300), crash(StorageSpec::Kept)),
        fault(at + 2_000, Some(300), crash(StorageSpec::RolledBack)),
    ];
}

/// Who was dropped while it was away has all its records again when it is back.
fn long_absence(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "a host is cut off until half of the others have dropped its records".into();
    scenario.retention = Some(Span::seconds(3));
    // What it writes would be asked for.
    scenario.workload.writes_per_second = 0.0;
    let [host, _] = some(scenario.nodes, rng);
    let cut = FaultKind::Isolate { nodes: host };
    scenario.fault = vec![fault(rng.random_range(10_000..30_000), Some(15_000), cut)];
}

/// What an operator says of the dead is done everywhere, and what one says of the living is not.
fn force_leaves(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "an operator buries a dead host, and one that has just come back".into();
    // A write of its own would take the second beyond the one that its origin_tombstone stands for.
    scenario.workload.writes_per_second = 0.0;
    let [operators, returns, stops] = some(scenario.nodes, rng);
    let force_leave =
        |host: &Select| FaultKind::ForceLeave { at: operators.clone(), nodes: host.clone() };
    let crash = FaultKind::Crash { nodes: stops.clone(), storage: StorageSpec::Kept };
    let at = rng.random_range(10_000..30_000);
    // The operator's host misses that the other is back: it speaks and does not hear.
    let unheard = FaultKind::OneWay { from: Select::All, to: operators.clone() };
    scenario.fault = vec![
        fault(at, None, crash),
        fault(at + 8_000, None, force_leave(&stops)),
        fault(at + 12_000, Some(8_000), FaultKind::Pause { nodes: returns.clone() }),
        fault(at + 19_900, Some(1_700), unheard),
        fault(at + 21_500, None, force_leave(&returns)),
    ];
}

/// Those who never heard of each other meet because one of them was told to join another.
fn islands(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "two halves start apart, each with seeds of its own, and meet".into();
    // The last two of them are in the second half.
    scenario.seed_hosts = scenario.nodes / 2 + 2;
    let cut = FaultKind::Cut { left: Select::FirstHalf, right: Select::SecondHalf };
    scenario.fault = vec![fault(0, Some(rng.random_range(10_000..30_000)), cut)];
}

/// Those who come help those who follow.
fn mass_join(scenario: &mut Scenario, _rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "many start at once with one seed, and know each other soon".into();
    scenario.nodes = CROWD;
    scenario.duration = Span::seconds(10);
    scenario.start_within = Span::default();
    scenario.seed_hosts = 1;
    // Sessions take a while, and so the places of the seed are taken.
    scenario.link.latency =
        Some(LatencySpec::Uniform { min: Span::millis(20), max: Span::millis(30) });
    scenario.limits.join_within = Some(Span::millis(2_900));
}

/// Who is heard by nobody is told by some that it is down, and knows from that that it is alone.
fn unheard(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "nobody hears one host, which hears all, and learns that it is alone".into();
    scenario.limits.isolation_within = Span::seconds(10);
    let [host, _] = some(scenario.nodes, rng);
    let unheard = FaultKind::OneWay { from: host, to: Select::All };
    scenario.fault = vec![fault(rng.random_range(10_000..35_000), Some(20_000), unheard)];
}

/// Who is young compares its view soon again, when once was in vain.
fn young(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "a host that has just started hears no datagrams while another stops, and knows it soon after".into();
    // Who watches the other need not compare.
    scenario.nodes = MANY;
    scenario.duration = Span::seconds(MIN_SECONDS);
    scenario.limits.heal_within = Span::millis(1_750);
    // A change of the catalog would bring them together sooner.
    scenario.workload.writes_per_second = 0.0;
    let [young, stops] = some(scenario.nodes, rng);
    let crash = |nodes| FaultKind::Crash { nodes, storage: StorageSpec::Kept };
    let at = before_the_end(scenario, 3_700);
    // It is answered by stream, sees that views differ, and compares them by datagram.
    let blocked = FaultKind::UdpBlocked { left: young.clone(), right: Select::All };
    scenario.fault = vec![
        fault(at, Some(300), crash(young)),
        fault(at + 100, None, crash(stops)),
        fault(at + 1_500, None, blocked),
    ];
}

/// Who is known elsewhere is told so by those whom it asks: nobody else speaks to it.
fn unseen_copy(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "a data directory is copied while its host is cut off, and all take the copy for it".into();
    scenario.limits.duplicate_within = Span::seconds(2);
    let [original, copy] = some(scenario.nodes, rng);
    let at = rng.random_range(10_000..35_000);
    // So short that it does not begin anew, as who is alone does.
    let cut = FaultKind::Isolate { nodes: original.clone() };
    let copied = FaultKind::DuplicateId { from: original, to: copy };
    scenario.fault = vec![fault(at, Some(4_000), cut), fault(at + 1_000, Some(15_000), copied)];
}

/// So many milliseconds before all is healed, in milliseconds from the beginning.
fn before_the_end(scenario: &Scenario, millis: u64) -> u64 {
    scenario.duration.0.as_millis() as u64 - millis
}

fn fault(at: u64, lasts: Option<u64>, what: FaultKind) -> Fault {
    Fault { at: Span::millis(at), lasts: lasts.map(Span::millis), every: None, what }
}

/// So many different hosts.
fn some<const N: usize>(nodes: usize, rng: &mut Xoshiro256PlusPlus) -> [Select; N] {
    let mut hosts: Vec<usize> = (0..nodes).collect();
    let (drawn, _) = hosts.partial_shuffle(rng, N);
    std::array::from_fn(|at| drawn.get(at).map_or(Select::Random(1), |n| Select::Range(*n, n + 1)))
}
