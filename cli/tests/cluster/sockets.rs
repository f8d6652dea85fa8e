//! The sockets of an agent: who may ask, who may change, and what is told of those who did.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::agent::{ANSWER_TIMEOUT, ANY_PORT, Agent, eventually, hobnob, socket};

/// Ids that no host gives to anybody.
const USER: u32 = 1_999_900_001;
const STRANGER: u32 = 1_999_900_002;
const GROUP: u32 = 1_999_900_003;

fn query_socket(home: &Path) -> PathBuf {
    socket(home, "query")
}

/// An agent with a query socket.
fn start(home: &Path, more: &[&str]) -> Agent {
    let mut args = vec![format!("--query-socket={}", query_socket(home).display())];
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
    Agent::start_with(home, "a1", ANY_PORT, &args)
}

fn ask(home: &Path, args: &[&str]) -> Output {
    hobnob(args).arg("--socket").arg(query_socket(home)).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn registered_by(agent: &Agent, id: &str) -> Value {
    agent.json(&["explain", id])["instances"][0]["registered_by"].clone()
}

#[test]
fn a_query_socket_answers_every_question_and_refuses_every_change() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let mut agent = start(home, &[]);
    assert_eq!((mode(&agent.socket()), mode(&query_socket(home))), (0o660, 0o666));
    agent.ok(&["register", "web", "--port", "80"]);
    for question in [
        &["resolve", "web"][..],
        &["services"],
        &["members", "--all"],
        &["info", "--counters"],
        &["explain", "web"],
    ] {
        let output = ask(home, question);
        assert!(output.status.success(), "{question:?}: {}", told(&output));
    }
    let picked = ask(home, &["pick", "web", "--report", "--json"]);
    let picked: Value = serde_json::from_slice(&picked.stdout).unwrap();
    let token = picked["picks"][0]["token"].to_string();
    let reported = ask(home, &["report", &token, "--outcome", "failure"]);
    assert!(reported.status.success(), "a report is no change: {}", told(&reported));
    let mut watch = hobnob(&["watch", "web", "--socket"]);
    let mut watch = watch.arg(query_socket(home)).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(watch.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("web"), "{first}");
    watch.kill().unwrap();
    watch.wait().unwrap();

    let (full, query) = (agent.socket(), query_socket(home));
    let changes = [
        &["register", "web", "--id", "other", "--port", "81"][..],
        &["deregister", "web"],
        &["join", "127.0.0.1:1"],
        &["leave"],
        &["force-leave", "a1"],
        &["prune"],
        &["keys", "rotate"],
    ];
    for change in changes {
        let output = ask(home, change);
        let error = told(&output);
        assert_eq!(output.status.code(), Some(2), "{change:?}: {error}");
        for part in [query.to_str().unwrap(), full.to_str().unwrap(), "--socket"] {
            assert!(error.contains(part), "no `{part}` in: {error}");
        }
    }
    let mut stream = UnixStream::connect(&query).unwrap();
    // Only for a test that fails.
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).unwrap();
    let calls =
        [json!({ "deregister": { "id": "web" } }), json!({ "resolve": { "service": "web" } })];
    for (id, request) in calls.iter().enumerate() {
        writeln!(stream, "{}", json!({ "id": id, "request": request })).unwrap();
    }
    let mut answers = BufReader::new(stream).lines().map(|line| line.unwrap());
    let mut next = || serde_json::from_str::<Value>(&answers.next().unwrap()).unwrap();
    let refused = next()["response"]["error"].clone();
    assert_eq!(
        (&refused["kind"], &refused["code"]),
        (&json!("invalid"), &json!("socket_read_only"))
    );
    assert_eq!(next()["response"]["instances"]["instances"][0]["id"], "web", "it goes on");

    assert_eq!(agent.healthy("web"), ["web"], "nothing has changed");
    assert_eq!(agent.counter("query_changes_refused"), changes.len() as u64 + 1);
    assert!(agent.is_running());
    agent.terminate();
    assert!(!query.exists(), "it left its query socket behind");
}

