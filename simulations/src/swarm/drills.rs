//! Drills: one stress on a calm network, under limits as tight as the protocol can keep.
//!
//! When several faults coincide, much is excused, and one mechanism repairs what another misses. A drill tests one
//! mechanism alone, and gives it no more time than it needs.

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::size::Size;
use super::{datacenters, sealed};
use crate::scenario::{
    FalseDowns, Fault, FaultKind, LatencySpec, Limits, LinkSpec, Scenario, Select, Span,
    StorageSpec,
};

/// One seed in this many is a drill.
const EVERY: u64 = 5;
/// Smaller clusters have too few referees.
const MIN_NODES: usize = 8;
/// So many start at once that the seed has too few session slots for all.
const CROWD: usize = 150;
/// In a cluster of this size, two random hosts hardly ever monitor each other.
const MANY: usize = 100;
/// A cluster in which each host watches all others.
const FEW: usize = 5;
/// By this time members have proven to be prompt, and time is left for the drill.
const MIN_SECONDS: u64 = 60;

/// The drills, in turn.
const DRILLS: [fn(&mut Scenario, &mut Xoshiro256PlusPlus); 28] = [
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
    mass_death,
    deaf,
    kill,
    firewall,
    planned,
    offline,
    sealed::outsider,
    sealed::liar,
    sealed::revocation,
    sealed::apart,
    sealed::years,
    sealed::restricted,
    datacenters::cut,
    datacenters::deaf_gateway,
    datacenters::restarts,
];

/// Whether a seed is a drill, in a cluster that is large enough.
pub(super) fn is_drill(seed: u64) -> bool {
    seed % EVERY == EVERY - 1
}

