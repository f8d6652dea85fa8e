//! A deregistered instance stays away, and an agent that leaves has left.

use rustix::process::Signal;

use crate::agent::{Agent, eventually};

#[test]
fn a_deregistered_instance_stays_gone_after_every_agent_has_restarted() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let a2 = Agent::start(home.path(), "a2", &[&a1]);
    let a3 = Agent::start(home.path(), "a3", &[&a1]);
    let mut agents = vec![a1, a2, a3];
    agents[0].ok(&["register", "web", "--id", "stays", "--port", "8001"]);
    agents[1].ok(&["register", "web", "--id", "goes", "--port", "8002"]);
    eventually("all find both", || {
        agents.iter().all(|agent| agent.healthy("web") == ["goes", "stays"])
    });
    agents[1].ok(&["deregister", "goes"]);
    let stays = [("stays".to_owned(), "healthy".to_owned())];
    eventually("it is gone", || agents.iter().all(|agent| agent.instances("web") == stays));

    for crashes in [false, true] {
        for _ in 0..agents.len() {
            let mut agent = agents.remove(0);
            if crashes {
                agent.kill();
            } else {
                agent.terminate();
            }
            agents.push(agent.restart());
            eventually("the restarted agent is back", || {
                agents.iter().all(|agent| agent.alive() == 3)
            });
            eventually("all agree", || {
                agents.iter().all(|agent| agent.healthy("web") == ["stays"])
            });
            for agent in &agents {
                assert_eq!(agent.instances("web"), stays, "on {}", agent.name);
            }
        }
    }
}

#[test]
fn a_leaving_agent_has_left_and_is_not_down() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let mut a2 = Agent::start(home.path(), "a2", &[&a1]);
    let mut a3 = Agent::start(home.path(), "a3", &[&a1]);
    a2.ok(&["register", "web", "--id", "web-2", "--port", "8002"]);
    a3.ok(&["register", "web", "--id", "web-3", "--port", "8003"]);
    eventually("all are there", || a1.healthy("web").len() == 2 && a1.alive() == 3);
    a2.ok(&["leave"]);
    a2.expect_end();
    eventually("it has left", || a1.status_of("a2").as_deref() == Some("left"));
    assert_eq!(a1.instances("web"), [("web-3".to_owned(), "healthy".to_owned())]);
    // As GNU `timeout` does it: its child, then its group.
    a3.signal(Signal::TERM);
    a3.signal(Signal::INT);
    a3.expect_end();
    eventually("so has the one that was terminated", || {
        a1.status_of("a3").as_deref() == Some("left")
    });
    assert_eq!(a1.instances("web"), []);
    let a2 = a2.restart();
    eventually("it can come back", || a1.alive() == 2 && a1.healthy("web") == ["web-2"]);
    drop(a2);
}
