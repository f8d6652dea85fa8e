//! What agents saw and did, over the crash of one of them, and what is registered with one.

use serde_json::Value;

use crate::agent::{ANY_PORT, Agent, eventually, items, text};

/// The events of a subject, oldest first.
fn events(agent: &Agent, subject: &[&str]) -> Vec<Value> {
    let history = agent.json(&[&["history"], subject].concat());
    items(&history["events"]).to_vec()
}

fn kinds(agent: &Agent, subject: &str) -> Vec<String> {
    events(agent, &[subject]).iter().map(|event| text(event, "what")).collect()
}

#[test]
fn the_history_goes_on_after_a_crash_of_its_agent() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let mut a2 = Agent::start(home.path(), "a2", &[&a1]);
    eventually("both are there", || a1.alive() == 2 && a2.alive() == 2);
    a2.ok(&["register", "web", "--id", "web-1", "--port", "81", "--check-ttl", "1h"]);
    a2.ok(&["check", "pass", "web-1"]);
    a2.ok(&["check", "fail", "web-1", "--note", "the queue is stuck"]);
    a2.ok(&["maintenance", "on", "web-1", "--reason", "new disk"]);
    let expected = ["registered", "check_changed", "check_changed", "maintenance_on"];
    eventually("all of it is told", || kinds(&a2, "web-1") == expected);
    let before = events(&a2, &["web"]);
    assert_eq!(
        (&before[2]["before"], &before[2]["after"]),
        (&"passing".into(), &"critical".into())
    );
    assert_eq!(before[2]["why"], "the queue is stuck");
    assert_eq!(before[3]["why"], "new disk");
    assert_eq!(before[3]["actor"]["uid"], rustix::process::getuid().as_raw());
    assert!(before[3]["actor"]["pid"].is_number() && before[3]["actor"]["gid"].is_number());

    // The line is with the kernel soon after the event, and whatever ends the process leaves it there.
    let file = home.path().join("a2/history-acts.log");
    eventually("it is in the file", || {
        std::fs::read_to_string(&file).is_ok_and(|lines| lines.contains("new disk"))
    });
    a2.kill();
    eventually("a1 saw it go", || kinds(&a1, "a2").ends_with(&["member_down".to_owned()]));
    assert!(!events(&a1, &["a2"]).last().unwrap()["why"].is_null());
    let a2 = a2.restart();
    eventually("a1 saw it come", || kinds(&a1, "a2").ends_with(&["member_back".to_owned()]));
    assert_eq!(events(&a2, &["web-1"])[..4], before, "nothing is lost, and no number changes");
    let starts = events(&a2, &[]);
    let starts: Vec<_> = starts.iter().filter(|event| event["what"] == "agent_started").collect();
    assert_eq!(starts.len(), 2);
    assert!(starts[0]["why"].is_null(), "the first life: {}", starts[0]);
    assert!(text(starts[1], "why").contains("without a stop"), "{}", starts[1]);
    a2.ok(&["deregister", "web-1"]);
    assert_eq!(kinds(&a2, "web").last().unwrap(), "deregistered");
    let last = events(&a2, &["web", "-n", "1"]);
    assert!(last[0]["number"].as_u64() > before[3]["number"].as_u64());

    let unknown = a2.run(&["history", "web-2"]);
    assert_eq!(unknown.status.code(), Some(3));
    let told = String::from_utf8(unknown.stderr).unwrap();
    assert!(told.contains("did you mean `web-1`?"), "{told}");
    assert_eq!(a2.run(&["history", "web-1", "--since", "1ms"]).status.code(), Some(3));
}

#[test]
fn a_planned_stop_is_told_and_a_damaged_history_stops_no_start() {
    let home = tempfile::tempdir().unwrap();
    let mut a1 = Agent::start(home.path(), "a1", &[]);
    a1.terminate();
    let mut a1 = Agent::start_at(home.path(), "a1", ANY_PORT, &[]);
    let told: Vec<_> = events(&a1, &[]).iter().map(|event| text(event, "what")).collect();
    assert_eq!(told, ["agent_started", "agent_stopped", "agent_started"]);
    assert!(events(&a1, &[])[2]["why"].is_null());
    a1.terminate();
    let file = home.path().join("a1/history-acts.log");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    bytes.truncate(bytes.len() - 10);
    std::fs::write(&file, bytes).unwrap();
    let a1 = Agent::start_at(home.path(), "a1", ANY_PORT, &[]);
    assert!(a1.has_logged("lines of the history cannot be read"));
    assert_eq!(events(&a1, &["-n", "1"])[0]["what"], "agent_started");
    // A file of another version is left as it is.
    let mut a1 = a1;
    a1.terminate();
    std::fs::write(&file, "9 of a later version\n").unwrap();
    let a1 = Agent::start_at(home.path(), "a1", ANY_PORT, &[]);
    assert_eq!(events(&a1, &[]).len(), 1);
    let old = std::fs::read_to_string(home.path().join("a1/history-acts.foreign.log")).unwrap();
    assert_eq!(old, "9 of a later version\n");
}

#[test]
fn what_is_registered_here_is_shown_with_all_that_is_known_of_it() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let a2 = Agent::start(home.path(), "a2", &[&a1]);
    a2.ok(&["register", "web", "--id", "web-9", "--port", "90"]);
    a1.ok(&["register", "web", "--id", "web-1", "--port", "81", "--check-ttl", "1h"]);
    a1.ok(&["check", "fail", "web-1", "--note", "the queue is stuck"]);
    a1.ok(&["register", "db", "--id", "db-1", "--port", "82", "--scope", "datacenter"]);
    a1.ok(&["maintenance", "on", "db-1", "--reason", "new disk"]);
    a1.ok(&["drain", "web-1", "--for", "1h"]);
    let local = |agent: &Agent| agent.json(&["services", "--local"]);
    eventually("the check failed", || {
        local(&a1)["registrations"][1]["checks"][0]["status"] == "critical"
    });
    let first = local(&a1);
    let ids: Vec<_> =
        items(&first["registrations"]).iter().map(|one| text(one, "instance")).collect();
    assert_eq!(ids, ["db-1", "web-1"], "and not what a2 has");
    let [db, web] = items(&first["registrations"]) else { panic!("{first}") };
    assert_eq!(db["maintenance"]["reason"], "new disk");
    assert_eq!(db["scope"], "datacenter");
    assert_eq!(web["drain"]["over_ms"], 3_600_000);
    assert_eq!(web["checks"][0]["output"], "the queue is stuck");
    assert_eq!(web["registered_by"]["uid"], rustix::process::getuid().as_raw());
    assert_eq!((&web["restored"], &first["maintenance"]), (&false.into(), &Value::Null));

    a1.ok(&["maintenance", "on", "--reason", "kernel"]);
    assert_eq!(local(&a1)["maintenance"]["reason"], "kernel");
    let a1 = a1.restart();
    let again = local(&a1);
    assert_eq!(again["maintenance"]["reason"], "kernel");
    let restored = &again["registrations"][1];
    assert_eq!((&restored["restored"], &restored["since"]), (&true.into(), &web["since"]));
    let shown = a1.run(&["services", "--local"]);
    let table = String::from_utf8(shown.stdout).unwrap();
    assert!(table.contains("maintenance: new disk") && table.contains(", restored"), "{table}");
    assert!(String::from_utf8(shown.stderr).unwrap().contains("`a1` is in maintenance with all"));
}
