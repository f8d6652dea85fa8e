//! `hobnob template` beside real agents: files that follow the catalog, commands, and what goes wrong.

mod envoy;
mod support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

use self::support::{Folder, IDS, Keeping, listed, register, told};
use crate::agent::{ANSWER_TIMEOUT, ANY_PORT, Agent, eventually, hobnob, socket};
use crate::process::hangups_are_ignored_here;

#[test]
fn a_file_follows_its_service_and_a_burst_of_changes_makes_one_command() {
    let folder = Folder::new(IDS);
    let agent = Agent::start(folder.home.path(), "a1", &[]);
    register(&agent, "web-1");
    let spec = folder.spec("echo run >>@/runs");
    let keeping = Keeping::start(&agent.socket(), &["--wait", "5s:1m", &spec]);
    eventually("the command ran", || folder.read("runs").lines().count() == 1);
    assert_eq!(folder.read("out"), listed(&["web-1"]));

    let registering: Vec<Child> = (2..=6)
        .map(|number| {
            let id = format!("web-{number}");
            let mut command = hobnob(&["register", "web", "--id", &id, "--port", "80"]);
            command.env("HOBNOB_SOCKET", agent.socket()).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in registering {
        assert!(child.wait().unwrap().success());
    }
    eventually("the command ran again", || folder.read("runs").lines().count() == 2);
    assert_eq!(
        folder.read("out"),
        listed(&["web-1", "web-2", "web-3", "web-4", "web-5", "web-6"]),
        "all of them at once"
    );
    eventually("all is told", || keeping.outcomes().len() >= 4);
    let both = ["written", "command_succeeded"];
    assert_eq!(keeping.outcomes(), [both, both].concat());
    assert_eq!(keeping.terminate(), Some(0));
}

#[test]
fn a_service_that_a_template_finds_in_metadata_is_followed_too() {
    let folder = Folder::new(
        "{% for web in service('web') %}\n{% for one in service(web.meta.of) %}\n{{ one.id }}\n{% endfor %}\n{% endfor %}",
    );
    let agent = Agent::start(folder.home.path(), "a1", &[]);
    agent.ok(&["register", "web", "--port", "80", "--meta", "of=db"]);
    agent.ok(&["register", "db", "--id", "db-1", "--port", "81"]);
    agent.ok(&["register", "api", "--id", "api-1", "--port", "81"]);
    let keeping = Keeping::start(&agent.socket(), &["--wait", "1ms", &folder.spec("")]);
    eventually("it is written", || folder.read("out") == "db-1\n");
    agent.ok(&["register", "db", "--id", "db-2", "--port", "81"]);
    eventually("it follows db", || folder.read("out") == "db-1\ndb-2\n");
    agent.ok(&["register", "web", "--port", "80", "--meta", "of=api"]);
    eventually("it follows api", || folder.read("out") == "api-1\n");
    eventually("all is told", || keeping.outcomes().len() >= 3);
    assert_eq!(keeping.outcomes(), ["written"; 3], "nothing is written before all is known");
}

#[test]
fn a_command_that_fails_is_tried_again_and_a_newer_text_comes_first() {
    let folder = Folder::new(IDS);
    let agent = Agent::start(folder.home.path(), "a1", &[]);
    register(&agent, "web-1");
    let spec = folder.spec("cat @/out >>@/seen; test -e @/ok");
    let keeping = Keeping::start(&agent.socket(), &["--wait", "1ms", &spec]);
    eventually("it failed twice", || keeping.outcomes().len() >= 3);
    assert_eq!(keeping.outcomes()[..3], ["written", "command_failed", "command_failed"]);
    eventually("the first failure is told", || {
        keeping.told("failed: it ended with exit code 1; trying again in 1s") == 1
    });
    register(&agent, "web-2");
    eventually("the command has seen the newer text", || {
        folder.read("seen").ends_with(&listed(&["web-1", "web-2"]))
    });
    fs::write(folder.path("ok"), "").unwrap();
    eventually("it succeeded", || {
        keeping.outcomes().last().is_some_and(|last| last == "command_succeeded")
    });
    let written = keeping.outcomes().iter().filter(|outcome| *outcome == "written").count();
    assert_eq!(written, 2);
}

#[test]
fn a_reader_never_sees_a_part_of_a_file() {
    let folder = Folder::new(
        "{% set weight = service('web')[0].weight %}{% for line in range(5000) %}\n{{ weight }}\n{% endfor %}\n",
    );
    let agent = Agent::start(folder.home.path(), "a1", &[]);
    let weigh = |weight: u32| {
        let weight = weight.to_string();
        agent.ok(&["register", "web", "--port", "80", "--weight", &weight]);
    };
    weigh(1);
    let keeping = Keeping::start(&agent.socket(), &["--wait", "1ms", &folder.spec("")]);
    eventually("it is there", || folder.path("out").exists());
    let (out, is_over) = (folder.path("out"), Arc::new(AtomicBool::new(false)));
    let ends = is_over.clone();
    let reader = std::thread::spawn(move || {
        let mut seen = std::collections::BTreeSet::new();
        while !ends.load(Ordering::Relaxed) {
            let text = fs::read_to_string(&out).unwrap();
            let first = text.lines().next().unwrap().to_owned();
            assert_eq!(text.lines().count(), 5_000);
            assert!(text.lines().all(|line| line == first), "{first} and others");
            seen.insert(first);
        }
        seen
    });
    for weight in 2..=20 {
        weigh(weight);
    }
    eventually("the last is there", || folder.read("out").starts_with("20\n"));
    is_over.store(true, Ordering::Relaxed);
    let seen = reader.join().unwrap();
    println!("{} texts were seen", seen.len());
    assert!(keeping.outcomes().len() > 1);
    let left: Vec<_> =
        fs::read_dir(folder.home.path()).unwrap().map(|entry| entry.unwrap()).collect();
    assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().ends_with(".tmp")));
}

