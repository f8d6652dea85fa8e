//! The checkers can fail: each limit, set tighter than what is measured, makes its checker fire.

use std::time::Duration;

use hobnob_simulations::checkers::MeasuredLimit;
use hobnob_simulations::run::{Outcome, RunOptions, run};
use hobnob_simulations::scenario::{
    FalseDowns, Limit, LimitValue, Limits, Scenario, Span, builtin,
};
use hobnob_simulations::swarm::in_parallel;

const CRASH: &str = r#"
    nodes = 12
    duration = "50s"
    fault = [{ at = "36s", what = { crash = { nodes = "3" } } }]
"#;

const QUIET: &str = r#"
    nodes = 8
    duration = "21s"
"#;

const HALVES: &str = r#"
    nodes = 8
    duration = "30s"
    fault = [{ at = "10s", for = "60s", what = { cut = { left = "first half", right = "second half" } } }]
"#;

const ALONE: &str = r#"
    nodes = 8
    duration = "30s"
    fault = [{ at = "10s", for = "15s", what = { isolate = { nodes = "3" } } }]
"#;

/// Streams take longer than a second, so that nobody has joined when the checkers look first.
const SLOW_JOIN: &str = r#"
    nodes = 8
    duration = "20s"
    start_within = "0s"
    link = { latency = { min = "400ms", max = "500ms" } }
"#;

/// Half a second from host to host: verdicts of the cut arrive after it.
const SHORT_CUT: &str = r#"
    nodes = 8
    duration = "40s"
    link = { latency = { min = "400ms", max = "500ms" } }
    fault = [{ at = "10s", for = "4s", what = { cut = { left = "first half", right = "second half" } } }]
"#;

const COPY: &str = r#"
    nodes = 8
    duration = "30s"
    link = { latency = { min = "400ms", max = "500ms" } }
    fault = [{ at = "10s", for = "15s", what = { duplicate-id = { from = "3", to = "6" } } }]
"#;

const ROTATION: &str = r#"
    nodes = 8
    duration = "30s"
    seal = "fake"
    link = { latency = { min = "400ms", max = "500ms" } }
    fault = [{ at = "15s", what = { rotate = { at = "3" } } }]
"#;

const REVOCATION: &str = r#"
    nodes = 8
    duration = "30s"
    seal = "fake"
    link = { latency = { min = "400ms", max = "500ms" } }
    fault = [{ at = "15s", what = { revoke = { at = "3", nodes = "6" } } }]
"#;

/// A scenario that puts a limit to the test, and the checker that fires when the limit is too tight.
///
/// A new limit does not compile before it has an entry.
fn put_to_the_test(limit: Limit) -> (Scenario, &'static str) {
    let slow_links = "bytes_per_second = 400000";
    let (about, limits, checker) = match limit {
        Limit::HealWithin => (HALVES, "", "convergence"),
        Limit::DetectWithin => (CRASH, "", "detection"),
        Limit::FalseDowns => (HALVES, "", "false-down"),
        Limit::JoinWithin => (
            SLOW_JOIN,
            "bytes_per_second = 400000\nfalse_downs = \"allowed\"\njoin_within = \"15s\"",
            "joining",
        ),
        Limit::IsolationWithin => (ALONE, "", "isolation"),
        Limit::DuplicateWithin => (COPY, slow_links, "duplicates"),
        Limit::RotateWithin => (ROTATION, "", "generations"),
        Limit::RevokeWithin => (REVOCATION, "", "revocations"),
        Limit::Grace => (SHORT_CUT, slow_links, "false-down"),
        Limit::BytesPerSecond => (QUIET, "", "limits"),
    };
    (scenario(about, limits), checker)
}

