//! Two datacenters of three agents each, in network namespaces, with a link between them that delays packets and is cut.

mod far;
mod first;
mod isolation;
mod joining;
mod link;
mod scopes;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::agent::{eventually, hobnob, items, text};
use crate::networks::{Killed, Namespace, found_cluster, in_own_network};
use link::{HOSTS, Link, PORTS, host};

/// The report of the inner process.
const HEALED: &str = "two datacenters healed";
const NAMES: [&str; 2] = ["eu", "us"];
/// One way.
const DELAY: Duration = Duration::from_millis(40);

#[test]
fn both_sides_of_a_cut_answer_tell_one_event_and_agree_after_it_heals() {
    let name = "datacenters::both_sides_of_a_cut_answer_tell_one_event_and_agree_after_it_heals";
    in_own_network(name, "link set lo up", HEALED, inside);
}

fn inside() {
    let home = tempfile::tempdir().unwrap();
    let token = found_cluster(home.path(), &format!("{}:{}", host(0, 1), PORTS[0]));
    let networks = [network(), network()];
    let link = Link::between(networks.each_ref().map(Namespace::process), DELAY);
    let mut agents = Vec::new();
    for (datacenter, network) in networks.iter().enumerate() {
        for number in 1..=HOSTS {
            agents.push(Agent::start(home.path(), network, (datacenter, number), &token));
        }
    }
    let (eu, us) = (&agents[0], &agents[usize::from(HOSTS)]);
    eu.register("web-eu");
    us.register("web-us");
    eventually("all know both datacenters and all instances", || {
        agents.iter().all(|agent| agent.is_whole() && agent.healthy() == ["web-eu", "web-us"])
    });
    let round_trip = 2 * DELAY.as_millis();
    eventually("all know the round trip", || {
        let shown = agents.iter().map(|agent| agent.other()["round_trip_ms"].as_f64());
        shown.into_iter().all(|ms| ms.is_some_and(|ms| ms >= round_trip as f64))
    });

    link.cut();
    let start = Instant::now();
    eu.register("cut-eu");
    us.register("cut-us");
    eventually("all know that the other side is out of reach", || {
        agents.iter().all(|agent| {
            assert_eq!(agent.picks_in(), agent.datacenter, "its own is healthy");
            agent.other()["status"] == "out_of_reach"
        })
    });
    println!("out of reach after {} ms", start.elapsed().as_millis());
    for agent in &agents {
        let healthy = agent.healthy();
        let own = ["cut", "web"].map(|of| format!("{of}-{}", agent.datacenter));
        assert_eq!(healthy, own, "{}", agent.name);
        let shown = agent.json(&["resolve", "web", "--dc", "*", "--all", "--json"]);
        assert_eq!(items(&shown["instances"]).len(), 3, "those of the other side stay known");
    }

    link.heal();
    let start = Instant::now();
    let all = ["cut-eu", "cut-us", "web-eu", "web-us"];
    eventually("all know all again", || {
        agents.iter().all(|agent| agent.is_whole() && agent.healthy() == all)
    });
    println!("{HEALED} within {} ms", start.elapsed().as_millis());
    for agent in &agents {
        let log = agent.log();
        assert_eq!(log.matches("is out of reach").count(), 1, "one event:\n{log}");
        assert!(!log.contains("status=down"), "nobody died:\n{log}");
    }
}

/// The network of a datacenter, with the addresses of its hosts, and of those that the link stands for.
fn network() -> Namespace {
    let network = Namespace::new();
    network.ip("link set lo up");
    for datacenter in 0..NAMES.len() {
        for number in 1..=HOSTS {
            network.ip(&format!("address add {}/32 dev lo", host(datacenter, number)));
        }
    }
    network
}

struct Agent {
    name: String,
    datacenter: &'static str,
    home: String,
    _process: Killed,
}

impl Agent {
    /// The one command of a host. The first agent of the second datacenter is told of a member of the first one.
    fn start(
        home: &Path,
        network: &Namespace,
        (datacenter, number): (usize, u8),
        token: &str,
    ) -> Self {
        let wan = format!("--join-wan={}:{}", host(0, 1), PORTS[0]);
        let first = format!("--join={}:{}", host(1, 1), PORTS[0]);
        let join = match (datacenter, number) {
            (0, _) => vec![],
            (_, 1) => vec![wan],
            _ => vec![first],
        };
        Self::start_in(home, network, (datacenter, number), NAMES[datacenter], &join, token)
    }

    /// The agent of a host, which is of this datacenter whatever network it is in.
    fn start_in(
        home: &Path,
        network: &Namespace,
        (side, number): (usize, u8),
        datacenter: &'static str,
        join: &[String],
        token: &str,
    ) -> Self {
        let name = format!("{}-{number}", NAMES[side]);
        let home = home.to_str().unwrap().to_owned();
        let [gossip, sync] = PORTS.map(|port| format!("{}:{port}", host(side, number)));
        let log = std::fs::File::create(format!("{home}/{name}.log")).unwrap();
        let mut command = network.within(env!("CARGO_BIN_EXE_hobnob"));
        command.args(["agent", "--name", &name, "--datacenter", datacenter]);
        command.args(["--bind", &gossip, "--sync-bind", &sync, "--token-file", token]);
        command.args(join);
        command.args(["--data-dir", &format!("{home}/{name}.data")]);
        command.args(["--socket", &format!("{home}/{name}.sock")]);
        let process = Killed(command.stderr(log).spawn().unwrap());
        let agent = Self { name, datacenter, home, _process: process };
        eventually("the agent is ready", || agent.log().contains("the agent is ready"));
        agent
    }

    fn log(&self) -> String {
        std::fs::read_to_string(format!("{}/{}.log", self.home, self.name)).unwrap()
    }

    /// Runs a command against the agent, which must succeed, and returns what it printed.
    fn ok(&self, args: &[&str]) -> Vec<u8> {
        let socket = format!("{}/{}.sock", self.home, self.name);
        let output = hobnob(args).env("HOBNOB_SOCKET", socket).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}\n{}", self.log());
        output.stdout
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_slice(&self.ok(args)).unwrap()
    }

    fn register(&self, id: &str) {
        self.ok(&["register", "web", "--id", id, "--port", "80"]);
    }

    /// The other datacenter, as it knows it; `null` if it does not.
    fn other(&self) -> Value {
        let list = self.json(&["datacenters", "--json"]);
        let mut others = items(&list["datacenters"]).iter().filter(|one| one["status"] != "own");
        others.next().cloned().unwrap_or_default()
    }

    /// Whether it reaches all hosts of both datacenters.
    fn is_whole(&self) -> bool {
        let list = self.json(&["datacenters", "--json"]);
        let datacenters = items(&list["datacenters"]);
        datacenters.len() == 2
            && datacenters
                .iter()
                .all(|one| one["alive"] == HOSTS && one["status"] != "out_of_reach")
    }

    /// The healthy instances of all datacenters, by id.
    fn healthy(&self) -> Vec<String> {
        let socket = format!("{}/{}.sock", self.home, self.name);
        let mut command = hobnob(&["resolve", "web", "--dc", "*", "--strict", "--json"]);
        let output = command.env("HOBNOB_SOCKET", socket).output().unwrap();
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut ids: Vec<String> =
            items(&found["instances"]).iter().map(|one| text(one, "instance")).collect();
        ids.sort();
        ids
    }

    /// The datacenter of the instance that a call goes to.
    fn picks_in(&self) -> String {
        let picked = self.json(&["pick", "web", "--json"]);
        text(&items(&picked["picks"])[0], "datacenter")
    }
}
