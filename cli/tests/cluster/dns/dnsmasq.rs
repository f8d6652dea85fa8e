//! dnsmasq, which sends the names of our domain on to the agent.

use std::process::Command;

use super::{Answering, Backends, Program, dig, own_port, short};
use crate::agent::eventually;

#[test]
fn dnsmasq_follows_a_service_that_dies_returns_and_gets_another_weight() {
    let home = tempfile::tempdir().unwrap();
    let asked = Answering::start(home.path(), &[]);
    let mut backends = Backends::start(3);
    backends.register(&asked.agent, 1);
    let port = own_port();
    let mut command = dnsmasq(&port);
    command.arg(format!("--server=/consul/127.0.0.1#{}", asked.port));
    command.arg(format!("--rev-server=127.0.0.0/8,127.0.0.1#{}", asked.port));
    let Some(_dnsmasq) = Program::start(&mut command) else { return };
    if dig(&port, &["consul", "SOA"]).is_none() {
        return;
    }
    let all = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    eventually("dnsmasq answers", || short(&port, "web.service.consul", "A") == all);
    backends.kill(2);
    eventually("dnsmasq follows a kill", || {
        short(&port, "web.service.consul", "A") == ["127.0.0.1", "127.0.0.3"]
    });
    backends.restart(2);
    eventually("dnsmasq follows a return", || short(&port, "web.service.consul", "A") == all);
    backends.register_one(&asked.agent, 3, 7);
    let weighted = format!("1 7 {} 7f000003.addr.dc1.consul.", backends.port());
    eventually("dnsmasq follows a weight", || {
        short(&port, "_web._tcp.service.consul", "SRV").contains(&weighted)
    });
    let names = dig(&port, &["+short", "-x", "127.0.0.3"]).unwrap();
    assert_eq!(names, "web.service.dc1.consul.\n");
}

#[test]
fn a_dnsmasq_that_asks_the_agent_in_turn_makes_no_loop() {
    let home = tempfile::tempdir().unwrap();
    let port = own_port();
    let asked = Answering::start(home.path(), &[&format!("--dns-forward=127.0.0.1:{port}")]);
    let server = format!("--server=127.0.0.1#{}", asked.port);
    let Some(_dnsmasq) = Program::start(dnsmasq(&port).arg(server)) else { return };
    let Some(_) = asked.dig(&["consul", "SOA"]) else { return };
    eventually("dnsmasq asks the agent", || short(&port, "consul", "NS") == ["ns.consul."]);
    let told = asked.dig(&["+tries=1", "+time=10", "example.com", "A"]).unwrap();
    assert!(told.contains("status: SERVFAIL"), "{told}");
    let failed = asked.agent.counter("dns_forwards_failed");
    assert!((1..=4).contains(&failed), "the question came back, and went no further: {failed}");
    assert_eq!(asked.agent.counter("dns_forwards_dropped"), 0);
    let own = asked.dig(&["a1.node.consul", "A"]).unwrap();
    assert!(own.contains("status: NOERROR"), "{own}");
}

/// dnsmasq on a port, which asks nobody yet.
fn dnsmasq(port: &str) -> Command {
    let mut command = Command::new("dnsmasq");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"]);
    command.args(["--listen-address=127.0.0.1", "--bind-interfaces", "--pid-file=", "--user="]);
    command.arg(format!("--port={port}"));
    command
}
