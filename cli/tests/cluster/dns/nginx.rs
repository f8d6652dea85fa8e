//! nginx with `resolver`, which takes addresses from A records, at most once a second. Those have no weights to follow.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Answering, Backends, Program, bodies, recipe};
use crate::agent::eventually;

/// The recipe of docs/DNS.md in a whole configuration. It tries no second server, so that a request fails while nginx knows of an
/// address at which nobody answers.
fn configuration(home: &Path, dns: &str, port: u16) -> String {
    let home = home.display();
    let recipe = recipe(
        "nginx",
        &[
            (":8600", &format!(":{dns}")),
            (":8001", &format!(":{port}")),
            ("proxy_next_upstream error timeout", "proxy_next_upstream off"),
        ],
    );
    format!(
        "daemon off;
master_process off;
pid {home}/nginx.pid;
error_log {home}/nginx.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    proxy_connect_timeout 1s;
    server {{
        listen unix:{home}/proxy.sock;
{recipe}    }}
}}
"
    )
}

#[test]
fn nginx_follows_a_service_that_dies_and_returns() {
    let home = tempfile::tempdir().unwrap();
    let asked = Answering::start(home.path(), &[]);
    let mut backends = Backends::start(3);
    backends.register(&asked.agent, 1);
    let (config, proxy) = (home.path().join("nginx.conf"), home.path().join("proxy.sock"));
    fs::write(&config, configuration(home.path(), &asked.port, backends.port())).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-p").arg(home.path()).arg("-c").arg(&config);
    command.arg("-e").arg(home.path().join("early.log"));
    let Some(_nginx) = Program::start(&mut command) else { return };
    let all = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    eventually("nginx answers from all three", || bodies(&proxy, 20).iter().eq(&all));
    backends.kill(2);
    eventually("nginx follows a kill", || {
        bodies(&proxy, 20).iter().eq(&["127.0.0.1", "127.0.0.3"])
    });
    backends.restart(2);
    eventually("nginx follows a return", || bodies(&proxy, 20).iter().eq(&all));
}