#[test]
fn a_file_loses_nothing_while_the_agent_is_away_or_has_just_returned() {
    let folder = Folder::new(IDS);
    let a1 = Agent::start(folder.home.path(), "a1", &[]);
    let a2 = Agent::start(folder.home.path(), "a2", &[&a1]);
    register(&a1, "web-1");
    register(&a2, "web-2");
    eventually("both are known", || a1.healthy("web").len() == 2);
    let spec = folder.spec("cat @/out >>@/seen");
    let keeping = Keeping::start(&a1.socket(), &["--wait", "1ms", &spec]);
    eventually("it is written", || folder.read("seen") == listed(&["web-1", "web-2"]));
    let mut a1 = a1;
    a1.kill();
    eventually("it says that the agent is away", || {
        keeping.told("all files stay as they are") == 1
    });
    keeping.signal(Signal::HUP);
    assert_eq!(folder.read("out"), listed(&["web-1", "web-2"]));
    let a1 = a1.restart();
    eventually("the agent is back", || keeping.told("the agent answers again") == 1);
    register(&a1, "web-3");
    eventually("it goes on", || folder.read("out") == listed(&["web-1", "web-2", "web-3"]));
    let seen = folder.read("seen");
    for text in seen.split("end\n").filter(|text| !text.is_empty()) {
        assert!(text.contains("web-1\nweb-2\n"), "{seen}");
    }
}

#[test]
fn without_an_agent_nothing_is_written_until_there_is_one() {
    let folder = Folder::new(IDS);
    fs::write(folder.path("out"), "before\n").unwrap();
    let home = folder.home.path();
    let once = hobnob(&["template", "--once", &folder.spec("")])
        .env("HOBNOB_SOCKET", socket(home, "a1"))
        .output()
        .unwrap();
    assert_eq!(once.status.code(), Some(1), "{}", told(&once));
    assert!(told(&once).starts_with("error: no agent answers at "), "{}", told(&once));
    assert!(told(&once).contains("\nhelp: start an agent"), "{}", told(&once));
    let keeping = Keeping::start(&socket(home, "a1"), &[&folder.spec("")]);
    eventually("it says so", || keeping.told("all files stay as they are") == 1);
    assert_eq!(folder.read("out"), "before\n");
    let agent = Agent::start(home, "a1", &[]);
    register(&agent, "web-1");
    eventually("it is written", || folder.read("out") == listed(&["web-1"]));
}