#[test]
fn the_process_that_registered_an_instance_is_told_and_outlasts_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    let other = Agent::start(home.path(), "a2", &[&agent]);
    let run = |args: &[&str]| {
        let mut command = hobnob(args);
        command.env("HOBNOB_SOCKET", agent.socket()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        assert!(child.wait().unwrap().success(), "{args:?}");
        child.id()
    };
    let uid = rustix::process::geteuid().as_raw();
    let pid = run(&["register", "web", "--port", "80"]);
    let by = registered_by(&agent, "web");
    assert_eq!((&by["uid"], &by["pid"]), (&json!(uid), &json!(pid)));
    run(&["register", "web", "--port", "80"]);
    assert_eq!(registered_by(&agent, "web"), by, "a registration that changes nothing");
    let replaced = run(&["register", "web", "--port", "81"]);
    let by = registered_by(&agent, "web");
    assert_eq!(by["pid"], json!(replaced));
    let text = String::from_utf8(agent.run(&["explain", "web"]).stdout).unwrap();
    let says = format!("registered by uid {uid} (pid {replaced}) at 20");
    assert!(text.contains(&says), "no `{says}` in: {text}");

    eventually("the other agent has it", || other.healthy("web") == ["web"]);
    assert_eq!(registered_by(&other, "web"), Value::Null, "only its own agent knows");
    run(&["register", "db", "--port", "82"]);
    let removed = run(&["deregister", "db"]);
    let names = |action: &str, pid: u32| {
        let words = [format!("uid={uid}"), format!("pid={pid}")];
        let has_all = |line: &String| {
            words.iter().all(|word| line.split_whitespace().any(|part| part == word))
        };
        agent.logged(action).iter().any(has_all)
    };
    eventually("the log names both", || {
        names(" registered", replaced) && names(" deregistered", removed)
    });
    agent.run(&["prune"]);
    eventually("and other changes", || !agent.logged("had members pruned uid=").is_empty());

    let agent = agent.restart();
    assert_eq!(registered_by(&agent, "web"), by);
}

#[test]
fn a_crowd_at_the_query_socket_keeps_nobody_from_the_full_one() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 128 && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_hobnob")]);
    command.args(["agent", "--name", "a1", "--bind", &ANY_PORT.to_string()]);
    command.arg("--data-dir").arg(home.join("a1")).arg("--socket").arg(socket(home, "a1"));
    command.arg("--query-socket").arg(query_socket(home)).stderr(Stdio::null());
    let agent = Agent::adopt(home, "a1", command.spawn().unwrap());
    eventually("it answers", || agent.run(&["info"]).status.success());
    let crowd: Vec<_> =
        (0..100).map(|_| UnixStream::connect(query_socket(home)).unwrap()).collect();
    eventually("some of the crowd are sent away", || {
        agent.counter("query_connections_refused") > 0
    });
    agent.ok(&["register", "web", "--port", "80"]);
    agent.ok(&["pick", "web"]);
    let full = agent.json(&["info"])["counters"].clone();
    assert_eq!(full["api_connections_refused"], 0, "{full}");
    assert_eq!(full["api_connections"], 1, "{full}");
    drop(crowd);
    eventually("the query socket answers again", || ask(home, &["pick", "web"]).status.success());
}

#[test]
fn mistakes_with_sockets_name_the_flag_and_leave_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let full = socket(home, "a1");
    let fails = |args: &[&str], code: i32, says: &[&str]| {
        let mut command = hobnob(&["agent", "--name", "a1", "--bind", &ANY_PORT.to_string()]);
        command.arg("--data-dir").arg(home.join("a1")).arg("--socket").arg(&full).args(args);
        let output = command.output().unwrap();
        let error = told(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        for part in says {
            assert!(error.contains(part), "no `{part}` in: {error}");
        }
        assert!(!full.exists(), "{args:?} leaves a socket behind");
    };
    symlink(home, home.join("link")).unwrap();
    for same in [full.clone(), home.join("link/a1.sock")] {
        let same = same.to_str().unwrap();
        fails(&["--query-socket", same], 2, &[same, "is the full socket", "--query-socket"]);
    }
    let query = query_socket(home);
    let query = query.to_str().unwrap();
    fails(&["--query-socket", query, "--query-socket-mode", "999"], 2, &["999", "0666 for all"]);
    fails(&["--query-socket-mode", "660"], 2, &["--query-socket <PATH>"]);
    let long = home.join("x".repeat(120));
    fails(&["--query-socket", long.to_str().unwrap()], 2, &["107 bytes", "--query-socket"]);
    let group = ["--write-group", "no such group"];
    fails(&group, 1, &["`no such group`", "groupadd", "--write-group"]);
    fs::write(query, "precious").unwrap();
    fails(&["--query-socket", query], 1, &["is not a socket", "--query-socket"]);
    assert_eq!(fs::read_to_string(query).unwrap(), "precious");

    fs::remove_file(query).unwrap();
    drop(UnixListener::bind(query).unwrap());
    let agent = start(home, &["--query-socket-mode", "0600"]);
    assert!(ask(home, &["members"]).status.success(), "a stale socket is taken over");
    assert_eq!(mode(Path::new(query)), 0o600);
    drop(agent);
}

