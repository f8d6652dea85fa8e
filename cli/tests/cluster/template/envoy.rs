//! Envoy, which takes its endpoints from a file that a template writes. What needs Envoy itself is skipped where it is missing.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::support::{Keeping, told};
use crate::agent::{Agent, eventually, items, text};
use crate::dns::{Backends, Program, bodies};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples").join(name)
}

/// The template of the documents and a file for its text.
fn spec(out: &Path) -> String {
    format!("{}:{}", example("envoy-eds.json.tmpl").display(), out.display())
}

#[test]
fn the_endpoints_of_the_example_have_health_and_weights() {
    let home = tempfile::tempdir().unwrap();
    let agent = Agent::start(home.path(), "a1", &[]);
    let out = home.path().join("api.json");
    let render = || -> Value {
        let mut command = crate::agent::hobnob(&["template", "--once", &spec(&out)]);
        command.env("HOBNOB_SOCKET", agent.socket()).env("SERVICE", "api");
        let output = command.output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 3)), "{}", told(&output));
        let all: Value = serde_json::from_str(&fs::read_to_string(&out).unwrap()).unwrap();
        all["resources"][0].clone()
    };
    assert_eq!(items(&render()["endpoints"][0]["lb_endpoints"]).len(), 0);
    for (id, address) in [
        ("a", "127.0.0.1"),
        ("b", "::1"),
        ("c", "a1.example"),
        ("d", "10.0.0.4"),
        ("e", "10.0.0.5"),
    ] {
        agent.ok(&[
            "register",
            "api",
            "--id",
            id,
            "--address",
            address,
            "--port",
            "80",
            "--weight",
            "7",
        ]);
    }
    agent.ok(&["maintenance", "on", "d", "--reason", "disk"]);
    agent.ok(&["drain", "e", "--for", "1h"]);
    let assignment = render();
    assert_eq!(text(&assignment, "cluster_name"), "api");
    let mut health = BTreeMap::new();
    for one in items(&assignment["endpoints"][0]["lb_endpoints"]) {
        let address = &one["endpoint"]["address"]["socket_address"];
        assert_eq!(
            (&address["port_value"], &one["load_balancing_weight"]),
            (&80.into(), &7.into())
        );
        health.insert(text(address, "address"), text(one, "health_status"));
    }
    let expected = [
        ("127.0.0.1", "HEALTHY"),
        ("::1", "HEALTHY"),
        ("10.0.0.4", "UNHEALTHY"),
        ("10.0.0.5", "DRAINING"),
    ];
    let expected = expected.map(|(address, health)| (address.to_owned(), health.to_owned()));
    assert_eq!(health, BTreeMap::from(expected), "Envoy takes no host by name");
}

/// The configuration of the documents, with its sockets and its files in this folder.
fn configuration(home: &Path) -> String {
    let pipe = |name: &str| format!("pipe: {{ path: {} }}", home.join(name).display());
    let text = fs::read_to_string(example("envoy.yaml")).unwrap();
    let own = [
        ("socket_address: { address: 127.0.0.1, port_value: 8082 }", pipe("proxy.sock")),
        ("socket_address: { address: 127.0.0.1, port_value: 9901 }", pipe("admin.sock")),
        ("/var/lib/hobnob-envoy", home.display().to_string()),
    ];
    own.into_iter().fold(text, |text, (theirs, ours)| {
        assert!(text.contains(theirs), "no `{theirs}` in the example");
        text.replace(theirs, &ours)
    })
}

/// What Envoy tells of its endpoints; empty while it does not answer.
fn endpoints(home: &Path) -> String {
    let mut told = String::new();
    let Ok(mut stream) = UnixStream::connect(home.join("admin.sock")) else { return told };
    let asked =
        stream.write_all(b"GET /clusters HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n");
    // It may be on its way up yet.
    match asked.and_then(|()| stream.read_to_string(&mut told)) {
        Ok(_) => told,
        Err(_) => String::new(),
    }
}

#[test]
fn envoy_follows_a_service_that_dies_returns_and_gets_another_weight() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let agent = Agent::start(home, "a1", &[]);
    let mut backends = Backends::start(3);
    backends.register(&agent, 1);
    let port = backends.port();
    let out = home.join("web.json");
    let _template = Keeping::start(&agent.socket(), &["--wait", "1ms", &spec(&out)]);
    eventually("the file is there", || out.exists());
    let (config, proxy) = (home.join("envoy.yaml"), home.join("proxy.sock"));
    fs::write(&config, configuration(home)).unwrap();
    let mut command = Command::new("envoy");
    command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "error", "-c"]);
    let Some(_envoy) = Program::start(command.arg(&config)) else { return };
    let all = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    eventually("Envoy answers from all three", || bodies(&proxy, 20).iter().eq(&all));
    backends.kill(2);
    assert!(
        !bodies(&proxy, 20).contains(""),
        "another try bridges the time until the file changes"
    );
    let says = |n: u8, what: &str| {
        let line = format!("web::127.0.0.{n}:{port}::{what}");
        endpoints(home).lines().any(|told| told == line)
    };
    eventually("Envoy knows of a kill", || says(2, "health_flags::/failed_eds_health"));
    assert!(bodies(&proxy, 20).iter().eq(&["127.0.0.1", "127.0.0.3"]));
    backends.restart(2);
    eventually("Envoy follows a return", || bodies(&proxy, 20).iter().eq(&all));
    backends.register_one(&agent, 3, 8);
    eventually("Envoy follows a weight", || says(3, "weight::8"));
}
