//! Datacenters: scenarios, measurements, and the bugs that they find.

use std::time::Duration;

use hobnob_membership::record::{Key, Value};
use hobnob_membership::testing::web;
use hobnob_membership::{Event, view::MemberStatus};
use hobnob_simulations::bench::datacenters::{DatacentersEffort, PARTS};
use hobnob_simulations::network::{Conditions, Network};
use hobnob_simulations::run::{Outcome, RunOptions, run};
use hobnob_simulations::scenario::{Scenario, builtin};
use hobnob_simulations::world::{NodeEvent, Observer, World};

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

/// The agents that were held down.
struct Downs(Vec<NodeEvent>);

impl Observer for Downs {
    fn on_event(&mut self, _: &World, event: &NodeEvent) {
        let is_down = |event: &NodeEvent| match &event.kind {
            Event::Member(change) => change.member.status != MemberStatus::Alive,
            _ => false,
        };
        self.0.extend(Some(event).filter(|it| is_down(it)).cloned());
    }
}

/// Three datacenters of four hosts.
fn three_datacenters() -> World {
    let mut world = World::new(5, Network::new(12, Conditions::default()));
    world.seeds = vec![0, 4, 8];
    for host in 0..12 {
        world.add(["eu", "us", "ap"][host / 4], "");
    }
    world
}

/// Registers an instance at each agent.
fn register(world: &mut World) {
    for host in 0..12 {
        world.write(host, vec![(Key::Service("web".into()), Some(Value::Service(web().into())))]);
    }
}

#[test]
fn agents_that_begin_settled_know_what_agents_know_that_joined() {
    let (mut joined, mut settled) = (three_datacenters(), three_datacenters());
    (0..12).for_each(|host| joined.start(host));
    register(&mut joined);
    joined.run_for(Duration::from_secs(30));
    settled.start_settled(register);
    for host in 0..12 {
        let known = |world: &World| {
            let node = world.node(host).expect("it runs");
            let members = node.members().into_iter();
            let members: Vec<_> = members.map(|it| (it.identity.node_id, it.status)).collect();
            let instances = node.instances().map(|it| (it.origin, it.id.clone(), it.status));
            let instances: Vec<_> = instances.collect();
            (members, instances, node.catalog().digest(), node.catalog().record_bytes())
        };
        assert_eq!(known(&settled), known(&joined), "host {host}");
    }
    let mut downs = Downs(Vec::new());
    settled.run_to(settled.now() + Duration::from_secs(30), &mut downs);
    assert!(downs.0.is_empty(), "{:?}", downs.0);
    settled.write(3, vec![(Key::Service("web".into()), None)]);
    settled.run_for(Duration::from_secs(1));
    assert!(settled.running().all(|(_, node)| node.instances().count() == 11));
}

/// A scenario whose agents know each other from the start, without its faults.
const SETTLED: &str = r#"
name = "settled"
about = "Two datacenters that know each other from the start."
duration = "40s"
settled = true
datacenter = [{ name = "eu", nodes = 5 }, { name = "us", nodes = 5 }]
wan = { latency = { median = "40ms", sigma = 0.05 } }
[limits]
heal_within = "5s"
false_downs = "never"
"#;

#[test]
fn settled_agents_keep_all_promises_and_are_joined_by_those_that_come_back() {
    let faults = r#"
[[fault]]
at = "3s"
for = "6s"
what.crash = { nodes = "dc:us" }
[[fault]]
at = "20s"
for = "15s"
what.datacenter-cut = { name = "eu" }
"#;
    let scenario = Scenario::parse(&format!("{SETTLED}{faults}")).expect("it reads");
    let outcome = run(&scenario, 7, RunOptions::default());
    assert!(outcome.is_green(), "{:?}", outcome.failures);
    assert!(outcome.client_actions > 100, "{outcome:?}");
}

#[test]
fn a_settled_scenario_says_what_contradicts_it() {
    for late in ["start_within = \"2s\"", "seal = \"fake\""] {
        let text = SETTLED.replace("settled = true", &format!("settled = true\n{late}"));
        let error = Scenario::parse(&text).expect_err(late).to_string();
        assert!(error.contains("leave out `start_within`"), "{error}");
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