#[test]
fn once_and_dry_run_say_by_their_exit_codes_how_it_went() {
    let folder = Folder::new(IDS);
    let agent = Agent::start(folder.home.path(), "a1", &[]);
    let spec = folder.spec("echo run; echo run >>@/runs");
    let once = || agent.run(&["template", "--once", &spec]);
    let empty = agent.run(&["template", "--dry-run", &spec]);
    assert_eq!(empty.status.code(), Some(3), "{}", told(&empty));
    assert!(told(&empty).contains("nothing of `web` can be offered"), "{}", told(&empty));
    let printed = String::from_utf8(empty.stdout).unwrap();
    assert!(printed.contains("/out: new, then this would run: echo run;"), "{printed}");
    assert!(printed.ends_with("\nbegin\nend\n"), "{printed}");
    assert!(!folder.path("out").exists() && !folder.path("runs").exists());

    register(&agent, "web-1");
    let first = once();
    assert_eq!(first.status.code(), Some(0), "{}", told(&first));
    let printed = String::from_utf8(first.stdout.clone()).unwrap();
    assert!(printed.starts_with("written: ") && printed.contains("\nran in "), "{printed}");
    assert_eq!(told(&first), "run\n", "what the command prints goes to stderr");
    let second = once();
    assert!(String::from_utf8(second.stdout).unwrap().starts_with("unchanged: "));
    assert_eq!(folder.read("runs"), "run\n", "nothing changed, so nothing ran");
    let dry = agent.json(&["template", "--dry-run", &spec]);
    assert_eq!((&dry["outcome"], &dry["text"]), (&"unchanged".into(), &listed(&["web-1"]).into()));

    register(&agent, "web-2");
    let failing = agent.run(&["template", "--once", "--json", &folder.spec("exit 7")]);
    assert_eq!(failing.status.code(), Some(1));
    assert!(told(&failing).contains("error: `exit 7` failed: it ended with exit code 7\n"));
    register(&agent, "web-3");
    let long =
        agent.run(&["template", "--once", "--command-timeout", "1s", &folder.spec("sleep 600")]);
    assert_eq!(long.status.code(), Some(1));
    assert!(told(&long).contains("it took longer than 1s, and was ended"), "{}", told(&long));
}

