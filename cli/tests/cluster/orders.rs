//! Orders of operators in sealed clusters of real agents.

use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::agent::{ANY_PORT, Agent, eventually, items, text};
use crate::sealed::{Operator, failed, joining, sealed};

/// A cluster of some agents, and the file of a credential.
struct Cluster {
    operator: Operator,
    agents: Vec<Agent>,
    credential: PathBuf,
}

impl Cluster {
    /// Founds a cluster of agents without the role operator.
    fn of(count: usize) -> Self {
        let (operator, token) = Operator::found("prod", None);
        let mut agents: Vec<Agent> = Vec::new();
        for n in 1..=count {
            let join = agents.first().map(joining).unwrap_or_default();
            agents.push(operator.start(&format!("a{n}"), ANY_PORT, &token, &join));
        }
        eventually("all are members", || agents.iter().all(|agent| agent.alive() == count));
        // An agent that is killed before it has written down its peers and its keys starts as if it had never joined.
        let holds = |agent: &Agent, file: &str, text: &str| {
            let file = operator.home().join(&agent.name).join(file);
            std::fs::read_to_string(file).is_ok_and(|content| content.contains(text))
        };
        eventually("all have written down their peers and keys", || {
            agents.iter().all(|agent| {
                holds(agent, "peers.json", "127.0.0.1") && holds(agent, "keys.json", "in_use")
            })
        });
        let credential = operator.file("credential", &operator.token(&["--role", "operator"]));
        Self { operator, agents, credential }
    }

    /// Runs a command at an agent, signed with the credential.
    fn order(&self, at: usize, args: &[&str]) -> Output {
        let credential = self.credential.display().to_string();
        self.agents[at].run(&[args, &["--credential", &credential]].concat())
    }