fn scenario(about: &str, limits: &str) -> Scenario {
    let text =
        format!("name = \"limits\"\nabout = \"a limit is tightened\"\n{about}\n[limits]\n{limits}");
    Scenario::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn outcome(scenario: &Scenario) -> Outcome {
    run(scenario, 1, RunOptions::default())
}

/// The same scenario with another value of a limit.
fn with(scenario: &Scenario, limit: Limit, value: LimitValue) -> Scenario {
    let mut scenario = scenario.clone();
    let limits = &mut scenario.limits;
    match (limit, value) {
        (Limit::HealWithin, LimitValue::Time(time)) => limits.heal_within = Span(time),
        (Limit::DetectWithin, LimitValue::Time(time)) => limits.detect_within = Span(time),
        (Limit::JoinWithin, LimitValue::Time(time)) => limits.join_within = Some(Span(time)),
        (Limit::IsolationWithin, LimitValue::Time(time)) => limits.isolation_within = Span(time),
        (Limit::DuplicateWithin, LimitValue::Time(time)) => limits.duplicate_within = Span(time),
        (Limit::RotateWithin, LimitValue::Time(time)) => limits.rotate_within = Span(time),
        (Limit::RevokeWithin, LimitValue::Time(time)) => limits.revoke_within = Span(time),
        (Limit::Grace, LimitValue::Time(time)) => limits.grace = Span(time),
        (Limit::FalseDowns, LimitValue::FalseDowns(downs)) => limits.false_downs = downs,
        (Limit::BytesPerSecond, LimitValue::Rate(rate)) => limits.bytes_per_second = rate,
        (limit, value) => panic!("{limit:?} cannot be {value}"),
    }
    scenario
}

/// Hardly tighter than a value that was measured.
fn below(limit: Limit, measured: LimitValue) -> LimitValue {
    match (limit, measured) {
        // Healing is looked at four times a second.
        (Limit::HealWithin, LimitValue::Time(time)) => {
            LimitValue::Time(time - Duration::from_millis(250))
        }
        (_, LimitValue::Time(time)) => LimitValue::Time(time - Duration::from_millis(1)),
        (_, LimitValue::FalseDowns(FalseDowns::Allowed)) => {
            LimitValue::FalseDowns(FalseDowns::Excused)
        }
        (_, LimitValue::FalseDowns(_)) => LimitValue::FalseDowns(FalseDowns::Never),
        (_, LimitValue::Rate(rate)) => LimitValue::Rate(rate - 1),
    }
}

/// No tighter than a value that was measured.
fn kept(measured: LimitValue) -> LimitValue {
    match measured {
        // The checkers fire when the time is up.
        LimitValue::Time(time) => LimitValue::Time(time + Duration::from_millis(1)),
        value => value,
    }
}

#[test]
fn each_limit_is_kept_at_what_is_measured_and_its_checker_fires_below_that() {
    let all = Limits { join_within: Some(Span::seconds(1)), ..Limits::default() };
    let all: Vec<Limit> = all.values().map(|(limit, _)| limit).collect();
    let numbers: Vec<u64> = (0..all.len() as u64).collect();
    let check = |number: u64| {
        let limit = all[number as usize];
        let (scenario, checker) = put_to_the_test(limit);
        let loose = outcome(&scenario);
        assert!(loose.is_green(), "{limit:?}: {:?}", loose.failures);
        let find = |one: &&MeasuredLimit| one.name == limit;
        let found = loose.limits.iter().find(find).and_then(|one| one.measured);
        let measured = found.unwrap_or_else(|| panic!("{limit:?} is not measured"));
        let just_kept = outcome(&with(&scenario, limit, kept(measured)));
        assert!(just_kept.is_green(), "{limit:?} of {measured}: {:?}", just_kept.failures);
        let tightened = outcome(&with(&scenario, limit, below(limit, measured)));
        let mut fired: Vec<_> = tightened.failures.iter().map(|failure| failure.checker).collect();
        fired.dedup();
        assert_eq!(fired, [checker], "{limit:?} below {measured}");
    };
    in_parallel(&numbers, 2, check, |_, ()| ());
}

/// It crashes hosts while the excuse of those that have just started lasted once.
#[test]
fn the_shipped_scenario_crash_can_fail() {
    let mut scenario =
        builtin("crash").expect("it comes with the simulator").load().expect("it reads");
    scenario.limits.detect_within = Span::millis(100);
    let options = RunOptions { stop_at_failure: true, ..RunOptions::default() };
    let outcome = run(&scenario, scenario.seed, options);
    assert!(outcome.failures.iter().any(|failure| failure.checker == "detection"));
}

/// It was once looked at only after a quarter of a second.
#[test]
fn halves_do_not_heal_at_once() {
    let outcome = outcome(&scenario(HALVES, "heal_within = \"1ms\""));
    assert!(outcome.failures.iter().all(|failure| failure.checker == "convergence"));
    assert_eq!(outcome.failures.len(), 1);
}

#[test]
fn downs_of_live_agents_are_counted_with_their_excuses() {
    let outcome = outcome(&scenario(HALVES, ""));
    let excused: u64 = outcome.excused_downs.values().sum();
    assert!(outcome.is_green() && excused > 0);
    assert_eq!(excused, outcome.downs_of_live_agents, "{:?}", outcome.excused_downs);
}

/// A storm of registrations begins half a second before the last of the faults.
#[test]
fn bytes_are_counted_to_the_end_of_a_run() {
    let rate = |about: &str| {
        let outcome = outcome(&scenario(about, "bytes_per_second = 400000"));
        let find = |one: &&MeasuredLimit| one.name == Limit::BytesPerSecond;
        let found = outcome.limits.iter().find(find).and_then(|one| one.measured);
        let Some(LimitValue::Rate(rate)) = found else { panic!("{found:?}") };
        rate
    };
    let storm = format!("{QUIET}\nworkload = {{ storm_at = \"20500ms\", storm = 400 }}");
    assert!(rate(&storm) > 2 * rate(QUIET));
}
