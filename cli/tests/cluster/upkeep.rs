//! Instances that operators take out and give back, and checks that services report themselves.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use hobnob_api::client::Client;
use hobnob_api::{PickQuery, Request, Response};
use serde_json::{Value, json};

use crate::agent::{ANY_PORT, Agent, eventually, items};
use crate::web::Web;

/// What `resolve` says of an instance: status, basis, whether it is offered, its weight.
fn shown(agent: &Agent, id: &str) -> Value {
    let found = agent.json(&["resolve", "web", "--all"])["instances"].take();
    let one = items(&found).iter().find(|one| one["instance"] == id).cloned().unwrap_or_default();
    json!([one["status"], one["basis"], one["offered"], one["weight"]])
}

#[test]
fn a_drain_takes_an_instance_out_on_every_agent_and_lasts_over_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let a2 = Agent::start(home.path(), "a2", &[&a1]);
    let a3 = Agent::start(home.path(), "a3", &[&a1]);
    eventually("all are there", || a2.alive() == 3 && a3.alive() == 3);
    a1.ok(&["register", "web", "--id", "web-1", "--port", "81", "--weight", "7", "--ack", "all"]);
    a1.ok(&["register", "web", "--id", "web-2", "--port", "82", "--ack", "all"]);
    a1.ok(&["drain", "web-1", "--for", "300ms", "--wait-acked", "100%", "--ack-timeout", "1m"]);
    for agent in [&a1, &a2, &a3] {
        assert_eq!(shown(agent, "web-1"), json!(["unhealthy", "drained", false, 7]));
        assert!(agent.picks("web", 50).iter().all(|id| id == "web-2"), "on {}", agent.name);
        let told = String::from_utf8(agent.run(&["explain", "web-1"]).stdout).unwrap();
        assert!(told.contains("an operator drained it"), "{told}");
    }
    let a1 = a1.restart();
    eventually("it is drained still", || {
        shown(&a2, "web-1") == json!(["unhealthy", "drained", false, 7])
    });
    a1.ok(&["drain", "web-1", "--stop"]);
    for agent in [&a1, &a2, &a3] {
        eventually("it is back", || {
            shown(agent, "web-1") == json!(["healthy", "current", true, 7])
        });
    }
    let unknown = a2.run(&["drain", "web-1"]);
    assert_eq!(unknown.status.code(), Some(3), "another agent has it");
}

#[test]
fn a_maintenance_is_told_everywhere_with_its_reason() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let a2 = Agent::start(home.path(), "a2", &[&a1]);
    a1.ok(&["register", "web", "--id", "web-1", "--port", "81"]);
    a1.ok(&["register", "web", "--id", "web-2", "--port", "82", "--check-ttl", "1h"]);
    a1.ok(&["check", "warn", "web-2", "--note", "the queue is long"]);
    eventually("both are there", || a2.healthy("web") == ["web-1", "web-2"]);
    let warns = a2.json(&["resolve", "web"])["instances"].take();
    assert_eq!(items(&warns).iter().filter(|one| one["check_status"] == "warning").count(), 1);

    a1.ok(&["maintenance", "on", "web-1", "--reason", "new disk"]);
    eventually("a2 knows it", || {
        shown(&a2, "web-1") == json!(["unhealthy", "maintenance", false, 1])
    });
    let told = String::from_utf8(a2.run(&["explain", "web-1"]).stdout).unwrap();
    assert!(told.contains("an operator put it in maintenance: new disk"), "{told}");
    a1.ok(&["maintenance", "on"]);
    let a1 = a1.restart();
    eventually("nothing is offered", || a2.healthy("web").is_empty());
    // The status that it reported lately may not have been kept when the agent was killed.
    a1.ok(&["check", "warn", "web-2"]);
    a1.ok(&["maintenance", "off"]);
    eventually("web-2 is back", || a2.healthy("web") == ["web-2"]);
    a1.ok(&["maintenance", "off", "web-1"]);
    eventually("web-1 is back", || a2.healthy("web") == ["web-1", "web-2"]);
}

