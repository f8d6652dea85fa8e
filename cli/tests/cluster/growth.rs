//! Many agents at once.

use crate::agent::{Agent, eventually};

#[test]
fn twenty_agents_join_through_one_seed_at_once() {
    const AGENTS: usize = 20;
    let home = tempfile::tempdir().unwrap();
    let seed = Agent::start(home.path(), "a0", &[]);
    let names: Vec<String> = (1..AGENTS).map(|number| format!("a{number}")).collect();
    let agents: Vec<Agent> = std::thread::scope(|scope| {
        let starting: Vec<_> = names
            .iter()
            .map(|name| scope.spawn(|| Agent::start(home.path(), name, &[&seed])))
            .collect();
        starting.into_iter().map(|agent| agent.join().unwrap()).collect()
    });
    eventually("everybody sees 20 alive", || {
        seed.alive() == AGENTS && agents.iter().all(|agent| agent.alive() == AGENTS)
    });
}
