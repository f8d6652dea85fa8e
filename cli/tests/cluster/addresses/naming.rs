//! Interfaces and host names in place of IP addresses.

use std::process::Output;

use crate::agent::{Agent, eventually, hobnob, socket};

#[test]
fn an_interface_and_a_host_name_stand_for_an_address() {
    let home = tempfile::tempdir().unwrap();
    let by_interface = Agent::start_with(home.path(), "a1", "lo:0", &[]);
    assert!(by_interface.bind().ip().is_loopback());
    let port = by_interface.bind().port();
    let join = format!("--join=localhost:{port}");
    let by_name = Agent::start_with(home.path(), "a2", "localhost:0", &[join]);
    eventually("both are members", || by_interface.alive() == 2 && by_name.alive() == 2);
    for agent in [&by_interface, &by_name] {
        assert_eq!(agent.json(&["info"])["gossip_bound"], serde_json::Value::Null);
    }
    by_interface.ok(&["register", "web", "--port", "80"]);
    let registered = by_interface.json(&["resolve", "web"])["instances"][0].take();
    assert_eq!(registered["address"], by_interface.bind().ip().to_string());
}

#[test]
fn an_address_that_leads_nowhere_is_refused_with_all_that_was_tried() {
    let home = tempfile::tempdir().unwrap();
    let start = |args: &[&str]| -> Output {
        let mut command = hobnob(&["agent", "--name", "a1"]);
        command.arg("--data-dir").arg(home.path().join("a1"));
        command.arg("--socket").arg(socket(home.path(), "a1"));
        command.args(args).output().unwrap()
    };
    for (flag, address) in [
        ("--bind", "nowhere.invalid:0"),
        ("--sync-bind", "nowhere.invalid"),
        ("--advertise", "nowhere.invalid:7946"),
    ] {
        let mut args = vec![flag, address];
        if flag != "--bind" {
            args.extend(["--bind", "lo:0"]);
        }
        let output = start(&args);
        let error = String::from_utf8_lossy(&output.stderr);
        // It may be there at the next start, so this is no mistake of the command line.
        assert_eq!(output.status.code(), Some(1), "{error}");
        for part in [&format!("`{address}`"), flag, "no IP address", "interface", "lo", "host name"]
        {
            assert!(error.contains(part), "no `{part}` in: {error}");
        }
    }
    for (args, says) in [
        (&["--bind", "fe80::1%lo"][..], "eth0"),
        (&["--bind", "[fe80::1]:0", "--insecure"], "link-local"),
        (&["--bind", "lo:0", "--advertise", "lo:0"], "port 0"),
        (&["--bind", "lo:0", "--advertise-sync-port", "0"], "1..=65535"),
        (&["--bind", "lo:0", "--join", "0.0.0.0:7946"], "gossip address"),
    ] {
        let output = start(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(says), "no `{says}` in: {error}");
    }
}