/// The drill of a seed, if the seed is one.
pub(super) fn drill(seed: u64, size: Size) -> Option<Scenario> {
    if !is_drill(seed) || size.nodes < MIN_NODES {
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

/// Tests that a verdict spreads at once.
fn crash(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "one host crashes, and all know it three seconds later".into();
    scenario.limits.detect_within = Span::seconds(3);
    scenario.limits.false_downs = FalseDowns::Never;
    let [host, _] = some(scenario.nodes, rng);
    let crash = FaultKind::Crash { nodes: host, storage: StorageSpec::Kept };
    scenario.fault = vec![fault(rng.random_range(34_000..50_000), None, crash)];
}

/// Tests that a host that does not hear a member learns from others that it lives.
fn deaf_monitors(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "two hosts do not hear a third; all others hear it".into();
    scenario.limits.false_downs = FalseDowns::Never;
    let [host, _] = some(scenario.nodes, rng);
    let cut = FaultKind::Cut { left: Select::Random(2), right: host };
    scenario.fault = vec![fault(rng.random_range(10_000..35_000), Some(20_000), cut)];
}

/// Tests that a paused host gets time, and a host that has paused before gets more.
fn slow(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "a prompt host pauses, and later pauses for longer; no host may declare it down".into();
    scenario.limits.false_downs = FalseDowns::Never;
    let [host, _] = some(scenario.nodes, rng);
    let mut pause = |from: u64, lasts: std::ops::Range<u64>| {
        let at = rng.random_range(from..from + 5_000);
        fault(at, Some(rng.random_range(lasts)), FaultKind::Pause { nodes: host.clone() })
    };
    scenario.fault = vec![pause(32_000, 2_300..3_400), pause(41_000, 5_600..6_600)];
}

/// Tests that a host that missed a verdict learns it from members with a different view.
fn missed_verdict(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "a host crashes while another hears no datagrams, which must learn of the crash later"
            .into();
    scenario.limits.detect_within = Span::seconds(8);
    // Catalog changes would bring them together sooner.
    scenario.workload.writes_per_second = 0.0;
    let [deaf, stops] = some(scenario.nodes, rng);
    let blocked = FaultKind::UdpBlocked { left: deaf, right: Select::All };
    let crash = FaultKind::Crash { nodes: stops, storage: StorageSpec::Kept };
    let at = rng.random_range(22_000..26_000);
    // Hardly longer than the verdict takes: a host that notices that its datagrams are blocked compares views each
    // second.
    scenario.fault = vec![fault(at, None, crash), fault(at + 500, Some(4_000), blocked)];
}

/// Tests that the last writes of a dying host become the same everywhere: some were lost for good, and one host missed
/// all of them.
fn last_words(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "a host writes, hears nothing, is hardly heard, and crashes; another host misses all of that"
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

/// Tests that a host whose new epoch is below its previous one learns that from others.
fn old_image(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "a host restarts with a clock that is ahead, then from an older image with a clock that is behind"
            .into();
    scenario.workload.writes_per_second = 1.5 * scenario.nodes as f64;
    let [host, _] = some(scenario.nodes, rng);
    let crash = |storage| FaultKind::Crash { nodes: host.clone(), storage };
    // Late enough that the image hardly ever dates from after the first restart, and that no later write hides the
    // loss.
    let at = before_the_end(scenario, rng.random_range(5_000..7_000));
    scenario.fault = vec![
        fault(at - 1_000, None, FaultKind::WallJump { nodes: host.clone(), seconds: 3_600 }),
        fault(at, Some(300), crash(StorageSpec::Kept)),
        fault(at + 2_000, Some(300), crash(StorageSpec::RolledBack)),
    ];
}

/// Tests that a host whose records were dropped while it was away has all of them again after its return.
fn long_absence(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "a host is cut off until half of the others have dropped its records".into();
    scenario.retention = Some(Span::seconds(3));
    // Its new writes would be asked for.
    scenario.workload.writes_per_second = 0.0;
    let [host, _] = some(scenario.nodes, rng);
    let cut = FaultKind::Isolate { nodes: host };
    scenario.fault = vec![fault(rng.random_range(10_000..30_000), Some(15_000), cut)];
}

/// Tests that force-leaving a dead host works everywhere, and that force-leaving a live one does not.
fn force_leaves(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "an operator force-leaves a dead host, and one that has just come back".into();
    // A write would take the second host beyond what its origin tombstone stands for.
    scenario.workload.writes_per_second = 0.0;
    let [operators, returns, stops] = some(scenario.nodes, rng);
    let force_leave =
        |host: &Select| FaultKind::ForceLeave { at: operators.clone(), nodes: host.clone() };
    let crash = FaultKind::Crash { nodes: stops.clone(), storage: StorageSpec::Kept };
    let at = rng.random_range(10_000..30_000);
    // The operator's host misses the return: it is heard, and does not hear.
    let unheard = FaultKind::OneWay { from: Select::All, to: operators.clone() };
    scenario.fault = vec![
        fault(at, None, crash),
        fault(at + 8_000, None, force_leave(&stops)),
        fault(at + 12_000, Some(8_000), FaultKind::Pause { nodes: returns.clone() }),
        fault(at + 19_900, Some(1_700), unheard),
        fault(at + 21_500, None, force_leave(&returns)),
    ];
}

/// Tests that two clusters that never heard of each other meet, because one member was told to join the other.
fn islands(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "two halves start apart, each with its own seeds, and meet".into();
    // The last two seeds are in the second half.
    scenario.seed_hosts = scenario.nodes / 2 + 2;
    let cut = FaultKind::Cut { left: Select::FirstHalf, right: Select::SecondHalf };
    scenario.fault = vec![fault(0, Some(rng.random_range(10_000..30_000)), cut)];
}

/// Tests that newcomers help those that come after them.
fn mass_join(scenario: &mut Scenario, _rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "many hosts start at once with one seed, and soon know each other".into();
    scenario.nodes = CROWD;
    scenario.duration = Span::seconds(10);
    scenario.start_within = Span::default();
    scenario.seed_hosts = 1;
    // Sessions take a while, so that the session slots of the seed are taken.
    scenario.link.latency =
        Some(LatencySpec::Uniform { min: Span::millis(20), max: Span::millis(30) });
    scenario.limits.join_within = Some(Span::millis(2_900));
}

/// Tests that a host that no other hears learns from their verdicts that it is isolated.
fn unheard(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "no other host hears one that hears all; it must learn that it is isolated".into();
    scenario.limits.isolation_within = Span::seconds(10);
    let [host, _] = some(scenario.nodes, rng);
    let unheard = FaultKind::OneWay { from: host, to: Select::All };
    scenario.fault = vec![fault(rng.random_range(10_000..35_000), Some(20_000), unheard)];
}

/// Tests that a young node soon compares views again after a comparison failed.
fn young(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "a host that has just started hears no datagrams while another crashes, and must learn it soon".into();
    // A monitor of the other host need not compare views.
    scenario.nodes = MANY;
    scenario.duration = Span::seconds(MIN_SECONDS);
    scenario.limits.heal_within = Span::millis(1_750);
    // Catalog changes would bring them together sooner.
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

/// Tests that the original learns of its copy from the members that it asks: no other member speaks to it.
fn unseen_copy(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "a data directory is copied while its host is cut off, and all others take the copy for the original".into();
    scenario.limits.duplicate_within = Span::seconds(2);
    let [original, copy] = some(scenario.nodes, rng);
    let at = rng.random_range(10_000..35_000);
    // Short enough that the original does not start a new epoch, as an isolated node does.
    let cut = FaultKind::Isolate { nodes: original.clone() };
    let copied = FaultKind::DuplicateId { from: original, to: copy };
    scenario.fault = vec![fault(at, Some(4_000), cut), fault(at + 1_000, Some(15_000), copied)];
}

/// Tests that the last two hosts do not wait for the votes of the dead, and do not look for them five at a time.
fn mass_death(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "all hosts but two crash at once, and the two know it eight seconds later".into();
    scenario.nodes = MANY;
    scenario.duration = Span::seconds(MIN_SECONDS);
    scenario.limits.detect_within = Span::seconds(6);
    scenario.limits.false_downs = FalseDowns::Never;
    let nodes = Select::Random(scenario.nodes - 2);
    let crash = FaultKind::Crash { nodes, storage: StorageSpec::Kept };
    scenario.fault = vec![fault(rng.random_range(34_000..40_000), None, crash)];
}

/// Tests that a host that hears next to nothing gets no other host declared down.
fn deaf(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "one host reads a datagram a second; no other host may be declared down".into();
    let [host, _] = some(scenario.nodes, rng);
    let deaf = FaultKind::SlowReceive { nodes: host, per_second: 1 };
    scenario.fault = vec![fault(rng.random_range(10_000..30_000), Some(20_000), deaf)];
}

/// Tests that the end of a process is known at once, although the dying process still accepts connections.
fn kill(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "the process of one host is killed, and all know it 300 ms later".into();
    scenario.limits.detect_within = Span::millis(300);
    scenario.limits.false_downs = FalseDowns::Never;
    let [host, _] = some(scenario.nodes, rng);
    let kill = FaultKind::Kill { nodes: host, dying: Span::millis(20) };
    scenario.fault = vec![fault(rng.random_range(34_000..50_000), None, kill)];
}

/// Tests that connections that are reset, and silence after that, are no sign that a process exited.
fn firewall(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about =
        "a firewall resets all connections of a host, and drops everything for a second".into();
    scenario.limits.false_downs = FalseDowns::Never;
    let [host, _] = some(scenario.nodes, rng);
    let at = rng.random_range(34_000..45_000);
    scenario.fault = vec![
        fault(at, Some(1_000), FaultKind::Isolate { nodes: host.clone() }),
        fault(at + 1, None, FaultKind::ResetConnections { nodes: host }),
    ];
}

/// Tests that a planned restart hides nothing.
fn planned(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "a host says goodbye and is back at once; nobody takes it for dead".into();
    let [host, _] = some(scenario.nodes, rng);
    let lasts = rng.random_range(150..600);
    let restart = FaultKind::Restart { nodes: host };
    scenario.fault = vec![fault(rng.random_range(34_000..45_000), Some(lasts), restart)];
}

/// Tests that a host that loses its interface does not take all others for dead.
fn offline(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    scenario.about = "one of few hosts loses its connections and its interface for a second".into();
    scenario.nodes = FEW;
    scenario.limits.false_downs = FalseDowns::Never;
    let [host, _] = some(scenario.nodes, rng);
    let at = rng.random_range(34_000..45_000);
    scenario.fault = vec![
        fault(at, Some(1_000), FaultKind::InterfaceDown { nodes: host.clone() }),
        fault(at + 1, None, FaultKind::ResetConnections { nodes: host }),
    ];
}

/// The time that is `millis` milliseconds before the heal, in milliseconds from the start.
fn before_the_end(scenario: &Scenario, millis: u64) -> u64 {
    scenario.duration.0.as_millis() as u64 - millis
}

pub(super) fn fault(at: u64, lasts: Option<u64>, what: FaultKind) -> Fault {
    Fault { at: Span::millis(at), lasts: lasts.map(Span::millis), every: None, what }
}

/// Draws `N` different hosts.
pub(super) fn some<const N: usize>(nodes: usize, rng: &mut Xoshiro256PlusPlus) -> [Select; N] {
    let mut hosts: Vec<usize> = (0..nodes).collect();
    let (drawn, _) = hosts.partial_shuffle(rng, N);
    std::array::from_fn(|at| drawn.get(at).map_or(Select::Random(1), |n| Select::Range(*n, n + 1)))
}
