//! Agents that are configured by files: read at the start, read again, and changed while they run.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::agent::{ANY_PORT, Agent, eventually, hobnob, items, socket};

const WEB: &str = "service = \"web\"\nid = \"web-1\"\nport = 8001\ntags = [\"v1\"]\n";
const DB: &str =
    r#"{"services": [{"Name": "db", "ID": "db-1", "Port": 5432, "Tags": ["primary"]}]}"#;

fn dir(home: &Path) -> PathBuf {
    home.join("services.d")
}

/// Writes a file as careful programs do: beside its place, then in one step.
fn write(home: &Path, name: &str, text: &str) {
    let path = dir(home).join(name);
    fs::create_dir_all(dir(home)).unwrap();
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

fn remove(home: &Path, name: &str) {
    fs::remove_file(dir(home).join(name)).unwrap();
}

fn start(home: &Path) -> Agent {
    fs::create_dir_all(dir(home)).unwrap();
    Agent::start_with(home, "a1", ANY_PORT, &[format!("--config-dir={}", dir(home).display())])
}

fn healthy(id: &str) -> Vec<(String, String)> {
    vec![(id.to_owned(), "healthy".to_owned())]
}

fn reloaded(agent: &Agent) -> Value {
    let mut reloaded = agent.json(&["reload"]);
    let fields = reloaded.as_object_mut().unwrap();
    fields.retain(|_, value| value.as_array().is_none_or(|items| !items.is_empty()));
    reloaded
}

#[test]
fn a_reload_adds_changes_removes_and_keeps() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    write(home, "web.toml", WEB);
    write(home, "db.json", DB);
    let agent = start(home);
    assert_eq!(
        (agent.instances("web"), agent.instances("db")),
        (healthy("web-1"), healthy("db-1"))
    );
    agent.ok(&["register", "by-hand", "--port", "1"]);
    assert_eq!(reloaded(&agent), json!({"kept": 2}));
    // In a step of its own for each: the watch of the directory may see a part of it first.
    write(home, "web.toml", &WEB.replace("v1", "v2"));
    remove(home, "db.json");
    write(home, "new.toml", "service = \"new\"\nport = 1\n");
    agent.ok(&["reload"]);
    let web = agent.json(&["resolve", "web"])["instances"][0].clone();
    assert_eq!(web["tags"], json!(["v2"]));
    assert_eq!((agent.instances("db"), agent.instances("new")), (vec![], healthy("new")));
    assert_eq!(agent.instances("by-hand"), healthy("by-hand"));
    assert_eq!(reloaded(&agent), json!({"kept": 2}));
}

#[test]
fn a_change_of_the_directory_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    let agent = start(home.path());
    write(home.path(), "web.toml", WEB);
    eventually("the new file counts", || agent.instances("web") == healthy("web-1"));
    remove(home.path(), "web.toml");
    eventually("the removed file counts", || agent.instances("web").is_empty());
}

#[test]
fn a_broken_file_changes_nothing_and_says_so() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    write(home, "web.toml", WEB);
    let mut agent = start(home);
    write(home, "web.toml", "service = \"web\"\nid = \"web-1\"\nprot = 1\n");
    write(home, "new.toml", "service = \"new\"\nport = 1\n");
    let output = agent.run(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    let place = dir(home).join("web.toml");
    let problem = format!("{}:3: there is no key `prot`; did you mean `port`?", place.display());
    assert_eq!(told, format!("error: {problem}\nnothing is changed\n"));
    assert_eq!((agent.instances("web"), agent.instances("new")), (healthy("web-1"), vec![]));
    eventually("the log has it", || agent.has_logged(&problem));
    assert_eq!(agent.json(&["info"])["file_problems"], json!([problem]));
    let doctor = String::from_utf8(agent.run(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains(&format!("  {problem}: what the files define")), "{doctor}");
    agent.signal(Signal::HUP);
    assert_eq!(agent.instances("web"), healthy("web-1"));
    assert!(agent.is_running(), "a hangup ends nothing");
    // An agent that starts with a broken file keeps what it had.
    let agent = restarted(home, agent);
    assert_eq!((agent.instances("web"), agent.instances("new")), (healthy("web-1"), vec![]));
    write(home, "web.toml", WEB);
    assert_eq!(agent.json(&["info"])["file_problems"].as_array().map(Vec::len), Some(1));
    agent.ok(&["reload"]);
    assert_eq!(agent.json(&["info"])["file_problems"], json!(null), "all files are in order");
    assert_eq!(agent.instances("new"), healthy("new"));
}

#[test]
fn what_files_add_at_a_start_is_not_restored_and_what_they_keep_is() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    write(home, "web.toml", WEB);
    let agent = start(home);
    let restored = |agent: &Agent, id: &str| {
        let local = agent.json(&["services", "--local"]);
        let all = items(&local["registrations"]);
        all.iter().find(|one| one["instance"] == id).unwrap()["restored"].clone()
    };
    assert_eq!(restored(&agent, "web-1"), false);
    write(home, "new.toml", "service = \"new\"\nport = 1\n");
    agent.ok(&["register", "by-hand", "--port", "1"]);
    let agent = restarted(home, agent);
    let told = ["web-1", "new", "by-hand"].map(|id| restored(&agent, id));
    assert_eq!(told, [true, false, true]);
}

