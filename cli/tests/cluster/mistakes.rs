//! Mistakes get a clear error, and harm nothing else.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::agent::{ANY_PORT, Agent, eventually, hobnob, nobody, socket};

fn failed(output: &Output, code: i32, says: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    for part in says {
        assert!(error.contains(part), "no `{part}` in: {error}");
    }
}

#[test]
fn commands_that_cannot_be_done() {
    let home = tempfile::tempdir().unwrap();
    let mut a1 = Agent::start(home.path(), "a1", &[]);
    let (_silent, nobody) = nobody();
    let nobody = nobody.to_string();
    failed(
        &a1.run(&["join", &nobody]),
        1,
        &["no agent of the cluster `default` answered", &nobody],
    );
    failed(&a1.run(&["join", "nowhere:"]), 2, &["nowhere:"]);
    failed(&a1.run(&["join", &a1.bind().to_string()]), 2, &["this agent itself"]);
    for nobody in ["0.0.0.0:7946", "[::]:7946", "255.255.255.255", "224.0.0.1"] {
        failed(&a1.run(&["join", nobody]), 2, &[nobody, "such as 10.0.0.7:7946"]);
    }
    failed(&a1.run(&["resolve", "nothing"]), 3, &["nothing"]);
    failed(&a1.run(&["pick", "nothing"]), 3, &["nothing"]);
    a1.ok(&["register", "web", "--port", "80"]);
    for asking in ["resolve", "pick"] {
        let output = a1.run(&[asking, "web", "--selector", "tier=gold", "--dc", "dc9"]);
        failed(&output, 3, &["the one instance of `web`", "--selector 'tier=gold' --dc dc9"]);
    }
    failed(&a1.run(&["services", "--namespace", "nowhere"]), 3, &["namespace `nowhere`"]);
    failed(&a1.run(&["deregister", "nothing"]), 3, &["`nothing`"]);
    failed(
        &a1.run(&["register", "web", "--port", "80", "--meta", "tier"]),
        2,
        &["tier", "key=value"],
    );
    failed(&a1.run(&["register", "web", "--port", "0"]), 2, &["port"]);
    failed(&a1.run(&["register", "web", "--port", "80", "--address", "a b"]), 2, &["host name"]);
    failed(&a1.run(&["register", "web", "--port", "80", "--address", "999.1.1.1"]), 2, &["IP"]);
    for nobody in ["0.0.0.0", "::", "255.255.255.255", "224.0.0.1", "ff02::1"] {
        let register = ["register", "web", "--port", "80", "--address", nobody];
        failed(&a1.run(&register), 2, &[nobody, "the address of one host"]);
    }
    failed(&a1.run(&["register", "", "--port", "80"]), 2, &["SERVICE"]);
    failed(&a1.run(&["report", "foo"]), 2, &["hobnob pick --report"]);
    failed(&a1.run(&["register", &"x".repeat(200), "--port", "80"]), 2, &["128"]);
    failed(&a1.run(&["register", "web", "--port", "80", "--check-http", "ftp://x/"]), 2, &["ftp"]);
    assert!(a1.is_running());
    let home = home.path().join("missing.sock");
    let output = hobnob(&["members", "--socket"]).arg(&home).output().unwrap();
    failed(&output, 1, &["no agent answers", "missing.sock"]);
}

#[test]
fn agents_that_must_not_start() {
    let home = tempfile::tempdir().unwrap();
    let mut a1 = Agent::start(home.path(), "a1", &[]);
    let bind = ANY_PORT.to_string();
    let start = |data_dir: &str, socket_name: &str, bind: &str, more: &[&str]| {
        let mut command = hobnob(&["agent", "--name", "second", "--bind", bind]);
        command.arg("--data-dir").arg(home.path().join(data_dir));
        command.arg("--socket").arg(socket(home.path(), socket_name));
        command.args(more).output().unwrap()
    };
    failed(&start("second", "a1", &bind, &[]), 1, &["another agent already answers", "a1.sock"]);
    failed(&start("a1", "second", &bind, &[]), 1, &["a1"]);
    let taken = a1.bind().to_string();
    failed(&start("second", "second", &taken, &[]), 1, &[&taken, "--bind"]);
    failed(&start("second", "second", "0.0.0.0:0", &[]), 2, &["--insecure", "not authenticated"]);
    failed(&start("second", "second", "0.0.0.0:0", &["--insecure"]), 2, &["--advertise"]);
    failed(&start("second", "second", "nonsense:", &[]), 2, &["nonsense:", "127.0.0.1:7946"]);
    failed(&start("second", "second", &bind, &["--sync-bind", "[::1]:0"]), 2, &["--sync-bind"]);
    failed(&start("second", "second", &bind, &["--advertise", "10.1.2.3"]), 2, &["loopback"]);
    failed(&start("second", "second", &bind, &["--zone", "z 1"]), 2, &["zone `z 1` has a space"]);
    failed(&start("second", &"x".repeat(120), &bind, &[]), 2, &["107 bytes"]);
    assert!(a1.is_running());
    a1.ok(&["members"]);
    assert!(!socket(home.path(), "second").exists(), "a failed start leaves no socket");
}