    fn ordered(&self, at: usize, args: &[&str]) -> Value {
        let output = self.order(at, &[args, &["--json"]].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn keys(agent: &Agent) -> Value {
    agent.json(&["keys", "status"])
}

fn generation(agent: &Agent) -> Value {
    sealed(agent)["generation"].take()
}

#[test]
fn an_operator_rotates_and_whoever_was_away_gets_the_generation_later() {
    let mut cluster = Cluster::of(3);
    let unsigned = cluster.agents[0].run(&["keys", "rotate"]);
    failed(&unsigned, 1, &["role operator", "--credential FILE"]);
    cluster.agents[2].kill();
    eventually("it is down", || cluster.agents[0].status_of("a3").as_deref() == Some("down"));

    let rotated = cluster.ordered(1, &["keys", "rotate"]);
    assert_eq!(
        (&rotated["rotated"]["generation"], &rotated["rotated"]["begun"]),
        (&2.into(), &true.into())
    );
    assert_eq!((&rotated["member_count"], &rotated["confirmed"]), (&2.into(), &2.into()));
    let repeated = cluster.ordered(0, &["keys", "rotate"]);
    assert_eq!(repeated["rotated"]["hash"], rotated["rotated"]["hash"], "it goes on with the same");
    assert_eq!(repeated["rotated"]["begun"], false);
    assert!(cluster.agents[1].has_logged("a client had the cluster rotate"));
    eventually("it is in use", || cluster.agents[..2].iter().all(|one| generation(one) == 2));

    let away = cluster.agents.pop().unwrap().restart();
    eventually("it has it", || generation(&away) == 2 && away.alive() == 3);
    let status = keys(&cluster.agents[0]);
    assert!(items(&status["members"]).iter().all(|one| one["has_newest"] == true), "{status}");
    assert_eq!(status["operator"], false);
}

#[test]
fn an_agent_with_the_role_signs_itself() {
    let (operator, token) = Operator::found("prod", None);
    let plain = operator.start("a1", ANY_PORT, &token, &[]);
    let token = operator.token(&["--role", "operator", "--for", "90d"]);
    let able = operator.start("a2", ANY_PORT, &token, &joining(&plain));
    eventually("both are members", || plain.alive() == 2 && able.alive() == 2);
    able.ok(&["keys", "rotate"]);
    let status = able.run(&["keys", "status"]);
    let warning = String::from_utf8_lossy(&status.stderr).into_owned();
    assert!(
        warning.contains("lets newcomers in") && warning.contains("joined with it: a2"),
        "{warning}"
    );
    assert_eq!(keys(&able)["operator"], true);
    failed(&able.run(&["revoke", "a2"]), 2, &["--yes-myself"]);
    able.ok(&["revoke", "a1"]);
    eventually("it is out", || able.alive() == 1);
}

#[test]
fn a_revoked_node_is_out_for_everybody_and_does_not_return() {
    let mut cluster = Cluster::of(3);
    cluster.agents[2].ok(&["register", "web", "--port", "80"]);
    eventually("all know it", || cluster.agents.iter().all(|one| one.healthy("web").len() == 1));
    let mut last = Vec::new();
    eventually("both others watch each", || {
        let held = |one: &Agent| (one.counter("holds_in"), one.counter("holds_out"));
        let held: Vec<_> = cluster.agents.iter().map(held).collect();
        if held != last {
            println!("connections to and from each: {held:?}");
            last.clone_from(&held);
        }
        held.iter().all(|(incoming, _)| *incoming == 2)
    });
    failed(&cluster.order(0, &["revoke", "nobody"]), 3, &["nobody"]);
    let expired = cluster.operator.token(&["--role", "operator", "--for", "1s"]);
    let expired = cluster.operator.file("expired", &expired).display().to_string();
    eventually("it is refused when it has expired", || {
        let output =
            cluster.agents[0].run(&["keys", "rotate", "--again", "--credential", &expired]);
        String::from_utf8_lossy(&output.stderr).contains("its token")
    });

    let revoked = cluster.ordered(0, &["revoke", "a3"]);
    assert_eq!((&revoked["new"], &revoked["confirmed"]), (&true.into(), &2.into()));
    let id = revoked["revocation"]["node_id"].clone();
    for agent in &cluster.agents[..2] {
        assert!(agent.instances("web").is_empty() && agent.alive() == 2, "{}", agent.name);
        let status = keys(agent);
        assert_eq!(status["revocations"][0]["node_id"], id);
        assert_eq!(text(&status["revocations"][0], "by"), "operator");
    }
    eventually("it holds no connection any more", || {
        cluster.agents[..2].iter().all(|one| one.counter("holds_in") == 1)
    });
    let repeated = cluster.ordered(1, &["revoke", "a3"]);
    assert_eq!(repeated["new"], false);

    cluster.agents[2].kill();
    let revoked = cluster.agents.pop().unwrap().restart();
    eventually("it says so", || revoked.has_logged("an operator revoked this agent"));
    assert_eq!(revoked.json(&["info"])["sealed"]["revoked"], true);
    assert_eq!((cluster.agents[0].alive(), revoked.alive()), (2, 1));
}

#[test]
fn an_operator_signs_that_a_dead_member_leaves_or_is_forgotten() {
    let mut cluster = Cluster::of(3);
    cluster.agents[2].kill();
    eventually("it is down", || {
        cluster.agents[..2].iter().all(|one| one.status_of("a3").as_deref() == Some("down"))
    });
    for args in [&["force-leave", "a3"][..], &["prune", "a3"]] {
        failed(&cluster.agents[0].run(args), 1, &["role operator", "--credential FILE"]);
    }
    assert_eq!(cluster.agents[0].status_of("a3").as_deref(), Some("down"));
    cluster.ordered(0, &["force-leave", "a3"]);
    assert_eq!(cluster.agents[0].status_of("a3").as_deref(), Some("force_left"));
    let pruned = cluster.ordered(1, &["prune", "a3"]);
    assert_eq!(text(&pruned["members"][0], "member"), "a3");
}

#[test]
fn a_second_ca_key_is_trusted_everywhere_and_renews_a_member_that_was_away() {
    let mut cluster = Cluster::of(3);
    let mut away = cluster.agents.pop().unwrap();
    away.kill();
    eventually("it is down", || cluster.agents[0].status_of("a3").as_deref() == Some("down"));
    cluster.operator.ok(&["init".to_owned(), "--rotate-ca".to_owned()]);
    let made = |name: &str| cluster.operator.home().join("hobnob").join(name).display().to_string();
    let (key, succession) = (made("ca-2.key"), made("ca-2.succession"));
    let trusted = cluster.agents[0].json(&["keys", "trust", &succession]);
    assert_eq!((&trusted["new"], &trusted["confirmed"]), (&true.into(), &2.into()), "{trusted}");
    assert!(cluster.agents[0].has_logged("a client had the cluster trust a second CA key"));

    // A newcomer joins with a token of the new key, at a member that was told by another one.
    let token = cluster.operator.token(&["--ca", &key]);
    let at = joining(&cluster.agents[1]);
    let newcomer = cluster.operator.start("a4", ANY_PORT, &token, &at);
    eventually("it is a member", || newcomer.alive() == 3);

    // A member that was away is told, and then takes such a token.
    let away = away.restart();
    let both = |agent: &Agent| items(&keys(agent)["authorities"]).len() == 2;
    eventually("it is back and trusts both", || both(&away) && away.alive() == 4);
    let kept = cluster.operator.home().join("a3/keys.json");
    eventually("its disk has it", || {
        std::fs::read_to_string(&kept).is_ok_and(|kept| kept.contains("\"succession\""))
    });
    drop(away);
    let renewed = cluster.operator.start("a3", ANY_PORT, &token, &at);
    eventually("it is back", || renewed.alive() == 4);
    let status = keys(&cluster.agents[0]);
    let authorities = items(&status["authorities"]);
    let authority = |name: &str| {
        let of = items(&status["members"]).iter().find(|one| one["member"] == name);
        of.map(|one| one["authority"].clone())
    };
    assert_eq!(authority("a1").as_ref(), Some(&authorities[0]), "{status}");
    for name in ["a3", "a4"] {
        assert_eq!(authority(name).as_ref(), Some(&authorities[1]), "{status}");
    }
}

#[test]
fn a_datacenter_is_isolated_and_rejoins_by_orders_that_an_operator_signed() {
    let (operator, token) = Operator::found("prod", None);
    let eu = operator.start("eu1", ANY_PORT, &token, &["--datacenter=eu".to_owned()]);
    let wan = ["--datacenter=us".to_owned(), format!("--join-wan={}", eu.bind())];
    let us = operator.start("us1", ANY_PORT, &token, &wan);
    let status_of_us = || {
        let list = eu.json(&["datacenters"]);
        items(&list["datacenters"]).get(1).map(|us| text(us, "status"))
    };
    let has_status = |status: &str| status_of_us().as_deref() == Some(status);
    eventually("eu knows us", || has_status("reachable"));
    let credential = operator.file("credential", &operator.token(&["--role", "operator"]));
    let credential = credential.display().to_string();
    let order = |agent: &Agent, verb: &str, name: &str| {
        agent.run(&["datacenters", verb, name, "--credential", &credential, "--json"])
    };
    let changed = |output: Output| {
        assert!(output.status.success(), "{output:?}");
        let done: Value = serde_json::from_slice(&output.stdout).unwrap();
        (done["datacenter_isolated"].clone(), done["changed"].clone())
    };
    failed(&eu.run(&["datacenters", "isolate", "us"]), 1, &["role operator", "--credential FILE"]);
    assert!(has_status("reachable"));
    assert_eq!(changed(order(&eu, "isolate", "us")), (true.into(), true.into()));
    assert_eq!(changed(order(&eu, "isolate", "us")), (true.into(), false.into()));
    assert!(has_status("isolated"));
    failed(&order(&eu, "isolate", "mars"), 3, &["knows no datacenter `mars`"]);
    assert_eq!(changed(order(&eu, "rejoin", "us")), (false.into(), true.into()));
    eventually("it is back", || has_status("reachable"));
    drop(us);

    let clear = Agent::start(operator.home(), "clear", &[]);
    let refused = order(&clear, "isolate", "us");
    failed(&refused, 3, &["knows no datacenter `us`"]);
}
