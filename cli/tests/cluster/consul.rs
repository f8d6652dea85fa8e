//! Programs for Consul, switched over by changing a port: `py-consul`, as its package index has it. A host without it is skipped.

use std::path::Path;

use crate::agent::{ANY_PORT, Agent, hobnob};
use crate::dns::Backends;
use crate::python::Python;

const CHECK: &str = "import consul";
const NEEDED: &str = "python3 with py-consul (`pip install py-consul`)";

/// Follows a service with blocking queries: the instances that pass, each with its weight.
const FOLLOWER: &str = r#"
import sys
import consul

c = consul.Consul(port=int(sys.argv[1]))
index = None
while True:
    index, entries = c.health.service("web", passing=True, index=index, wait="60s")
    services = [entry["Service"] for entry in entries]
    print(*sorted(f'{s["ID"]}={s["Weights"]["Passing"]}' for s in services), flush=True)
"#;

/// Registers a service of its own, asks for all that is served, and follows a service with blocking queries.
const PROGRAM: &str = r#"
import sys
import consul

port, key = int(sys.argv[1]), sys.argv[2]
c = consul.Consul(port=port, token=key)
say = lambda *words: print(*words, flush=True)

say("self", c.agent.self()["Config"]["NodeName"])
say("leader", bool(c.status.leader()), "peers", len(c.status.peers()))
check = consul.Check.ttl("60s")
c.agent.service.register("mine", service_id="mine-1", address="10.0.0.9", port=9, tags=["py"], meta={"a": "b"}, check=check)
say("mine", [s["Service"]["ID"] for s in c.health.service("mine", passing=True)[1]])
c.agent.check.ttl_pass("service:mine-1", "fine")
index, entries = None, []
while not entries:
    index, entries = c.health.service("mine", passing=True, index=index, wait="30s")
entry = entries[0]
say("mine", entry["Service"]["ID"], entry["Service"]["Port"], entry["Service"]["Tags"], entry["Service"]["Meta"])
c.agent.check.register("disk", consul.Check.ttl("60s"), service_id="mine-1")
say("checks", sorted(c.agent.checks()), [s["Service"]["ID"] for s in c.health.service("mine", passing=True)[1]])
c.agent.check.ttl_pass("disk", "room enough")
entries = []
while not entries:
    index, entries = c.health.service("mine", passing=True, index=index, wait="30s")
c.agent.check.ttl_warn("service:mine-1", "still the first one")
while entries:
    index, entries = c.health.service("mine", passing=True, index=index, wait="30s")
c.agent.check.ttl_pass("service:mine-1")
while not entries:
    index, entries = c.health.service("mine", passing=True, index=index, wait="30s")
c.agent.check.deregister("disk")
say("checks", sorted(c.agent.checks()))
c.agent.service.maintenance("mine-1", True, "a reason")
say("maintained", [s["Service"]["ID"] for s in c.health.service("mine", passing=True)[1]])
c.agent.service.maintenance("mine-1", False)
say("back", [s["Service"]["ID"] for s in c.health.service("mine", passing=True)[1]])
say("catalog", sorted(c.catalog.services()[1]), c.catalog.datacenters(), [n["Node"] for n in c.catalog.nodes()[1]])
c.agent.service.deregister("mine-1")
say("gone", c.catalog.service("mine")[1])
try:
    c.kv.get("a")
except consul.ConsulException as error:
    say("refused", "key-value" in str(error))
try:
    consul.Consul(port=port, token="hobnobkey_wrong").agent.service.register("other", port=1)
except consul.ACLPermissionDenied:
    say("no key")

index = None
while True:
    index, entries = c.health.service("web", passing=True, index=index, wait="60s")
    say("web", sorted(entry["Service"]["ID"] for entry in entries))
    if sys.stdin.readline() == "":
        break
"#;

/// An agent that answers HTTP, and the port on which it does.
pub(crate) fn answering(home: &Path) -> (Agent, String) {
    let agent = Agent::start_with(home, "a1", ANY_PORT, &["--http=127.0.0.1:0".to_owned()]);
    let ready = agent.logged("the agent is ready").remove(0);
    let (_, rest) = ready.split_once("http=").unwrap();
    let address = rest.split_whitespace().next().unwrap();
    let port = address.rsplit_once(':').unwrap().1.to_owned();
    (agent, port)
}

#[test]
fn a_python_program_for_consul_follows_a_kill_a_return_and_a_weight() {
    let home = tempfile::tempdir().unwrap();
    let (agent, port) = answering(home.path());
    let mut backends = Backends::start(3);
    backends.register(&agent, 5);
    let Some(mut program) = Python::start(CHECK, NEEDED, FOLLOWER, &[&port]) else { return };
    program.comes_to("web-1=5 web-2=5 web-3=5");
    backends.kill(2);
    program.comes_to("web-1=5 web-3=5");
    backends.restart(2);
    program.comes_to("web-1=5 web-2=5 web-3=5");
    backends.register_one(&agent, 3, 9);
    program.comes_to("web-1=5 web-2=5 web-3=9");
}

#[test]
fn a_python_program_for_consul_registers_and_follows_a_service() {
    let home = tempfile::tempdir().unwrap();
    let (agent, port) = answering(home.path());
    let data_dir = home.path().join("a1").display().to_string();
    let made =
        hobnob(&["access-key", "create", "--write", "--name", "py", "--data-dir", &data_dir])
            .output();
    let key = String::from_utf8(made.unwrap().stdout).unwrap();
    let register = |id: &str| {
        agent.ok(&["register", "web", "--id", id, "--address", "10.0.0.1", "--port", "80"]);
    };
    register("web-1");
    let args = [&port, key.trim()];
    let Some(mut program) = Python::start(CHECK, NEEDED, PROGRAM, &args) else { return };
    for line in [
        "self a1",
        "leader True peers 1",
        "mine []",
        "mine mine-1 9 ['py'] {'a': 'b'}",
        "checks ['disk', 'service:mine-1'] []",
        "checks ['service:mine-1']",
        "maintained []",
        "back ['mine-1']",
        "catalog ['mine', 'web'] ['dc1'] ['a1']",
        "gone []",
        "refused True",
        "no key",
        "web ['web-1']",
    ] {
        program.says(line);
    }
    program.answer("");
    // Another service changes while it waits, and does not wake it.
    for port in ["1", "2", "3"] {
        agent.ok(&["register", "api", "--address", "10.0.0.1", "--port", port]);
    }
    register("web-2");
    program.says("web ['web-1', 'web-2']");
    program.answer("");
    agent.ok(&["deregister", "web-1"]);
    program.says("web ['web-2']");
}
