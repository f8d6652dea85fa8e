//! HAProxy with `server-template`, which takes servers, ports and weights from SRV records.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use super::{Answering, Backends, Program, bodies, recipe};
use crate::agent::eventually;

/// The resolvers and the backend of somebody who has Consul. Nothing but the port is another one here.
fn of_consul(port: &str) -> String {
    format!(
        "resolvers consul
    nameserver consul 127.0.0.1:{port}
    accepted_payload_size 8192
    hold valid 5s

backend web
    balance roundrobin
    server-template web 1-10 _web._tcp.service.consul resolvers consul resolve-opts allow-dup-ip resolve-prefer ipv4 check
"
    )
}

/// The whole configuration. Nothing is timed here, so its timeouts are those of a busy machine.
fn configuration(home: &Path, backend: &str) -> String {
    let home = home.display();
    format!(
        "global
    stats socket {home}/admin.sock level admin

defaults
    mode http
    timeout connect 20s
    timeout client 20s
    timeout server 20s
    retries 3
    option redispatch

frontend in
    bind unix@{home}/proxy.sock
    default_backend web

{backend}"
    )
}

/// The servers that take requests, by address, each with its weight.
fn servers(home: &Path) -> BTreeMap<String, String> {
    let mut told = String::new();
    let Ok(mut stream) = UnixStream::connect(home.join("admin.sock")) else {
        return BTreeMap::new();
    };
    stream.write_all(b"show servers state web\n").unwrap();
    stream.read_to_string(&mut told).unwrap();
    let rows = told.lines().filter(|line| line.contains(" web ")).map(|line| line.split(' '));
    let fields = rows.map(Iterator::collect::<Vec<_>>).filter(|fields| fields.len() > 8);
    // Address, operational state (2: running) and weight.
    let running = fields.filter(|fields| fields[5] == "2" && fields[4].starts_with("127."));
    running.map(|fields| (fields[4].to_owned(), fields[7].to_owned())).collect()
}

/// Kills a server behind HAProxy, has it return, and changes the weight of another one.
fn follows(backend: impl FnOnce(&str) -> String) {
    let home = tempfile::tempdir().unwrap();
    let asked = Answering::start(home.path(), &[]);
    let mut backends = Backends::start(3);
    backends.register(&asked.agent, 256);
    let (config, proxy) = (home.path().join("haproxy.cfg"), home.path().join("proxy.sock"));
    fs::write(&config, configuration(home.path(), &backend(&asked.port))).unwrap();
    let Some(_haproxy) = Program::start(Command::new("haproxy").arg("-f").arg(&config)) else {
        return;
    };
    let addresses = || servers(home.path()).into_keys().collect::<Vec<_>>();
    let all = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    eventually("HAProxy knows all three", || addresses() == all);
    eventually("HAProxy answers from all three", || bodies(&proxy, 9).iter().eq(&all));
    backends.kill(2);
    eventually("HAProxy follows a kill", || addresses() == ["127.0.0.1", "127.0.0.3"]);
    assert!(bodies(&proxy, 20).iter().eq(&["127.0.0.1", "127.0.0.3"]), "no request fails");
    backends.restart(2);
    eventually("HAProxy follows a return", || addresses() == all);
    let weight = || servers(home.path()).get("127.0.0.3").cloned().unwrap_or_default();
    // HAProxy divides by 256.
    assert_eq!(weight(), "1");
    backends.register_one(&asked.agent, 3, 256 * 3);
    eventually("HAProxy follows a weight", || weight() == "3");
}

#[test]
fn haproxy_follows_a_service_that_dies_returns_and_gets_another_weight() {
    follows(|port| recipe("HAProxy", &[(":8600", &format!(":{port}"))]));
}

#[test]
fn a_haproxy_configuration_for_consul_follows_after_a_change_of_its_port() {
    follows(of_consul);
}