/// A folder that all users may enter and write to, with a binary that all may run; `None` when this user cannot run
/// processes as other users.
fn for_all_users() -> Option<(tempfile::TempDir, PathBuf)> {
    let mut probe = Command::new("true");
    if !probe.uid(USER).gid(GROUP).status().is_ok_and(|status| status.success()) {
        println!("skipped: this user may not run processes as other users");
        return None;
    }
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let (built, binary) = (env!("CARGO_BIN_EXE_hobnob"), home.path().join("hobnob"));
    fs::hard_link(built, &binary).or_else(|_| fs::copy(built, &binary).map(drop)).unwrap();
    Some((home, binary))
}

#[test]
fn the_group_of_the_full_socket_may_change_and_all_users_may_ask() {
    let Some((home, binary)) = for_all_users() else { return };
    let (home, group) = (home.path(), GROUP.to_string());
    let agent = start(home, &["--write-group", &group]);
    let full = fs::metadata(agent.socket()).unwrap();
    assert_eq!((full.gid(), full.permissions().mode() & 0o777), (GROUP, 0o660));
    let run = |uid: u32, gid: u32, path: &Path, args: &[&str]| {
        let mut command = Command::new(&binary);
        command.args(args).arg("--socket").arg(path).uid(uid).gid(gid).current_dir("/");
        command.env_clear().output().unwrap()
    };
    let (full, query) = (agent.socket(), query_socket(home));
    let register = ["register", "web", "--port", "80"];
    let member = run(USER, GROUP, &full, &register);
    assert!(member.status.success(), "{}", told(&member));
    assert_eq!(registered_by(&agent, "web")["uid"], USER);

    let stranger = run(STRANGER, STRANGER, &full, &register);
    assert_eq!(stranger.status.code(), Some(1), "{}", told(&stranger));
    assert!(told(&stranger).contains("--query-socket"), "{}", told(&stranger));
    let asks = run(STRANGER, STRANGER, &query, &["explain", "web"]);
    assert!(told(&asks).contains(&format!("registered by uid {USER} (pid ")), "{}", told(&asks));
    let changes = run(STRANGER, STRANGER, &query, &["deregister", "web"]);
    assert_eq!(changes.status.code(), Some(2), "{}", told(&changes));

    fs::remove_file(agent.socket()).unwrap();
    eventually("it is made again, for the same group", || {
        fs::metadata(agent.socket())
            .is_ok_and(|file| file.gid() == GROUP && file.mode() & 0o777 == 0o660)
    });
}

#[test]
fn an_agent_that_may_not_give_its_socket_to_a_group_says_what_to_do() {
    let Some((home, binary)) = for_all_users() else { return };
    let path = socket(home.path(), "a1");
    let mut command = Command::new(&binary);
    command.args([
        "agent",
        "--name",
        "a1",
        "--bind",
        &ANY_PORT.to_string(),
        "--write-group",
        "root",
    ]);
    command.arg("--data-dir").arg(home.path().join("a1")).arg("--socket").arg(&path);
    command.uid(USER).gid(GROUP).current_dir("/").env_clear();
    let output = command.output().unwrap();
    let error = told(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    for part in ["`root` (gid 0)", path.to_str().unwrap(), "SupplementaryGroups=", "--write-group"]
    {
        assert!(error.contains(part), "no `{part}` in: {error}");
    }
    assert!(!path.exists(), "it leaves a socket behind");
}
