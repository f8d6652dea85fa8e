//! Members that are gone: forced to leave, replaced, dropped from memory.

mod force_leave;
mod lives;
mod prune;

use std::path::Path;

use crate::agent::{Agent, eventually};

/// Three agents. The last has registered `web`, and the others have found it.
fn three_of_which_the_last_serves(home: &Path) -> (Agent, Agent, Agent) {
    let a1 = Agent::start(home, "a1", &[]);
    let a2 = Agent::start(home, "a2", &[&a1]);
    let a3 = Agent::start(home, "a3", &[&a1]);
    a3.ok(&["register", "web", "--port", "80"]);
    eventually("the others find it", || {
        [&a1, &a2].iter().all(|agent| agent.healthy("web") == ["web"])
    });
    (a1, a2, a3)
}
