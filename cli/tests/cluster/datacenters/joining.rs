//! `hobnob join` at agents of the wrong datacenter, and questions about datacenters that are isolated or that nobody knows.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::agent::{ANY_PORT, Agent, eventually, hobnob};
use crate::sealed::failed;

fn start(home: &std::path::Path, name: &str, join: Option<&Agent>) -> Agent {
    let mut args = vec![format!("--datacenter={}", &name[..2])];
    args.extend(join.map(|agent| format!("--join={}", agent.bind())));
    Agent::start_with(home, name, ANY_PORT, &args)
}

fn knows(agent: &Agent, name: &str) -> bool {
    agent.status_of(name).as_deref() == Some("alive")
}

#[test]
fn an_address_of_the_wrong_datacenter_is_refused_with_the_right_command() {
    let home = tempfile::tempdir().unwrap();
    let [eu1, us1, apart] = ["eu1", "us1", "eu9"].map(|name| start(home.path(), name, None));
    let eu2 = start(home.path(), "eu2", Some(&eu1));
    eventually("eu1 and eu2 are one pool", || knows(&eu1, "eu2") && knows(&eu2, "eu1"));
    let join = |agent: &Agent, wan: bool, at: &Agent| {
        let at = at.bind().to_string();
        let wan: &[&str] = if wan { &["--wan"] } else { &[] };
        agent.run(&[&["join", &at], wan].concat())
    };
    let remedy = format!("`hobnob join --wan {}`", us1.bind());
    failed(&join(&eu1, false, &us1), 1, &["the datacenter `us`", "is of `eu`", &remedy]);
    eventually("it is known all the same", || knows(&eu1, "us1") && knows(&us1, "eu1"));
    failed(&join(&eu1, false, &us1), 1, &["the datacenter `us`", &remedy]);

    failed(&join(&eu1, true, &eu2), 1, &["of this datacenter, `eu`", "a member already"]);
    failed(&join(&eu1, true, &apart), 1, &["is of `eu`, as this one is", "without --wan"]);
    for again in ["fresh", "known"] {
        let output = join(&apart, true, &us1);
        assert!(output.status.success(), "{again}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("joined through "));
    }
}

#[test]
fn an_isolated_datacenter_is_called_so_and_an_unknown_one_too() {
    let home = tempfile::tempdir().unwrap();
    let [eu1, us1] = ["eu1", "us1"].map(|name| start(home.path(), name, None));
    eu1.ok(&["join", "--wan", &us1.bind().to_string()]);
    eventually("both know the other", || knows(&eu1, "us1") && knows(&us1, "eu1"));
    eu1.ok(&["datacenters", "isolate", "us"]);
    let rejoin = "`hobnob datacenters rejoin us`";
    let wan = eu1.run(&["join", "--wan", &us1.bind().to_string()]);
    failed(&wan, 1, &["`us` is isolated", rejoin]);
    let elsewhere = eu1.run(&["register", "web", "--port", "80", "--dc", "us"]);
    failed(&elsewhere, 1, &["`us` is isolated", rejoin, "nothing was changed"]);
    let explained = eu1.json(&["explain", "us1"]).to_string();
    assert!(explained.contains("its datacenter is isolated"), "{explained}");
    assert!(explained.contains(rejoin), "{explained}");

    failed(&eu1.run(&["members", "--dc", "zz"]), 3, &["no member", "zz", "hobnob datacenters"]);
    let mut watch = hobnob(&["watch", "web", "--dc", "zz"])
        .env("HOBNOB_SOCKET", eu1.socket())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(watch.stderr.take().unwrap()).lines();
    let warning = told.next().unwrap().unwrap();
    assert!(warning.contains("no datacenter `zz` is known"), "{warning}");
    assert!(told.next().unwrap().unwrap().contains("waiting"), "it goes on waiting");
    watch.kill().unwrap();
    watch.wait().unwrap();
}