#[test]
fn an_agent_that_is_told_to_join_itself_is_the_first_one() {
    let home = tempfile::tempdir().unwrap();
    let mut a1 = Agent::start(home.path(), "a1", &[]);
    let own = a1.bind();
    a1.terminate();
    let mut command = hobnob(&["agent", "--bind", &own.to_string(), "--join", &own.to_string()]);
    command.arg("--data-dir").arg(home.path().join("a1")).arg("--socket");
    command.arg(socket(home.path(), "a1")).stderr(Stdio::piped());
    let mut agent = command.spawn().unwrap();
    let mut log = BufReader::new(agent.stderr.take().unwrap()).lines().map(Result::unwrap);
    let warning = log.find(|line| line.contains("WARN")).unwrap();
    assert!(warning.contains("this agent's own") && warning.contains("--join"), "{warning}");
    kill_process(Pid::from_child(&agent), Signal::TERM).unwrap();
    assert!(log.all(|line| !line.contains("WARN")));
    agent.wait().unwrap();

    let a2 = Agent::start(home.path(), "a2", &[]);
    let seeds = [own, a2.bind()].map(|address| address.to_string());
    let a1 = Agent::start_at(home.path(), "a1", own, &seeds);
    eventually("it found the other", || a1.alive() == 2 && a1.json(&["info"])["isolated"] == false);
}

#[test]
fn a_stale_socket_is_taken_over_and_another_file_is_not() {
    let home = tempfile::tempdir().unwrap();
    drop(UnixListener::bind(socket(home.path(), "a1")).unwrap());
    assert!(socket(home.path(), "a1").exists(), "a socket that nobody listens on");
    let a1 = Agent::start(home.path(), "a1", &[]);
    a1.ok(&["members"]);

    let file = socket(home.path(), "precious");
    std::fs::write(&file, "data").unwrap();
    let mut command = hobnob(&["agent", "--bind", &ANY_PORT.to_string(), "--socket"]);
    let output =
        command.arg(&file).arg("--data-dir").arg(home.path().join("other")).output().unwrap();
    failed(&output, 1, &["is not a socket", "precious"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "data");
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest_known_one() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1-checkout", &[]);
    a1.ok(&["register", "web", "--id", "web-1", "--port", "80"]);
    a1.ok(&["register", "ledger", "--namespace", "bank", "--port", "81"]);
    for (line, code, says) in [
        ("resolve wbe", 3, "did you mean `web`?"),
        ("pick wbe", 3, "did you mean `web`?"),
        ("resolve ledger", 3, "did you mean `--namespace bank`?"),
        ("resolve legder", 3, "did you mean `ledger --namespace bank`?"),
        ("services --namespace bnak", 3, "did you mean `bank`?"),
        ("members --dc dc11", 3, "did you mean `dc1`?"),
        ("explain wbe-1", 3, "help: did you mean `web-1`? give the name"),
        ("explain a1-chekcout", 3, "did you mean `a1-checkout`?"),
        ("deregister web1", 3, "help: did you mean `web-1`? `hobnob services`"),
        ("maintenance on web1", 3, "did you mean `web-1`?"),
        ("drain wb-1", 3, "did you mean `web-1`?"),
        ("check pass wb-1", 3, "did you mean `web-1`?"),
        ("force-leave a1-chekout", 3, "did you mean `a1-checkout`? `hobnob members --all`"),
        ("datacenters isolate dc11", 3, "did you mean `dc1`? `hobnob datacenters`"),
        ("membres", 2, "help: some similar subcommands exist: 'metrics', 'members'"),
    ] {
        let line: Vec<&str> = line.split(' ').collect();
        failed(&a1.run(&line), code, &[says]);
    }
    for refused in ["something-else", "wbe"] {
        let told = a1.run(&["explain", refused]);
        let told = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(!told.contains("did you mean `web`"), "`explain web` is refused: {told}");
    }
    let far = a1.run(&["explain", "something-else"]);
    assert!(!String::from_utf8_lossy(&far.stderr).contains("did you mean"), "{far:?}");
}