#[test]
fn a_mistake_is_told_with_its_place_and_the_remedy() {
    let folder = Folder::new("begin\n{{ servce }}\n");
    let agent = Agent::start(folder.home.path(), "a1", &[]);
    register(&agent, "web-1");
    let fails = |args: &[&str], code: i32, says: &[&str]| {
        let output = agent.run(&[&["template"], args].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", told(&output));
        for says in says {
            assert!(told(&output).contains(says), "{args:?}: {}", told(&output));
        }
    };
    let spec = folder.spec("");
    fails(
        &["--once", &spec],
        1,
        &["/a.tmpl:2: undefined value", "servce", "help: correct the template"],
    );
    fs::write(folder.path("a.tmpl"), "{% for x %}").unwrap();
    fails(&[&spec], 1, &["/a.tmpl:1: syntax error"]);
    fs::write(folder.path("a.tmpl"), IDS).unwrap();
    let (template, out) = (folder.path("a.tmpl"), folder.path("no/such/out"));
    let nowhere = format!("{}:{}", template.display(), out.display());
    fails(&["--once", &nowhere], 1, &["cannot write ", "help: make the folder ", "/no/such, or"]);
    let missing = format!("{}:{}", folder.path("none").display(), folder.path("out").display());
    fails(&["--once", &missing], 1, &["cannot read the template ", "No such file"]);
    fails(
        &[&spec, &format!("{}x", folder.spec("true"))],
        2,
        &["two templates have the destination "],
    );
    fails(&["a.tmpl"], 2, &["expected TEMPLATE:DESTINATION[:COMMAND]"]);
    fs::write(folder.path("a.tmpl"), "{{ service('a,b') }}").unwrap();
    fails(&["--once", &spec], 1, &["/a.tmpl:1: the service `a,b` has a comma"]);
}

#[test]
fn a_file_that_cannot_be_written_is_tried_again_and_told_once() {
    let folder = Folder::new(IDS);
    let agent = Agent::start(folder.home.path(), "a1", &[]);
    register(&agent, "web-1");
    let out = folder.path("later/out");
    let spec = format!("{}:{}", folder.path("a.tmpl").display(), out.display());
    let keeping = Keeping::start(&agent.socket(), &["--wait", "1ms", &spec]);
    eventually("it says so", || keeping.told("cannot write ") == 1);
    register(&agent, "web-2");
    fs::create_dir(folder.path("later")).unwrap();
    eventually("it is written", || folder.read("later/out") == listed(&["web-1", "web-2"]));
    assert_eq!(keeping.told("cannot write "), 1, "it is told once");
}

#[test]
fn a_signal_to_stop_lets_the_command_end() {
    let folder = Folder::new(IDS);
    let agent = Agent::start(folder.home.path(), "a1", &[]);
    register(&agent, "web-1");
    let spec = folder.spec("echo >@/begun; until test -e @/go; do sleep 0.05; done; echo >@/ended");
    let mut keeping = Keeping::start(&agent.socket(), &[&spec]);
    eventually("the command runs", || folder.path("begun").exists());
    keeping.signal(Signal::TERM);
    assert!(keeping.child.try_wait().unwrap().is_none(), "the command runs yet");
    fs::write(folder.path("go"), "").unwrap();
    assert_eq!(keeping.child.wait().unwrap().code(), Some(0));
    assert!(folder.path("ended").exists());
}

#[test]
fn a_hangup_reads_the_templates_again() {
    if hangups_are_ignored_here() {
        println!("skipped: SIGHUP is ignored here");
        return;
    }
    let folder = Folder::new(IDS);
    let agent = Agent::start(folder.home.path(), "a1", &[]);
    register(&agent, "web-1");
    let keeping = Keeping::start(&agent.socket(), &["--wait", "1ms", &folder.spec("")]);
    eventually("it is written", || folder.read("out") == listed(&["web-1"]));
    fs::write(folder.path("a.tmpl"), "{% for").unwrap();
    keeping.signal(Signal::HUP);
    eventually("the mistake is told", || keeping.told("/a.tmpl:1: syntax error") == 1);
    register(&agent, "web-2");
    eventually("the one before is in use", || folder.read("out") == listed(&["web-1", "web-2"]));
    fs::write(folder.path("a.tmpl"), "{{ service('web')|length }}").unwrap();
    keeping.signal(Signal::HUP);
    eventually("the new one is", || folder.read("out") == "2");
}

#[test]
fn a_service_manager_is_told_when_all_files_are_there() {
    let folder = Folder::new(IDS);
    let home = folder.home.path();
    let manager = UnixDatagram::bind(home.join("notify.sock")).unwrap();
    manager.set_read_timeout(Some(ANSWER_TIMEOUT)).unwrap();
    let next = || {
        let mut bytes = [0; 4_096];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let agent = Agent::start(home, "a1", &[]);
    let mut command = hobnob(&["template", "--json", &folder.spec("")]);
    command.env("HOBNOB_SOCKET", agent.socket()).env("NOTIFY_SOCKET", home.join("notify.sock"));
    let keeping = Keeping::run(&mut command);
    assert!(next().starts_with("READY=1\nSTATUS=keeping 1 file"));
    assert_eq!(folder.read("out"), listed(&[]), "it is there by then");
    assert_eq!(keeping.terminate(), Some(0));
    assert!(next().starts_with("STOPPING=1"));
}

/// Whether a program is installed.
fn is_installed(program: &str) -> bool {
    let is_there = Command::new(program).arg("-v").output().is_ok();
    if !is_there {
        println!("skipped: {program} is not installed");
    }
    is_there
}

#[test]
fn the_examples_of_the_documents_are_what_nginx_haproxy_and_hosts_take() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start_with(home.path(), "a1", ANY_PORT, &[]);
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let render = |name: &str, code: i32| {
        let out = home.path().join(name);
        let template = examples.join(format!("{name}.tmpl"));
        let spec = format!("{}:{}", template.display(), out.display());
        let output = agent.run(&["template", "--once", &spec]);
        assert_eq!(output.status.code(), Some(code), "{}", told(&output));
        out
    };
    let check = |program: &str, args: &[&str], file: &Path| {
        let output = Command::new(program).args(args).arg(file).output().unwrap();
        let text = fs::read_to_string(file).unwrap();
        assert!(output.status.success(), "{text}{}", told(&output));
    };
    let main = home.path().join("main.conf");
    let pid = home.path().join("nginx.pid");
    let includes = home.path().join("nginx.conf");
    // An ordinary user has no place of the system's for these.
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}; ", home.path().join(name).display()))
        .concat();
    let config = format!(
        "pid {}; error_log stderr; events {{}} http {{ access_log off; {temporary} include {}; }}",
        pid.display(),
        includes.display()
    );
    fs::write(&main, config).unwrap();
    for (code, servers) in [(3, 0), (0, 2)] {
        let nginx = render("nginx.conf", code);
        let haproxy = render("haproxy.cfg", code);
        let text = fs::read_to_string(&nginx).unwrap();
        assert_eq!(text.matches("weight=").count(), servers, "{text}");
        let text = fs::read_to_string(&haproxy).unwrap();
        assert_eq!(text.matches("    server ").count(), servers, "{text}");
        if is_installed("nginx") {
            check("nginx", &["-e", "stderr", "-t", "-c"], &main);
        }
        if is_installed("haproxy") {
            check("haproxy", &["-c", "-f"], &haproxy);
        }
        agent.ok(&["register", "web", "--id", "a/1", "--address", "127.0.0.1", "--port", "8001"]);
        agent.ok(&[
            "register",
            "web",
            "--id",
            "a2",
            "--address",
            "::1",
            "--port",
            "8002",
            "--weight",
            "300",
        ]);
    }
    let hosts = fs::read_to_string(render("hosts", 0)).unwrap();
    assert!(hosts.ends_with("\n127.0.0.1 a1 a1.dc1\n"), "{hosts}");
}
