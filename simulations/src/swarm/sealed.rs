//! Drills of sealed clusters, and what the swarm draws for them.

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use super::drills::{fault, some};
use super::size::Size;
use crate::scenario::{FalseDowns, Fault, FaultKind, Scenario, Select, Span, StorageSpec};
use crate::world::Seal;

/// A year, in seconds.
const YEAR: i64 = 365 * 86_400;

fn seal(scenario: &mut Scenario, about: &str) {
    scenario.about = about.into();
    scenario.seal = Seal::Fake;
    scenario.limits.false_downs = FalseDowns::Never;
}

/// Tests that what is recorded, changed or forged counts nowhere, also with keys that counted once.
pub(super) fn outsider(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    seal(
        scenario,
        "an outsider records all datagrams, replays, changes and forges them, and dials",
    );
    scenario.limits.rotate_within = Span::seconds(2);
    let [host, _] = some(scenario.nodes, rng);
    scenario.fault = vec![
        fault(3_000, None, FaultKind::Outsider { per_second: 50 }),
        // Early enough that the first generation is of no use any more before the end.
        fault(rng.random_range(6_000..9_000), None, FaultKind::Rotate { at: host }),
    ];
}

/// Tests that a member can neither order what only an operator may, nor speak for another.
pub(super) fn liar(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    seal(
        scenario,
        "a member hands over generations and revocations of its own, and lies about its name",
    );
    let at = rng.random_range(8_000..12_000);
    scenario.fault = vec![fault(at, None, FaultKind::Liar { per_second: 5 })];
}

/// Tests that a token limits what a host may serve.
pub(super) fn restricted(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    seal(scenario, "a host has a token that allows none of the services that its clients register");
    scenario.limits.false_downs = FalseDowns::Excused;
    // No seed, which would found the cluster anew.
    let host = rng.random_range(4..scenario.nodes);
    let restricted = FaultKind::Restricted { nodes: Select::Range(host, host + 1) };
    scenario.fault = vec![fault(rng.random_range(10_000..20_000), Some(20_000), restricted)];
}

/// Tests that a host that was revoked is out at once, and stays out.
pub(super) fn revocation(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    seal(scenario, "a host is revoked at another one, and tries to stay");
    scenario.limits.revoke_within = Span::seconds(1);
    scenario.limits.rotate_within = Span::seconds(2);
    let [at, nodes] = some(scenario.nodes, rng);
    let revoke = FaultKind::Revoke { at, nodes };
    scenario.fault = vec![fault(rng.random_range(10_000..40_000), None, revoke)];
}

/// Tests that two sides of a cut that rotated apart find one generation, and that both revocations count.
pub(super) fn apart(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    seal(scenario, "both sides of a cut rotate, and each revokes a host of its own");
    scenario.limits.false_downs = FalseDowns::Excused;
    let half = scenario.nodes / 2;
    let of = |n: usize| Select::Range(n, n + 1);
    let cut = FaultKind::Cut { left: Select::FirstHalf, right: Select::SecondHalf };
    let revoke = |at, nodes| FaultKind::Revoke { at: of(at), nodes: of(nodes) };
    let at = rng.random_range(10_000..15_000);
    scenario.fault = vec![
        fault(at, Some(35_000), cut),
        fault(at + 3_000, None, FaultKind::Rotate { at: of(1) }),
        fault(at + 5_000, None, FaultKind::Rotate { at: of(half) }),
        fault(at + 9_000, None, revoke(0, half - 1)),
        fault(at + 14_000, None, revoke(half, scenario.nodes - 1)),
    ];
}

/// Tests that a host finds back that was away while years passed and ten generations came and went, and that no clock keeps a
/// member out.
pub(super) fn years(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus) {
    seal(scenario, "a host is away for two years and ten rotations; clocks are ten years wrong");
    scenario.limits.false_downs = FalseDowns::Excused;
    scenario.retention = Some(Span::seconds(3));
    let [away, ahead, behind] = some(scenario.nodes, rng);
    let crash =
        |nodes: &Select| FaultKind::Crash { nodes: nodes.clone(), storage: StorageSpec::Kept };
    let jump =
        |nodes: &Select, years| FaultKind::WallJump { nodes: nodes.clone(), seconds: years * YEAR };
    scenario.fault = vec![
        fault(10_000, Some(40_000), crash(&away)),
        fault(12_000, None, jump(&Select::All, 2)),
        fault(13_000, None, jump(&ahead, 10)),
        fault(13_000, None, jump(&behind, -10)),
        fault(20_000, Some(1_000), crash(&ahead)),
        fault(25_000, Some(1_000), crash(&behind)),
    ];
    let rotations = (0..10)
        .map(|n| fault(14_000 + 3_000 * n, None, FaultKind::Rotate { at: Select::Random(1) }));
    scenario.fault.extend(rotations);
}

/// Sometimes seals the cluster of a seed, and adds what happens only there.
pub(super) fn sometimes(scenario: &mut Scenario, rng: &mut Xoshiro256PlusPlus, size: Size) {
    if !rng.random_bool(0.4) {
        return;
    }
    scenario.seal = Seal::Fake;
    let third_ms = 1_000 * size.seconds / 3;
    if rng.random_bool(0.5) {
        let outsider = FaultKind::Outsider { per_second: 20 };
        scenario.fault.push(fault(rng.random_range(0..third_ms), None, outsider));
    }
    if rng.random_bool(0.5) {
        let every = rng.random_bool(0.5).then(|| Span::millis(rng.random_range(2_000..third_ms)));
        let what = FaultKind::Rotate { at: Select::Random(1) };
        let at = Span::millis(rng.random_range(1_000..third_ms));
        scenario.fault.push(Fault { at, lasts: None, every, what });
    }
    if rng.random_bool(0.3) && size.nodes > 8 {
        // Never a seed: those that come later would find nobody.
        let host = rng.random_range(4..size.nodes);
        let nodes = Select::Range(host, host + 1);
        let lasts = rng.random_bool(0.5).then(|| rng.random_range(1_000..third_ms));
        let revoke = FaultKind::Revoke { at: Select::Random(1), nodes };
        scenario.fault.push(fault(rng.random_range(1_000..2 * third_ms), lasts, revoke));
    }
}
