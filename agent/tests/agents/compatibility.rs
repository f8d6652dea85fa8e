//! Records of a later version among real agents of this one: kept, passed on, counted, and shown nowhere.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hobnob_agent::{Agent, AgentConfig};
use hobnob_api::client::Client;
use hobnob_api::{Datacenters, Info, MemberStatus, Request, Response};
use hobnob_membership::ClusterId;
use hobnob_membership::wire::{DatagramBuilder, Envelope};
use tokio::net::UdpSocket;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::support::{self, TEST_TIMEOUT};

/// A rumor of a later version with six records of an origin that no agent here knows. Three of them this version does not
/// understand: an unknown key, an unknown value of a known key, and an unknown state of health.
const FUTURE: &str = include_str!("../../../membership/tests/wire/future.txt");
/// Records of it that this version does not understand.
const UNKNOWN: u64 = 3;

/// An agent that keeps its records in the cluster when it exits.
fn config(home: &Path, name: &str, join: &[&Agent]) -> AgentConfig {
    AgentConfig { keep_on_exit: true, ..support::config(home, name, join) }
}

/// The place of the sender's id in the recorded rumor.
const SENDER: std::ops::Range<usize> = 4..12;

/// The recorded rumor as a datagram of the agents' cluster, from a member of it: rumors of strangers are ignored.
fn future_datagram(sender: hobnob_api::NodeId) -> Vec<u8> {
    let recorded = FUTURE.lines().find_map(|line| line.strip_prefix("rumor: ")).expect("recorded");
    let digits = recorded.trim().as_bytes().chunks(2);
    let message = digits.map(|pair| {
        let pair = std::str::from_utf8(pair).expect("text");
        u8::from_str_radix(pair, 16).expect("hexadecimal digits")
    });
    let mut message: Vec<u8> = message.collect();
    message[SENDER].copy_from_slice(&sender.0.to_le_bytes());
    let cluster = ClusterId::named("default");
    let mut datagram = DatagramBuilder::new(Envelope::clear(cluster)).finish();
    datagram.extend(message);
    let checksum = xxh3_64_with_seed(&datagram[5..], cluster.0).to_le_bytes();
    datagram[1..5].copy_from_slice(&checksum[..4]);
    datagram
}

async fn call(agent: &Agent, request: Request) -> Response {
    let mut client = Client::connect(agent.socket()).await.expect("connected");
    client.call(request).await.expect("answered")
}

async fn info(agent: &Agent) -> Info {
    match call(agent, Request::Info {}).await {
        Response::Info(info) => *info,
        other => panic!("{other:?}"),
    }
}

async fn alive(agent: &Agent) -> usize {
    match call(agent, Request::Members { all: false, datacenter: Datacenters::All }).await {
        Response::Members(members) => {
            members.members.iter().filter(|one| one.status == MemberStatus::Alive).count()
        }
        other => panic!("{other:?}"),
    }
}

/// Asks again and again until it is so.
async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let poll = async {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        while !is_so().await {
            pause.tick().await;
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, poll).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn until_held(agent: &Agent) {
    let held = || async { info(agent).await.counters["records_unknown_now"] == UNKNOWN };
    eventually(&format!("{} holds the records", agent.name()), held).await;
}

async fn services(agent: &Agent) -> String {
    format!("{:?}", call(agent, Request::Services { namespace: None }).await)
}

async fn tell(to: SocketAddr, datagram: &[u8]) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    socket.send_to(datagram, to).await.expect("sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_a_later_version_pass_through_agents_and_survive_their_restart() {
    let home = tempfile::tempdir().expect("a directory");
    let a = Agent::start(config(home.path(), "a", &[])).await.expect("a");
    let b = Agent::start(config(home.path(), "b", &[&a])).await.expect("b");
    let c = Agent::start(config(home.path(), "c", &[&b])).await.expect("c");
    for agent in [&a, &b, &c] {
        eventually("three are alive", || async { alive(agent).await == 3 }).await;
    }
    let sender = info(&b).await.node_id;
    tell(a.gossip_addr(), &future_datagram(sender)).await;
    for agent in [&a, &b, &c] {
        until_held(agent).await;
    }
    // The digest is one over the bytes of all records, so all agents hold the same ones.
    for agent in [&b, &c] {
        let same = || async { info(agent).await.catalog_digest == info(&a).await.catalog_digest };
        eventually("the same records everywhere", same).await;
    }
    for agent in [&a, &b, &c] {
        assert!(!services(agent).await.contains("web-2"), "it is shown nowhere");
    }

    b.shutdown().await;
    let b = Agent::start(config(home.path(), "b", &[&c])).await.expect("b again");
    until_held(&b).await;
    let all_agree = || async { info(&a).await.catalog_digest == info(&b).await.catalog_digest };
    eventually("the same records again", all_agree).await;
}
