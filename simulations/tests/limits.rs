//! The checkers can fail: each limit, set tighter than what is measured, makes its checker fire.

use hobnob_simulations::run::{RunOptions, run};
use hobnob_simulations::scenario::{Scenario, builtin};

/// The names of the checkers that find something in a scenario with these limits.
fn fired(about: &str, limits: &str) -> Vec<&'static str> {
    let text =
        format!("name = \"limits\"\nabout = \"a limit is tightened\"\n{about}\n[limits]\n{limits}");
    let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let outcome = run(&scenario, 1, RunOptions::default());
    let mut names: Vec<_> = outcome.failures.iter().map(|failure| failure.checker).collect();
    names.dedup();
    names
}

const CRASH: &str = r#"
    nodes = 12
    duration = "50s"
    fault = [{ at = "36s", what = { crash = { nodes = "3" } } }]
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

#[test]
fn a_crash_is_known_in_time_and_not_much_sooner() {
    assert!(fired(CRASH, r#"detect_within = "3s""#).is_empty());
    assert_eq!(fired(CRASH, r#"detect_within = "1500ms""#), ["detection"]);
}

/// It crashes hosts while the excuse of those that have just started lasted once.
#[test]
fn the_shipped_scenario_crash_can_fail() {
    let mut scenario =
        builtin("crash").expect("it comes with the simulator").load().expect("it reads");
    scenario.limits.detect_within.0 = std::time::Duration::from_millis(100);
    let outcome = run(&scenario, scenario.seed, RunOptions::default());
    assert!(outcome.failures.iter().any(|failure| failure.checker == "detection"));
}

#[test]
fn halves_heal_in_time_and_not_at_once() {
    assert!(fired(HALVES, r#"heal_within = "10s""#).is_empty());
    assert_eq!(fired(HALVES, r#"heal_within = "1ms""#), ["convergence"]);
}

#[test]
fn downs_of_live_agents_are_found_where_nothing_excuses_them() {
    assert!(fired(HALVES, r#"false_downs = "excused""#).is_empty());
    assert_eq!(fired(HALVES, r#"false_downs = "never""#), ["false-down"]);
}

#[test]
fn downs_of_live_agents_are_counted_with_their_excuses() {
    let text = format!("name = \"halves\"\nabout = \"two halves are cut apart\"\n{HALVES}");
    let outcome = run(&Scenario::parse(&text).expect("it reads"), 1, RunOptions::default());
    let excused: u64 = outcome.excused_downs.values().sum();
    assert!(outcome.is_green() && excused > 0);
    assert_eq!(excused, outcome.downs_of_live_agents, "{:?}", outcome.excused_downs);
}

#[test]
fn an_isolated_host_knows_it_in_time_and_not_at_once() {
    assert!(fired(ALONE, r#"isolation_within = "9s""#).is_empty());
    assert_eq!(fired(ALONE, r#"isolation_within = "2s""#), ["isolation"]);
}

#[test]
fn hosts_join_in_time_and_not_at_once() {
    let bytes = "bytes_per_second = 400000\nfalse_downs = \"allowed\"";
    assert!(fired(SLOW_JOIN, &format!("{bytes}\njoin_within = \"15s\"")).is_empty());
    assert_eq!(fired(SLOW_JOIN, &format!("{bytes}\njoin_within = \"1ms\"")), ["joining"]);
}

#[test]
fn a_fault_excuses_for_its_grace_and_no_longer() {
    assert!(fired(SHORT_CUT, "bytes_per_second = 400000\ngrace = \"20s\"").is_empty());
    let without = fired(SHORT_CUT, "bytes_per_second = 400000\ngrace = \"0s\"");
    assert_eq!(without, ["false-down"]);
}

#[test]
fn one_of_two_copies_is_silent_in_time_and_not_at_once() {
    let bytes = "bytes_per_second = 400000";
    assert!(fired(COPY, &format!("{bytes}\nduplicate_within = \"10s\"")).is_empty());
    assert_eq!(fired(COPY, &format!("{bytes}\nduplicate_within = \"1ms\"")), ["duplicates"]);
}

#[test]
fn bytes_are_counted() {
    assert!(fired(CRASH, "bytes_per_second = 100000").is_empty());
    assert_eq!(fired(CRASH, "bytes_per_second = 100"), ["limits"]);
}
