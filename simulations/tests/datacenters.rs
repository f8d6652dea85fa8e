//! Datacenters: scenarios, measurements, and the bugs that they find.

use hobnob_simulations::bench::datacenters::{DatacentersEffort, PARTS};
use hobnob_simulations::run::{Outcome, RunOptions, run};
use hobnob_simulations::scenario::builtin;

fn outcome(name: &str) -> Outcome {
    let scenario = builtin(name).expect("it comes with the simulator").load().expect("it reads");
    run(&scenario, scenario.seed, RunOptions { stop_at_failure: true, ..RunOptions::default() })
}

/// Those in which known bugs are looked for below. The command `smoke` runs all that come with the simulator, optimised and twice.
const SCENARIOS: [&str; 3] = ["datacenter-cut", "gateways-cut", "late-datacenter"];

#[test]
fn datacenters_keep_their_promises() {
    for name in SCENARIOS {
        let outcome = outcome(name);
        assert!(outcome.is_green(), "{name}: {:?}", outcome.failures);
    }
}

#[test]
fn small_datacenters_meet_the_goals() {
    // In so small a datacenter, three agents that died are a large part of those that may receive a copy.
    let others = ["gateways", "rest", "churn", "loud"];
    for part in PARTS.iter().filter(|part| !others.contains(&part.name)) {
        let rows = part.measure(&DatacentersEffort::small(), &mut |_| {});
        let missed: Vec<_> = rows.iter().filter(|row| row.is_met() == Some(false)).collect();
        assert!(missed.is_empty(), "{}: {missed:?}", part.name);
    }
}

#[cfg(feature = "mutants")]
mod bugs {
    use super::outcome;
    use hobnob_membership::Mutant;
    use hobnob_simulations::run::{Outcome, RunOptions, run};
    use hobnob_simulations::scenario::builtin;
    use hobnob_simulations::swarm::Size;
    use hobnob_simulations::swarm::mutants::hunt;

    /// The outcome of a scenario that goes on after the first failure.
    fn to_the_end(name: &str) -> Outcome {
        let scenario =
            builtin(name).expect("it comes with the simulator").load().expect("it reads");
        run(&scenario, scenario.seed, RunOptions::default())
    }

    #[test]
    fn bugs_of_datacenters_are_found_by_scenarios() {
        for (mutant, scenario, checker) in [
            (Mutant::MixDatacenters, "late-datacenter", "convergence"),
            (Mutant::UnreachableIsDown, "datacenter-cut", "home-verdicts"),
            (Mutant::OneGatewayDecides, "gateways-cut", "reach"),
            (Mutant::LoopWanRumors, "late-datacenter", "limits"),
            (Mutant::ScopeCrosses, "scoped-instances", "scopes"),
            (Mutant::UnreachableIsDown, "datacenter-power", "losses"),
        ] {
            Mutant::activate(Some(mutant));
            let outcome =
                if checker == "losses" { to_the_end(scenario) } else { outcome(scenario) };
            Mutant::activate(None);
            let found: Vec<&str> = outcome.failures.iter().map(|it| it.checker).collect();
            assert!(found.contains(&checker), "{mutant:?} is found by {found:?}");
        }
    }

    #[test]
    fn bugs_of_gateways_are_found_by_measurements() {
        for mutant in [
            Mutant::BudgetDrops,
            Mutant::AnyGatewayOpens,
            Mutant::BreakerDrops,
            Mutant::NoRateLimit,
        ] {
            let caught = hunt(mutant, 1, Size::default());
            assert!(caught.failure.is_some(), "{mutant:?} escaped");
        }
    }
}