#[test]
fn hangups_from_the_first_moment_on_do_not_end_a_start() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    write(home, "web.toml", WEB);
    let mut command = hobnob(&["agent", "--name", "a1", "--bind", &ANY_PORT.to_string()]);
    command.arg("--data-dir").arg(home.join("a1")).arg("--socket").arg(socket(home, "a1"));
    command.arg(format!("--config-dir={}", dir(home).display()));
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    // No program can outlive a signal before its first instruction: that is for who starts it.
    eventually("the program runs", || catches_hangups(child.id()));
    let over = Arc::new(AtomicBool::new(false));
    let is_over = over.clone();
    let hangups = std::thread::spawn(move || {
        let mut sent = 0;
        while !is_over.load(Ordering::SeqCst) && kill_process(pid, Signal::HUP).is_ok() {
            sent += 1;
            std::thread::yield_now();
        }
        sent
    });
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let is_ready = log.any(|line| line.contains("the agent is ready"));
    over.store(true, Ordering::SeqCst);
    let sent = hangups.join().unwrap();
    let rest = std::thread::spawn(move || log.count());
    assert!(is_ready && sent > 0, "it ended after {sent} hangups");
    let agent = Agent::adopt(home, "a1", child);
    assert_eq!(agent.instances("web"), healthy("web-1"));
    drop(agent);
    rest.join().unwrap();
}

/// Whether a process handles SIGHUP, or ignores it.
fn catches_hangups(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let has = |set: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(set)).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1
    };
    has("SigCgt:") || has("SigIgn:")
}

fn restarted(home: &Path, mut agent: Agent) -> Agent {
    agent.kill();
    drop(agent);
    start(home)
}

#[test]
fn a_file_that_is_gone_at_the_next_start_takes_its_instances_along() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    write(home, "web.toml", WEB);
    write(home, "db.json", DB);
    let mut agent = start(home);
    agent.ok(&["register", "by-hand", "--port", "1"]);
    agent.kill();
    remove(home, "web.toml");
    let agent = start(home);
    assert_eq!((agent.instances("web"), agent.instances("db")), (vec![], healthy("db-1")));
    assert_eq!(agent.instances("by-hand"), healthy("by-hand"));
    drop(agent);
    let agent = Agent::start(home, "a1", &[]);
    assert_eq!(agent.instances("db"), vec![], "no directory, no instances of it");
    assert_eq!(agent.instances("by-hand"), healthy("by-hand"));
}

#[test]
fn scripts_in_files_need_to_be_enabled() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let json = r#"{"service": {"name": "web", "port": 1, "checks": [
        {"id": "runs", "args": ["/bin/true"], "interval": "1s"}, {"id": "lease", "ttl": "1h", "status": "passing"}]}}"#;
    write(home, "web.json", json);
    let agent = start(home);
    let output = agent.run(&["reload"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && told.contains("script"), "{told}");
    drop(agent);
    let args =
        ["--enable-script-checks".to_owned(), format!("--config-dir={}", dir(home).display())];
    let agent = Agent::start_with(home, "a1", ANY_PORT, &args);
    eventually("both checks pass", || agent.instances("web") == healthy("web"));
}

