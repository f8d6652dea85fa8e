//! `hobnob datacenters isolate` and `rejoin`, on loopback.

use serde_json::Value;

use crate::agent::{ANY_PORT, Agent, eventually, items, text};

/// Two agents of `eu` and one of `us`.
fn agents(home: &std::path::Path) -> [Agent; 3] {
    let datacenter = |name: &str| format!("--datacenter={name}");
    let eu1 = Agent::start_with(home, "eu1", ANY_PORT, &[datacenter("eu")]);
    let join = [datacenter("eu"), format!("--join={}", eu1.bind())];
    let eu2 = Agent::start_with(home, "eu2", ANY_PORT, &join);
    let wan = [datacenter("us"), format!("--join-wan={}", eu1.bind())];
    let us1 = Agent::start_with(home, "us1", ANY_PORT, &wan);
    [eu1, eu2, us1]
}

fn other(agent: &Agent) -> Value {
    let list = agent.json(&["datacenters"]);
    items(&list["datacenters"]).get(1).cloned().unwrap_or_default()
}

#[test]
fn an_isolated_datacenter_is_shown_and_nothing_crosses_until_it_rejoins() {
    let home = tempfile::tempdir().unwrap();
    let agents = agents(home.path());
    let [eu1, eu2, us1] = &agents;
    let alive = |agent: &Agent, name| agent.status_of(name).as_deref() == Some("alive");
    eventually("all have the records of all", || {
        agents.iter().all(|agent| ["eu1", "eu2", "us1"].iter().all(|name| alive(agent, name)))
    });
    assert_eq!(other(eu2)["status"], "reachable");
    let refused = eu1.run(&["datacenters", "isolate", "us", "--forget"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("`us` is in reach"));

    let done = eu1.json(&["datacenters", "isolate", "us"]);
    assert_eq!((&done["datacenter_isolated"], &done["changed"]), (&true.into(), &true.into()));
    eventually("both agents of eu show it", || {
        [eu1, eu2].iter().all(|agent| other(agent)["status"] == "isolated")
    });
    assert_eq!(eu2.status_of("us1").as_deref(), Some("unreachable"));
    let again = eu2.json(&["datacenters", "isolate", "us"]);
    assert_eq!(again["changed"], false);
    for (agent, id) in [(eu1, "of-eu"), (us1, "of-us")] {
        agent.ok(&["register", "web", "--port", "80", "--id", id]);
    }
    eventually("us finds eu out of reach", || other(us1)["status"] == "out_of_reach");
    assert_eq!(eu2.healthy("web"), ["of-eu"]);
    assert_eq!(us1.healthy("web"), ["of-us"]);
    for agent in [eu1, eu2] {
        assert_eq!(agent.logged("an operator isolated a datacenter").len(), 1);
        assert!(agent.logged("by=\"eu1\"").len() + agent.logged("by=eu1").len() == 1);
        assert!(!agent.has_logged("is out of reach"));
    }

    eu2.ok(&["datacenters", "rejoin", "us"]);
    eventually("all have all", || {
        agents.iter().all(|agent| agent.healthy("web") == ["of-eu", "of-us"])
    });
    assert_eq!(text(&other(eu1), "status"), "reachable");

    eu1.ok(&["datacenters", "isolate", "us"]);
    let forgotten = eu1.json(&["datacenters", "isolate", "us", "--forget"]);
    assert_eq!(
        (&forgotten["datacenter_isolated"], &forgotten["changed"]),
        (&true.into(), &true.into())
    );
    eventually("both agents of eu know us no more", || {
        [eu1, eu2].iter().all(|agent| {
            agent.status_of("us1").is_none()
                && items(&agent.json(&["datacenters"])["datacenters"]).len() == 1
        })
    });
    assert_eq!(
        eu2.json(&["resolve", "web", "--all"])["instances"].as_array().map(Vec::len),
        Some(1)
    );
    eu2.ok(&["datacenters", "rejoin", "us"]);
    eventually("us is back", || eu2.healthy("web") == ["of-eu", "of-us"]);
}

#[test]
fn an_unknown_datacenter_and_the_own_one_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let eu = Agent::start_with(home.path(), "eu1", ANY_PORT, &["--datacenter=eu".to_owned()]);
    for (name, code, told) in
        [("mars", 3, "knows no datacenter `mars`"), ("eu", 2, "this agent itself")]
    {
        let output = eu.run(&["datacenters", "isolate", name]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.contains(told), "{error}");
    }
}