/// Calls the instances that it picks, one after the other, until it is dropped.
struct Load {
    over: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(socket: PathBuf) -> Self {
        let (over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (is_over, made) = (over.clone(), calls.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut client = Client::connect(socket).await.unwrap();
                let mut failed = Vec::new();
                while !is_over.load(Ordering::SeqCst) {
                    let pick = Request::Pick(PickQuery::new("web"));
                    let Response::Picked(picked) = client.call(pick).await.unwrap() else {
                        panic!()
                    };
                    match picked.picks.first() {
                        Some(pick) => {
                            let at = format!("{}:{}", pick.instance.address, pick.instance.port);
                            if let Err(error) = call(&at) {
                                failed.push(format!("{}: {error}", pick.instance.id));
                            }
                        }
                        None => failed.push("nothing is offered".to_owned()),
                    }
                    made.fetch_add(1, Ordering::SeqCst);
                }
                failed
            })
        });
        Self { over, calls, thread: Some(thread) }
    }

    /// Waits until the calls that were under way are over.
    fn settle(&self) {
        let before = self.calls.load(Ordering::SeqCst);
        eventually("calls go on", || self.calls.load(Ordering::SeqCst) > before + 1);
    }

    /// Ends it. Returns the failed calls.
    fn end(mut self) -> (usize, Vec<String>) {
        self.over.store(true, Ordering::SeqCst);
        let failed = self.thread.take().unwrap().join().unwrap();
        (self.calls.load(Ordering::SeqCst), failed)
    }
}

fn call(address: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    match answer.starts_with(b"HTTP/1.1 2") {
        true => Ok(()),
        false => Err(std::io::Error::other("no answer")),
    }
}

/// The recipe of OPERATIONS.md.
#[test]
fn a_rolling_deploy_by_the_recipe_fails_no_call() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let a2 = Agent::start(home.path(), "a2", &[&a1]);
    let a3 = Agent::start(home.path(), "a3", &[&a1]);
    let hosts = [&a1, &a2, &a3];
    eventually("all are there", || hosts.iter().all(|host| host.alive() == 3));
    let ids = ["web-1", "web-2", "web-3", "web-4", "web-5", "web-6"];
    let host_of = |n: usize| hosts[n % hosts.len()];
    let register = |n: usize, web: &Web| {
        let (port, url) = (web.port(), web.url());
        let check = ["--check-http", &url, "--interval", "200ms", "--timeout", "10s"];
        let instance =
            ["register", "web", "--id", ids[n], "--address", "127.0.0.1", "--port", &port];
        host_of(n).ok(&[&instance[..], &check].concat());
    };
    let webs: Vec<Web> = ids.iter().map(|_| Web::start(ANY_PORT)).collect();
    webs.iter().enumerate().for_each(|(n, web)| register(n, web));
    let all_serve = || hosts.iter().all(|host| host.healthy("web") == ids);
    eventually("all are healthy", all_serve);
    let loads = [&a2, &a3].map(|host| Load::start(host.socket()));
    let mut deployed = Vec::new();
    for (n, web) in webs.into_iter().enumerate() {
        let host = host_of(n);
        host.ok(&["drain", ids[n], "--for", "300ms", "--wait-acked", "99%", "--ack-timeout", "1m"]);
        // Calls that are open get the time that they need.
        loads.iter().for_each(Load::settle);
        assert!(web.requests() > 0, "{} served nothing before its deploy", ids[n]);
        web.stop();
        // On another port: a call of the load may have taken the old one for its own end.
        let web = Web::start(ANY_PORT);
        register(n, &web);
        host.ok(&["drain", ids[n], "--stop"]);
        deployed.push(web);
        eventually("it is back", all_serve);
    }
    for load in loads {
        let (calls, failed) = load.end();
        assert!(calls > 10 && failed.is_empty(), "{} of {calls} failed: {failed:?}", failed.len());
    }
    drop(deployed);
}
