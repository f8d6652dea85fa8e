//! Prometheus, which finds its targets by `http_sd` and scrapes them. A host without it is skipped.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::agent::eventually;
use crate::consul::answering;
use crate::dns::Backends;

/// Prometheus, until it is dropped.
struct Prometheus {
    child: Child,
    port: u16,
}

impl Prometheus {
    /// Starts it with the targets of the agent at this port; `None` where it is not installed.
    fn start(home: &Path, agent_port: &str) -> Option<Self> {
        let config = format!(
            "global: {{ scrape_interval: 1s }}
scrape_configs:
  - job_name: services
    http_sd_configs:
      - url: http://127.0.0.1:{agent_port}/v1/sd/prometheus?service=web
        refresh_interval: 1s
    relabel_configs:
      - {{ source_labels: [__meta_hobnob_id], target_label: instance }}
      - {{ source_labels: [__meta_hobnob_weight], target_label: weight }}
"
        );
        let file = home.join("prometheus.yml");
        fs::write(&file, config).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", home.join("tsdb").display()));
        command.arg("--web.listen-address=127.0.0.1:0");
        let Ok(mut child) = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn() else {
            println!("skipped: this host has no prometheus (`apt install prometheus`)");
            return None;
        };
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let port = log.by_ref().find_map(|line| port_of(&line.unwrap()));
        // Its log is drained, so that it never waits for a full pipe.
        std::thread::spawn(move || log.map_while(Result::ok).for_each(drop));
        Some(Self { child, port: port.expect("it says where it listens") })
    }

    /// The targets, by id: whether a scrape worked, and the weight.
    fn targets(&self) -> BTreeMap<String, (String, String)> {
        let targets = self.ask("/api/v1/targets?state=active").unwrap_or_default();
        let active = targets["data"]["activeTargets"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let shown = active.iter().map(|target| {
            let labels = &target["labels"];
            (text(&labels["instance"]), (text(&target["health"]), text(&labels["weight"])))
        });
        shown.collect()
    }

    /// The answer to a query of its API; `None` before it answers.
    fn ask(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        serde_json::from_str(body).ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The port on which it listens, if this line of its log has it.
fn port_of(line: &str) -> Option<u16> {
    let (_, address) =
        line.split_once("Listening on").and_then(|(_, rest)| rest.split_once("address="))?;
    let address = address.split_whitespace().next()?;
    address.rsplit_once(':')?.1.parse().ok()
}

/// Targets by id, as a text for people.
fn shown(targets: &BTreeMap<String, (String, String)>) -> String {
    let shown = targets.iter().map(|(id, (health, weight))| format!("{id} {health} {weight}"));
    shown.collect::<Vec<_>>().join(", ")
}

#[test]
fn prometheus_scrapes_what_it_finds_and_follows_a_kill_a_return_and_a_weight() {
    let home = tempfile::tempdir().unwrap();
    let (agent, port) = answering(home.path());
    let mut backends = Backends::start(2);
    backends.register(&agent, 5);
    let Some(prometheus) = Prometheus::start(home.path(), &port) else { return };
    let are = |expected: &str| shown(&prometheus.targets()) == expected;
    eventually("Prometheus scrapes both", || are("web-1 up 5, web-2 up 5"));
    backends.kill(2);
    eventually("Prometheus sees a kill", || are("web-1 up 5, web-2 down 5"));
    backends.restart(2);
    eventually("Prometheus sees a return", || are("web-1 up 5, web-2 up 5"));
    backends.register_one(&agent, 2, 9);
    eventually("Prometheus follows a weight", || are("web-1 up 5, web-2 up 9"));
    agent.ok(&["deregister", "web-1"]);
    eventually("Prometheus follows a deregistration", || are("web-2 up 9"));
}
