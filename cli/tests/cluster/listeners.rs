//! Local services that die, come back, or take their time while their agent starts again.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::agent::{ANY_PORT, Agent, eventually, text};
use crate::web::Web;

/// By their thresholds alone, these checks notice nothing while a test runs.
const SLOW: [&str; 2] = ["--interval", "1h"];

#[test]
fn a_service_that_dies_and_comes_back_is_noticed_at_once_on_every_agent() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let a2 = Agent::start(home.path(), "a2", &[&a1]);
    let web = Web::start(ANY_PORT);
    let (port, url) = (web.port(), web.url());
    let check = ["register", "web", "--port", &port, "--check-http", &url];
    a1.ok(&[&check[..], &SLOW].concat());
    eventually("a2 finds it", || a2.healthy("web") == ["web"]);

    let address = web.stop();
    eventually("a2 offers it no longer", || a2.healthy("web").is_empty());
    let instance = a1.json(&["explain", "web"])["instances"][0].clone();
    let told = &instance["checks"][0];
    assert_eq!(told["signal"], "listener_gone", "{told}");
    let output = text(told, "output");
    assert!(output.starts_with(&format!("nobody listens on {address} since ")), "{output}");
    let shown = String::from_utf8(a1.run(&["explain", "web"]).stdout).unwrap();
    assert!(shown.contains(&output), "{shown}");

    let _web = Web::start(address);
    eventually("a2 offers it again", || a2.healthy("web") == ["web"]);
    let told = a1.json(&["explain", "web"])["instances"][0]["checks"][0].clone();
    assert_eq!(told["signal"], "listener_back", "{told}");
}

/// Answers requests with 200 while `is_quick`, and then no more. Returns its address.
fn health_page(is_quick: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut held: Vec<TcpStream> = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            if is_quick.load(Ordering::Relaxed) {
                let lines = BufReader::new(&stream).lines().map_while(Result::ok);
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            } else {
                held.push(stream);
            }
        }
    });
    address
}

#[test]
fn a_restart_of_the_agent_withdraws_no_service_that_takes_its_time() {
    let home = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(home.path(), "a1", &[]);
    let is_quick = Arc::new(AtomicBool::new(true));
    let address = health_page(is_quick.clone());
    let (port, url) = (address.port().to_string(), format!("http://{address}/"));
    let check = ["--check-http", &url, "--interval", "100ms", "--timeout", "60s"];
    agent.ok(&[&["register", "web", "--port", &port][..], &check].concat());
    eventually("it is healthy", || agent.healthy("web") == ["web"]);
    let kept = home.path().join("a1/verdicts.json");
    eventually("its verdict is kept", || {
        std::fs::read_to_string(&kept).is_ok_and(|kept| kept.contains("\"passing\""))
    });
    is_quick.store(false, Ordering::Relaxed);
    agent.kill();
    let agent = agent.restart();
    assert_eq!(agent.healthy("web"), ["web"]);
    let told = agent.json(&["explain", "web"])["instances"][0]["checks"][0].clone();
    assert!(text(&told, "output").contains("before this agent started again"), "{told}");
}