#[test]
fn a_directory_that_is_not_there_is_told_and_read_once_it_is() {
    let home = tempfile::tempdir().unwrap();
    let args = [format!("--config-dir={}", dir(home.path()).display())];
    let agent = Agent::start_with(home.path(), "a1", ANY_PORT, &args);
    for warning in
        ["services.d: cannot be read", "the directory of service definitions is not watched"]
    {
        eventually(warning, || agent.has_logged(warning));
    }
    assert_eq!(agent.run(&["reload"]).status.code(), Some(1));
    write(home.path(), "web.toml", WEB);
    agent.signal(Signal::HUP);
    if !crate::process::hangups_are_ignored_here() {
        eventually("a hangup reads it", || agent.instances("web") == healthy("web-1"));
    }
    agent.ok(&["reload"]);
    assert_eq!(agent.instances("web"), healthy("web-1"));
    write(home.path(), "new.toml", "service = \"new\"\nport = 1\n");
    eventually("it is watched from then on", || agent.instances("new") == healthy("new"));
    assert_eq!(agent.logged("is not watched").len(), 1, "one warning");
}

#[test]
fn files_and_the_socket_never_change_each_other_s_instances() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    write(home, "web.toml", WEB);
    let agent = start(home);
    let registered_by = agent.json(&["explain", "web-1"])["instances"][0]["registered_by"].clone();
    assert_eq!(registered_by["file"], "web.toml");
    for args in [&["register", "web", "--id", "web-1", "--port", "1"][..], &["deregister", "web-1"]]
    {
        let output = agent.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("`web-1` is defined by the file web.toml"), "{told}");
    }
    agent.ok(&["register", "db", "--id", "db-1", "--port", "1"]);
    write(home, "db.json", DB);
    let output = agent.run(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains(
            "db.json:1: the instance `db-1` of the service `db` is registered over the socket"
        ),
        "{told}"
    );
    agent.ok(&["deregister", "db-1"]);
    agent.ok(&["reload"]);
    assert_eq!(agent.json(&["resolve", "db"])["instances"][0]["tags"], json!(["primary"]));
}

#[test]
fn an_agent_shows_its_settings_and_names_those_that_need_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let file = home.join("hobnob.toml");
    let text = "zone = \"r1\"\nkeep_on_exit = true\n[protocol]\ndigest_period_ms = 400\n";
    fs::write(&file, text).unwrap();
    let args = [format!("--config={}", file.display())];
    let mut agent = Agent::start_with(home, "a1", ANY_PORT, &args);
    let setting = |agent: &Agent, key: &str| {
        let shown = agent.json(&["config", "show"]);
        let settings = shown["settings"].as_array().unwrap().clone();
        settings.into_iter().find(|setting| setting["key"] == key).unwrap()
    };
    let zone = |agent: &Agent| setting(agent, "zone");
    let found = json!({"key": "datacenter", "value": "dc1", "origin": "found"});
    assert_eq!(setting(&agent, "datacenter"), found);
    assert_eq!(setting(&agent, "name")["origin"], "flag");
    let bound = agent.json(&["info"])["sync_address"].take();
    assert_eq!(setting(&agent, "sync_bind")["value"], bound);
    let place = format!("{}:1", file.display());
    assert_eq!(
        zone(&agent),
        json!({"key": "zone", "value": "r1", "origin": "file", "place": place})
    );
    assert_eq!(agent.json(&["info"])["zone"], "r1");
    assert_eq!(agent.json(&["info"])["protocol"]["digest_period"], "400ms");
    fs::write(&file, text.replace("r1", "r2")).unwrap();
    assert_eq!(reloaded(&agent), json!({"kept": 0, "restart_for": ["zone"]}));
    assert_eq!(zone(&agent)["value"], "r1", "what counts now");
    fs::write(&file, "zoen = \"r2\"\n").unwrap();
    assert_eq!(agent.run(&["reload"]).status.code(), Some(1));
    agent.terminate();
    let output = hobnob(&["agent"]).args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "a start with a broken file is refused");
}
