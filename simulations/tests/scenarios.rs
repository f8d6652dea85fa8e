//! Scenarios and seeds of the swarm: green, repeatable, and pinned where they once were not.

use hobnob_simulations::run::{RunOptions, run};
use hobnob_simulations::scenario::{Scenario, builtin, builtins};
use hobnob_simulations::swarm::{Size, run_seed};

/// Small enough for a debug build.
const SMALL: Size = Size { nodes: 8, seconds: 30 };

fn small(name: &str) -> Scenario {
    let scenario = builtin(name).expect("it comes with the simulator").load().expect("it reads");
    if scenario.nodes > 12 { scenario.with_nodes(12) } else { scenario }
}

#[test]
fn there_are_at_least_twenty_scenarios() {
    assert!(builtins().len() >= 20);
}

#[test]
fn partitions_of_every_shape_heal() {
    for name in ["half-half", "one-way", "bridge", "broken-link", "majority-ring", "isolated-node"]
    {
        let scenario = small(name);
        let outcome = run(&scenario, scenario.seed, RunOptions::default());
        assert!(outcome.is_green(), "{name}: {:?}", outcome.failures);
    }
}

/// Two groups of ten do not see each other, and one host sees all: 200 observer pairs lose each other once.
#[test]
fn over_a_bridge_members_do_not_go_down_and_up_again_for_ever() {
    let scenario =
        builtin("bridge").expect("it comes with the simulator").load().expect("it reads");
    let outcome = run(&scenario, scenario.seed, RunOptions::default());
    assert!(outcome.is_green(), "{:?}", outcome.failures);
    let downs = outcome.downs_of_live_agents;
    assert!((200..600).contains(&downs), "{downs} downs");
}

#[test]
fn deleted_records_stay_deleted_over_a_partition_that_outlasts_their_tombstones() {
    let scenario = small("gc-partition");
    let outcome = run(&scenario, scenario.seed, RunOptions::default());
    assert!(outcome.is_green(), "{:?}", outcome.failures);
}

#[test]
fn whatever_becomes_of_a_disk_promises_are_kept() {
    for name in ["lost-storage", "rolled-back-storage", "torn-writes", "disk-full"] {
        let scenario = small(name);
        let outcome = run(&scenario, scenario.seed, RunOptions::default());
        assert!(outcome.is_green(), "{name}: {:?}", outcome.failures);
    }
}

#[test]
fn the_swarm_is_green_at_small_size() {
    for seed in 0..6 {
        let outcome = run_seed(seed, SMALL);
        assert!(outcome.is_green(), "seed {seed}: {:?}", outcome.failures);
    }
}

#[test]
fn one_seed_gives_one_trace_in_every_build() {
    let outcome = run_seed(4, SMALL);
    assert_eq!(outcome.trace_hash, run_seed(4, SMALL).trace_hash);
    assert_ne!(outcome.trace_hash, run_seed(5, SMALL).trace_hash);
}
