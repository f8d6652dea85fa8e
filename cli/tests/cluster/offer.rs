//! The instances that agents offer when nothing healthy is left.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::agent::{ANSWER_TIMEOUT, ANY_PORT, Agent, eventually, hobnob, items, text};
use crate::web::Web;

/// `hobnob watch`, ended when dropped.
struct Watching {
    child: Child,
    events: Receiver<Value>,
}

impl Watching {
    fn start(agent: &Agent, service: &str) -> Self {
        let mut command = hobnob(&["watch", service, "--json"]);
        command.env("HOBNOB_SOCKET", agent.socket()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, events) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event: Value = serde_json::from_str(&line).unwrap();
                // The test may have ended.
                let _ = tell.send(event);
            }
        });
        Self { child, events }
    }

    /// Waits until this instance is told with this status, basis and offer.
    fn until(&mut self, id: &str, expected: (&str, &str, bool)) {
        let (status, basis, offered) = expected;
        let expected = json!([id, status, basis, offered]);
        loop {
            let event = self.events.recv_timeout(ANSWER_TIMEOUT);
            let event = event.unwrap_or_else(|_| panic!("not told: {expected}"));
            let instances =
                event.as_object().unwrap().values().flat_map(|told| items(&told["instances"]));
            let mut told = instances
                .map(|one| json!([one["instance"], one["status"], one["basis"], one["offered"]]));
            if told.any(|told| told == expected) {
                return;
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The ids that `resolve` shows, each with what is said of its offer.
fn offers(agent: &Agent, args: &[&str]) -> Vec<(String, Value)> {
    let found = agent.json(&[&["resolve", "web"], args].concat())["instances"].take();
    let offer = |one: &Value| json!([one["status"], one["basis"], one["offered"]]);
    let mut found: Vec<_> =
        items(&found).iter().map(|one| (text(one, "instance"), offer(one))).collect();
    found.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    found
}

/// Expects that this agent offers the two instances that passed last, and says so.
fn expect_last_known(agent: &Agent) {
    let last_known = json!(["unknown", "last_known", true]);
    let both = ["web-1", "web-2"].map(|id| (id.to_owned(), last_known.clone()));
    assert_eq!(offers(agent, &[]), both, "on {}", agent.name);
    let failed = ("web-3".to_owned(), json!(["unhealthy", "nothing", false]));
    assert_eq!(offers(agent, &["--all"])[2], failed, "a failed check is not forgotten");
    assert_eq!(offers(agent, &["--strict"]), []);

    let picked = agent.json(&["pick", "web", "-n", "8"]);
    assert_eq!(items(&picked["picks"]).len(), 8);
    for pick in items(&picked["picks"]) {
        let instance = pick;
        assert!(["web-1", "web-2"].contains(&&*text(instance, "instance")), "{instance}");
        assert_eq!(
            (&instance["basis"], &instance["offered"]),
            (&json!("last_known"), &json!(true))
        );
        assert!(instance["age_ms"].as_u64().unwrap() > 0, "{instance}");
    }
    let output = agent.run(&["pick", "web"]);
    let warning = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{warning}");
    assert!(warning.contains("no healthy instance of `web` is left"), "{warning}");
    for strict in [["pick", "web", "--strict"], ["resolve", "web", "--strict"]] {
        let output = agent.run(&strict);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{error}");
        assert!(output.stdout.is_empty() && error.contains("without --strict"), "{error}");
    }
    let explained = agent.json(&["explain", "web-1"]);
    let instance = &explained["instances"][0];
    assert_eq!(instance["offered"], true);
    assert!(text(instance, "reason").contains("nothing healthy is left"), "{instance}");
}

#[test]
fn what_passed_last_is_offered_when_nothing_healthy_is_left_by_whoever_is_cut_off() {
    let home = tempfile::tempdir().unwrap();
    let mut a1 = Agent::start(home.path(), "a1", &[]);
    let mut a2 = Agent::start(home.path(), "a2", &[&a1]);
    let a3 = Agent::start(home.path(), "a3", &[&a1]);
    let mut a4 = Agent::start(home.path(), "a4", &[&a1]);
    let web = Web::start(ANY_PORT);
    let (port, url) = (web.port(), web.url());
    let checked = ["--check-http", &url, "--interval", "200ms", "--timeout", "200ms"];
    a1.ok(&[&["register", "web", "--id", "web-3", "--port", &port], &checked[..]].concat());
    eventually("web-3 passes", || a3.healthy("web") == ["web-3"]);
    a1.ok(&["register", "web", "--id", "web-1", "--port", "8001"]);
    a2.ok(&["register", "web", "--id", "web-2", "--port", "8002"]);
    web.stop();
    let others = [&a3, &a4];
    eventually("two are healthy, and one fails", || {
        others.iter().all(|agent| agent.alive() == 4 && agent.healthy("web") == ["web-1", "web-2"])
    });
    let mut watching = Watching::start(&a3, "web");
    watching.until("web-2", ("healthy", "current", true));

    a1.kill();
    eventually("one is healthy", || others.iter().all(|agent| agent.healthy("web") == ["web-2"]));
    watching.until("web-1", ("unknown", "last_known", false));
    a2.kill();
    eventually("none is healthy", || others.iter().all(|agent| agent.healthy("web").is_empty()));
    watching.until("web-1", ("unknown", "last_known", true));
    for agent in others {
        assert_eq!((agent.alive(), &agent.json(&["info"])["isolated"]), (2, &json!(false)));
        expect_last_known(agent);
    }
    a4.kill();
    eventually("it hears nobody", || a3.json(&["info"])["isolated"] == true);
    expect_last_known(&a3);

    let a2 = a2.restart();
    a2.ok(&["join", &a3.bind().to_string()]);
    watching.until("web-1", ("unknown", "last_known", false));
    assert_eq!(a3.picks("web", 4), ["web-2"; 4]);
    assert!(a3.run(&["pick", "web", "--strict"]).status.success());
}
