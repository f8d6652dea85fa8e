//! `hobnob watch` of everything and of the members, over deaths of the agent, and questions that wait or refuse old answers.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value;

use crate::agent::{ANY_PORT, Agent, eventually, hobnob, items, text};

/// `hobnob watch --json`, ended when dropped, with the picture that its events make.
struct Watching {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Instances by node id and id, or members by node id.
    picture: BTreeMap<String, Value>,
    run: Option<String>,
    revision: u64,
    resets: Vec<String>,
}

fn key(item: &Value) -> String {
    format!("{} {}", text(item, "node_id"), item["instance"].as_str().unwrap_or_default())
}

impl Watching {
    fn start(agent: &Agent, args: &[&str]) -> Self {
        let mut command = hobnob(&[&["watch", "--json"], args].concat());
        command.env("HOBNOB_SOCKET", agent.socket()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (picture, resets) = (BTreeMap::new(), Vec::new());
        Self { child, lines, picture, run: None, revision: 0, resets }
    }

    /// Takes the next event. No change of another run comes without the whole picture before it.
    fn next(&mut self) -> Value {
        let line = self.lines.next().expect("the watch ended").unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        let (kind, body) = event.as_object().unwrap().iter().next().unwrap();
        let (run, revision) = (text(body, "run"), body["revision"].as_u64().unwrap());
        assert!(text(body, "time").ends_with('Z'), "{body}");
        let is_whole = matches!(kind.as_str(), "instances" | "members");
        if self.run.as_ref() == Some(&run) {
            assert!(revision >= self.revision, "{revision} after {}", self.revision);
        } else {
            assert!(is_whole, "changes of a run of which nothing is known: {event}");
            assert_eq!(self.run.is_some(), body["reset"] == "other_run", "{event}");
        }
        let told = match kind.as_str() {
            "member_changes" => items(&body["changes"]).to_vec(),
            kind => items(&body[if kind == "members" { kind } else { "instances" }]).to_vec(),
        };
        let before = std::mem::take(&mut self.picture);
        if !is_whole {
            self.picture.clone_from(&before);
        }
        for item in &told {
            let gone = item["status"] == "gone" || item["event"] == "left";
            match gone {
                true => self.picture.remove(&key(item)),
                false => self.picture.insert(key(item), item.clone()),
            };
        }
        if is_whole {
            let vanished: Vec<_> = items(&body["vanished"]).iter().map(key).collect();
            let expected: Vec<_> =
                before.into_keys().filter(|key| !self.picture.contains_key(key)).collect();
            assert_eq!(vanished, expected, "it names what vanished");
        }
        if let Some(reset) = body["reset"].as_str() {
            self.resets.push(reset.to_owned());
        }
        (self.run, self.revision) = (Some(run), revision);
        event
    }

    /// Takes events until the picture has these, each with its status.
    fn until(&mut self, wanted: &[(&str, &str)]) {
        let field =
            |item: &Value| item["instance"].as_str().or(item["member"].as_str()).map(str::to_owned);
        loop {
            let mut known: Vec<_> = self
                .picture
                .values()
                .map(|item| (field(item).unwrap(), text(item, "status")))
                .collect();
            known.sort_unstable();
            let known: Vec<_> =
                known.iter().map(|(id, status)| (id.as_str(), status.as_str())).collect();
            if known == wanted {
                return;
            }
            self.next();
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

fn register(agent: &Agent, service: &str, id: &str) {
    agent.ok(&["register", service, "--id", id, "--port", "80"]);
}

#[test]
fn a_watch_of_everything_has_no_gap_over_deaths_of_its_agent() {
    let home = tempfile::tempdir().unwrap();
    let mut agent = Agent::start_with(home.path(), "a1", ANY_PORT, &[]);
    register(&agent, "web", "web-1");
    register(&agent, "db", "db-1");
    let mut watching = Watching::start(&agent, &["--all", "--retry"]);
    watching.until(&[("db-1", "healthy"), ("web-1", "healthy")]);
    for round in 0..3 {
        let id = format!("web-{}", round + 2);
        register(&agent, "web", &id);
        // What the watch has read by now is left to chance.
        agent.kill();
        agent = agent.restart();
        agent.ok(&["deregister", &id]);
        register(&agent, "api", "api-1");
        agent.ok(&["deregister", "api-1"]);
    }
    register(&agent, "web", "last");
    watching.until(&[("db-1", "healthy"), ("last", "healthy"), ("web-1", "healthy")]);
    assert!(!watching.resets.is_empty());
    let (run, revision) = (watching.run.clone().unwrap(), watching.revision);
    drop(watching);

    // Another process goes on where this one was.
    agent.ok(&["deregister", "db-1"]);
    let since = format!("{run}:{revision}");
    let mut resumed = Watching::start(&agent, &["--all", "--since", &since]);
    resumed.run = Some(run);
    let event = resumed.next();
    assert_eq!(event["changes"]["instances"][0]["instance"], "db-1", "{event}");
    assert_eq!(event["changes"]["instances"][0]["status"], "gone", "{event}");
    let mut other = Watching::start(&agent, &["--all", "--since", "0123456789abcdef:5"]);
    other.run = Some("0123456789abcdef".to_owned());
    assert_eq!(other.next()["instances"]["reset"], "other_run");
}

#[test]
fn a_watch_of_members_tells_who_joins_dies_returns_and_leaves() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let mut watching = Watching::start(&a1, &["--members"]);
    watching.until(&[("a1", "alive")]);
    let mut a2 = Agent::start(home.path(), "a2", &[&a1]);
    watching.until(&[("a1", "alive"), ("a2", "alive")]);
    a2.kill();
    watching.until(&[("a1", "alive"), ("a2", "down")]);
    let mut a2 = a2.restart();
    watching.until(&[("a1", "alive"), ("a2", "alive")]);
    a2.ok(&["leave"]);
    a2.expect_end();
    watching.until(&[("a1", "alive")]);
    assert!(watching.resets.is_empty());
}

#[test]
fn a_strict_or_impatient_question_gets_no_old_answer() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let mut a2 = Agent::start(home.path(), "a2", &[&a1]);
    eventually("both are members", || a1.alive() == 2 && a2.alive() == 2);
    register(&a2, "web", "web-1");
    eventually("it is known", || a1.healthy("web") == ["web-1"]);
    let status = |args: &[&str]| a1.run(args).status.code();
    for command in ["resolve", "pick"] {
        assert_eq!(status(&[command, "web", "--strict", "--max-age", "1h"]), Some(0), "{command}");
    }
    let mut strict = Watching::start(&a1, &["web", "--strict"]);
    strict.until(&[("web-1", "healthy")]);
    a2.kill();
    strict.until(&[("web-1", "unknown")]);
    let lost = strict.picture.values().next().unwrap();
    assert_eq!((&lost["basis"], &lost["offered"]), (&"last_known".into(), &false.into()));
    for command in ["resolve", "pick"] {
        assert_eq!(status(&[command, "web"]), Some(0), "{command}: the last known");
        assert_eq!(status(&[command, "web", "--strict"]), Some(3), "{command}");
        let refused = a1.run(&[command, "web", "--max-age", "1ms"]);
        assert_eq!(refused.status.code(), Some(3), "{command}");
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(told.contains("1 ms were allowed"), "{told}");
    }
}

#[test]
fn a_question_waits_for_the_next_change_of_its_service() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    register(&agent, "web", "web-1");
    let revision = agent.json(&["resolve", "web"])["revision"].to_string();
    let wait = ["resolve", "web", "--json", "--wait", &revision];
    let unchanged = agent.run(&[&wait[..], &["--wait-timeout", "50ms"]].concat());
    assert_eq!(unchanged.status.code(), Some(0));
    let told = String::from_utf8(unchanged.stderr).unwrap();
    assert!(told.contains("has not changed within 50ms"), "{told}");
    let mut command = hobnob(&wait);
    let waiting = command.env("HOBNOB_SOCKET", agent.socket()).stdout(Stdio::piped());
    let waiting = waiting.spawn().unwrap();
    register(&agent, "api", "api-1");
    register(&agent, "web", "web-2");
    let answer = waiting.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(items(&answer["instances"]).len(), 2, "{answer}");
}
