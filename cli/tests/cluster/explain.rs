//! Why an agent believes what it believes.

use crate::agent::{ANY_PORT, Agent, eventually, text};
use crate::web::Web;

fn reason(explained: &serde_json::Value) -> String {
    text(explained, "reason")
}

#[test]
fn an_instance_and_a_member_are_explained() {
    let home = tempfile::tempdir().unwrap();
    let mut a1 = Agent::start(home.path(), "a1", &[]);
    let a2 = Agent::start(home.path(), "a2", &[&a1]);
    let a3 = Agent::start(home.path(), "a3", &[&a1]);
    eventually("all are there", || a2.alive() == 3 && a3.alive() == 3);
    let web = Web::start(ANY_PORT);
    let url = web.url();
    let args = ["register", "web", "--id", "web-1", "--port", &web.port(), "--check-http", &url];
    a1.ok(&[&args[..], &["--interval", "200ms", "--timeout", "200ms"]].concat());
    eventually("a2 finds it", || a2.healthy("web") == ["web-1"]);

    let explained = a2.json(&["explain", "web-1"]);
    let instance = &explained["instances"][0];
    assert_eq!((&instance["offered"], &instance["checked"]), (&true.into(), &true.into()));
    assert!(reason(instance).contains("its check passes"), "{instance}");
    assert_eq!(instance["checks"], serde_json::json!([]), "only its own agent knows");
    let told = String::from_utf8(a2.run(&["explain", "web-1"]).stdout).unwrap();
    assert!(told.contains("ask `a1`"), "{told}");
    let origin = &instance["origin"];
    assert_eq!(origin["member"], "a1");
    // The faster of two: the origin, or the third agent that passed it on.
    let from = &origin["records"]["news"]["from"];
    assert!(from == "a1" || from == "a3", "{from}");
    assert_eq!(origin["records"]["behind"], false);

    let written = instance["health_version"].clone();
    let args = [&args[..], &["--interval", "200ms", "--timeout", "200ms"]].concat();
    for (more, says) in [(&[][..], "registered so already"), (&["--tag", "v2"], "replaced web-1")] {
        let output = a1.run(&[&args[..], more].concat());
        assert!(String::from_utf8(output.stdout).unwrap().contains(says));
        let health = a1.json(&["explain", "web-1"])["instances"][0]["health"].clone();
        assert_eq!(health, "passing", "what was found of it holds");
    }
    let instance = &a1.json(&["explain", "web-1"])["instances"][0];
    assert_eq!(instance["health_version"], written, "and was not written again");

    web.stop();
    eventually("it is unhealthy", || {
        a2.json(&["explain", "web-1"])["instances"][0]["health"] == "critical"
    });
    let told = String::from_utf8(a1.run(&["explain", "web-1"]).stdout).unwrap();
    for part in [
        "unhealthy, not offered",
        "its check is critical",
        "critical for ",
        &url,
        "member a1 is alive",
    ] {
        assert!(told.contains(part), "no `{part}` in: {told}");
    }

    a1.kill();
    eventually("a1 is down", || {
        [&a2, &a3].iter().all(|agent| agent.status_of("a1").as_deref() == Some("down"))
    });
    for agent in [&a2, &a3] {
        let why = reason(&agent.json(&["explain", "a1"])["members"][0]);
        assert!(!why.contains(&agent.name), "{why}: on {} it is \"this agent\"", agent.name);
    }
    let explained = a2.json(&["explain", "a1"]);
    let member = &explained["members"][0];
    assert!(member["down_ago_ms"].is_u64(), "{member}");
    assert!(member["verdict"]["by"].is_string(), "{member}");
    assert!(member["heard"]["ago_ms"].is_u64(), "{member}");
    let explained = a2.json(&["explain", "web-1"]);
    let instance = &explained["instances"][0];
    assert_eq!((&instance["offered"], &instance["status"]), (&false.into(), &"unhealthy".into()));
    assert!(reason(instance).contains("its agent `a1` is down"), "{instance}");

    let nothing = a2.run(&["explain", "nothing"]);
    let error = String::from_utf8(nothing.stderr).unwrap();
    assert_eq!(nothing.status.code(), Some(3), "{error}");
    assert!(error.contains("`nothing`") && error.contains("hobnob members"), "{error}");
}

#[test]
fn a_service_is_not_explained_and_its_instances_are_named() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let refused = || {
        let refused = a1.run(&["explain", "web"]);
        assert_eq!(refused.status.code(), Some(3));
        String::from_utf8(refused.stderr).unwrap()
    };
    let register = |id, namespace| {
        a1.ok(&["register", "web", "--id", id, "--port", "80", "--namespace", namespace]);
    };
    register("web-1", "default");
    register("web-2", "test");
    let error = refused();
    assert!(error.contains("`web` is a service, with the instances `web-1`, `web-2`"), "{error}");
    for id in ["web-3", "web-4", "web-5", "web-6", "web-7"] {
        register(id, "default");
    }
    let error = refused();
    assert!(error.contains("`web-5`, and 2 more"), "{error}");
}

#[test]
fn a_member_that_died_before_this_agent_started_is_explained_and_so_are_its_instances() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let mut a2 = Agent::start(home.path(), "a2", &[&a1]);
    let mut a3 = Agent::start(home.path(), "a3", &[&a1]);
    a2.ok(&["register", "web", "--id", "web-2", "--port", "8002"]);
    eventually("a1 finds it", || a1.healthy("web") == ["web-2"]);
    a2.kill();
    eventually("it is down", || a1.status_of("a2").as_deref() == Some("down"));
    a3.kill();
    let a3 = a3.restart();
    eventually("its records are there", || !a3.instances("web").is_empty());
    let explained = a3.json(&["explain", "web-2"]);
    let instance = &explained["instances"][0];
    assert!(reason(instance).contains("only its records are left"), "{instance}");
    let member = a3.json(&["explain", "a2"])["members"][0].take();
    assert_eq!(member["status"], "down", "{member}");
    assert_eq!(reason(&member), "it was down before this agent started: only its records are left");
    assert_eq!(member["records"]["instance_count"], 1, "{member}");
}
