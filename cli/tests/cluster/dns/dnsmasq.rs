//! dnsmasq, which sends the names of our domain on to the agent.

use std::net::UdpSocket;
use std::process::Command;

use super::{Answering, Backends, Program, dig, short};
use crate::agent::eventually;

#[test]
fn dnsmasq_follows_a_service_that_dies_returns_and_gets_another_weight() {
    let home = tempfile::tempdir().unwrap();
    let asked = Answering::start(home.path(), &[]);
    let mut backends = Backends::start(3);
    backends.register(&asked.agent, 1);
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut command = Command::new("dnsmasq");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"]);
    command.args(["--listen-address=127.0.0.1", "--bind-interfaces", "--pid-file=", "--user="]);
    command.arg(format!("--port={free}"));
    command.arg(format!("--server=/consul/127.0.0.1#{}", asked.port));
    command.arg(format!("--rev-server=127.0.0.0/8,127.0.0.1#{}", asked.port));
    let Some(_dnsmasq) = Program::start(&mut command) else { return };
    if dig(&free, &["consul", "SOA"]).is_none() {
        return;
    }
    let all = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    eventually("dnsmasq answers", || short(&free, "web.service.consul", "A") == all);
    backends.kill(2);
    eventually("dnsmasq follows a kill", || {
        short(&free, "web.service.consul", "A") == ["127.0.0.1", "127.0.0.3"]
    });
    backends.restart(2);
    eventually("dnsmasq follows a return", || short(&free, "web.service.consul", "A") == all);
    backends.register_one(&asked.agent, 3, 7);
    let weighted = format!("1 7 {} 7f000003.addr.dc1.consul.", backends.port());
    eventually("dnsmasq follows a weight", || {
        short(&free, "_web._tcp.service.consul", "SRV").contains(&weighted)
    });
    let names = dig(&free, &["+short", "-x", "127.0.0.3"]).unwrap();
    assert_eq!(names, "web.service.dc1.consul.\n");
}
