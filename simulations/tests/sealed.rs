//! Sealed worlds: the fast cryptography stands for the real one, and the checkers of sealed clusters can fail.

use hobnob_simulations::run::{Outcome, RunOptions, run};
use hobnob_simulations::scenario::{Scenario, Span, builtin};
use hobnob_simulations::world::Seal;

const CALM: &str = r#"
    name = "calm"
    about = "a crash, a rotation and a revocation"
    nodes = 8
    duration = "40s"
    fault = [
        { at = "8s", what = { rotate = { at = "3" } } },
        { at = "14s", for = "5s", what = { crash = { nodes = "4" } } },
    ]
"#;

fn outcome(scenario: &str, seal: Seal) -> Outcome {
    let mut scenario = Scenario::parse(scenario).expect("it reads");
    scenario.seal = seal;
    run(&scenario, 3, RunOptions::default())
}

#[test]
fn the_fast_cryptography_sends_what_the_real_one_sends() {
    let [fake, real] = [Seal::Fake, Seal::Real].map(|seal| outcome(CALM, seal));
    assert!(fake.is_green() && real.is_green(), "{:?} {:?}", fake.failures, real.failures);
    assert_eq!(fake.deliveries, real.deliveries);
    assert_eq!(fake.bytes_per_second_per_node, real.bytes_per_second_per_node);
    let clear = outcome(CALM, Seal::None);
    assert_ne!(clear.bytes_per_second_per_node, fake.bytes_per_second_per_node);
}

#[test]
fn a_sealed_run_can_be_repeated() {
    let [one, other] = [(); 2].map(|()| outcome(CALM, Seal::Fake).trace_hash);
    assert_eq!(one, other);
}

#[test]
fn an_outsider_changes_nothing_and_a_revoked_host_stays_out() {
    for name in ["outsider", "revocation"] {
        let scenario = builtin(name).expect("it comes with the simulator").load();
        let mut scenario = scenario.expect("it reads");
        scenario.seal = Seal::Fake;
        let outcome = run(&scenario, scenario.seed, RunOptions::default());
        assert!(outcome.is_green(), "{name}: {:?}", outcome.failures);
    }
}

/// Streams take most of a second, so that members learn one after the other of the second CA key.
const SLOW_SUCCESSION: &str = r#"
    name = "slow succession"
    about = "the succession of a CA key where news of keys takes its time"
    nodes = 8
    duration = "30s"
    link = { latency = { min = "300ms", max = "400ms" } }
    fault = [{ at = "15s", what = { succession = { at = "3" } } }]
"#;

#[test]
fn a_member_that_does_not_trust_the_second_ca_key_in_time_is_reported() {
    let mut scenario = Scenario::parse(SLOW_SUCCESSION).expect("it reads");
    scenario.seal = Seal::Fake;
    let slow = run(&scenario, 3, RunOptions::default());
    assert!(slow.is_green(), "{:?}", slow.failures);
    scenario.limits.rotate_within = Span::millis(1);
    let late = run(&scenario, 3, RunOptions::default());
    assert!(!late.is_green());
    assert!(late.failures.iter().all(|failure| failure.checker == "authorities"), "{late:?}");
}
