//! The walk of the README: what is registered on one agent is found and picked on another, while it is healthy.

use crate::agent::{ANY_PORT, Agent, eventually};
use crate::web::Web;

fn register(agent: &Agent, id: &str, web: &Web) {
    let url = web.url();
    let checked = ["--check-http", &url, "--interval", "200ms", "--timeout", "200ms"];
    let args = ["register", "web", "--id", id, "--address", "127.0.0.1", "--port", &web.port()];
    agent.ok(&[&args[..], &checked].concat());
}

#[test]
fn healthy_instances_are_found_and_picked_on_every_agent() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let a2 = Agent::start(home.path(), "a2", &[&a1]);
    let a3 = Agent::start(home.path(), "a3", &[&a1]);
    let first = Web::start(ANY_PORT);
    let second = Web::start(ANY_PORT);
    register(&a1, "web-1", &first);
    register(&a2, "web-2", &second);

    eventually("a3 finds both", || a3.healthy("web") == ["web-1", "web-2"]);
    let picks = a3.picks("web", 10);
    assert_eq!(picks.len(), 10);
    assert!(picks.windows(2).all(|pair| pair[0] != pair[1]), "{picks:?}");
    for (field, value) in [
        ("member", "a1"),
        ("datacenter", "dc1"),
        ("namespace", "default"),
        ("address", "127.0.0.1"),
    ] {
        assert_eq!(a3.json(&["resolve", "web"])["instances"][0][field], value);
    }

    let addr = second.stop();
    let agents = [&a1, &a2, &a3];
    eventually("nobody picks the stopped one", || {
        agents.iter().all(|agent| agent.picks("web", 4).iter().all(|id| id == "web-1"))
    });
    for agent in agents {
        assert_eq!(agent.picks("web", 2), ["web-1", "web-1"]);
        let all = [
            ("web-1".to_owned(), "healthy".to_owned()),
            ("web-2".to_owned(), "unhealthy".to_owned()),
        ];
        assert_eq!(agent.instances("web"), all);
    }
    let _again = Web::start(addr);
    eventually("the restarted one returns", || {
        agents.iter().all(|agent| agent.healthy("web").len() == 2)
    });
}

#[test]
fn strategies_filters_and_namespaces() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let add = |id: &str, more: &[&str]| {
        a1.ok(&[&["register", "web", "--id", id, "--port", "80"], more].concat());
    };
    add("small", &["--tag", "v1", "--meta", "tier=gold"]);
    add("large", &["--tag", "v2", "--weight", "3"]);
    add("other", &["--namespace", "test"]);
    assert_eq!(a1.healthy("web"), ["large", "small"]);
    let ids = |args: &[&str]| -> Vec<String> {
        let found = a1.json(&[&["resolve", "web"], args].concat())["instances"].take();
        crate::agent::items(&found)
            .iter()
            .map(|item| crate::agent::text(item, "instance"))
            .collect()
    };
    assert_eq!(ids(&["--tag", "v1"]), ["small"]);
    assert_eq!(ids(&["--meta", "tier=gold"]), ["small"]);
    assert_eq!(ids(&["--namespace", "test"]), ["other"]);
    assert_eq!(ids(&["--tag", "v1", "--tag", "v2"]), Vec::<String>::new());

    let picked = |args: &[&str]| -> Vec<String> {
        let picked = a1.json(&[&["pick", "web"], args].concat());
        let picks = crate::agent::items(&picked["picks"]).iter();
        picks.map(|pick| crate::agent::text(pick, "instance")).collect()
    };
    let large = |ids: &[String]| ids.iter().filter(|id| *id == "large").count();
    assert_eq!(large(&picked(&["--strategy", "weighted", "-n", "8"])), 6);
    let keyed = picked(&["--strategy", "consistent-hash", "--key", "user-1", "-n", "5"]);
    assert!(keyed.windows(2).all(|pair| pair[0] == pair[1]), "{keyed:?}");
    let every = "round-robin weighted weighted-random random least-connections peak-ewma hot-cold \
                 consistent-hash bounded-hash rendezvous ring";
    for strategy in every.split_whitespace() {
        let ids = picked(&["--strategy", strategy, "--key", "k", "-n", "8"]);
        assert_eq!(ids.len(), 8, "{strategy}");
    }
    assert_eq!(picked(&["--selector", "tier in (gold,silver)", "-n", "3"]), ["small"; 3]);
    assert_eq!(
        picked(&["--selector", "!v1,!canary", "--dc", "dc1", "--prefer", "zone"]),
        ["large"]
    );
    assert_eq!(a1.run(&["pick", "web", "--dc", "dc2"]).status.code(), Some(3));
    assert_eq!(a1.run(&["pick", "web", "--selector", "tier in"]).status.code(), Some(2));
    assert_eq!(a1.run(&["pick", "web", "--strategy", "ring"]).status.code(), Some(2));
    assert_eq!(ids(&["--selector", "v2"]), ["large"]);
}

#[test]
fn many_picks_are_summed_up_and_calls_are_reported() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    a1.ok(&["register", "web", "--id", "small", "--port", "80"]);
    a1.ok(&["register", "web", "--id", "large", "--port", "81", "--weight", "3"]);
    let summary = a1.json(&["pick", "web", "-n", "25000", "--strategy", "weighted", "--summary"]);
    assert_eq!(summary["pick_count"], 25_000);
    assert_eq!(summary["fairness"], 1.0, "{summary}");
    assert_eq!(summary["instances"][0]["instance"], "large");
    assert_eq!(summary["instances"][0]["pick_count"], 18_750);
    assert_eq!(a1.json(&["services", "--picks"])["services"][0]["fairness"], 1.0);
    assert!(a1.json(&["services"])["services"][0].get("fairness").is_none());
    let keyed = ["pick", "web", "-n", "100", "--strategy", "ring", "--key", "k", "--summary"];
    let keyed = a1.json(&keyed);
    assert_eq!(crate::agent::items(&keyed["instances"]).len(), 2, "also who got none: {keyed}");
    assert_eq!(keyed["efficiency"], 0.0);

    let picked = a1.json(&["pick", "web", "--report"]);
    let token = picked["picks"][0]["token"].to_string();
    let report = |token: &str| {
        let args = ["report", token, "--outcome", "failure", "--latency", "12ms"];
        a1.run(&args).status.code()
    };
    assert_eq!((report(&token), report(&token)), (Some(0), Some(3)), "a token is good once");
}

#[test]
fn a_watch_prints_what_is_there_and_then_each_change() {
    use std::io::{BufRead, BufReader};
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    a1.ok(&["register", "web", "--id", "web-1", "--port", "80"]);
    let mut watch = crate::agent::hobnob(&["watch", "web", "--json"])
        .env("HOBNOB_SOCKET", a1.socket())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut next = || -> (String, String) {
        let line: serde_json::Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
        let told = line.get("instances").or(line.get("changes")).unwrap();
        let instance = &told["instances"][0];
        (crate::agent::text(instance, "instance"), crate::agent::text(instance, "status"))
    };
    assert_eq!(next(), ("web-1".to_owned(), "healthy".to_owned()));
    a1.ok(&["register", "web", "--id", "web-2", "--port", "81"]);
    assert_eq!(next(), ("web-2".to_owned(), "healthy".to_owned()));
    a1.ok(&["deregister", "web-1"]);
    assert_eq!(next(), ("web-1".to_owned(), "gone".to_owned()));
    watch.kill().unwrap();
    watch.wait().unwrap();
}
