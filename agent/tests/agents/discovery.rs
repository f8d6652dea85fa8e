//! A discovery that follows a real agent.

use std::path::Path;

use hobnob_agent::{Agent, AgentConfig};
use hobnob_api::client::Client;
use hobnob_api::discovery::{Discovery, DiscoveryConfig};
use hobnob_api::{Registration, Request, WatchEvent, WatchQuery};
use tokio::time::timeout;

use crate::support::{TEST_TIMEOUT, config};

async fn start(home: &Path) -> Agent {
    let config = AgentConfig { keep_on_exit: true, ..config(home, "a", &[]) };
    Agent::start(config).await.expect("started")
}

async fn register(agent: &Agent, id: &str) {
    let mut client = Client::connect(agent.socket()).await.expect("connected");
    let registration = Registration { id: Some(id.to_owned()), ..Registration::new("web", 80) };
    client.call(Request::Register(registration.into())).await.expect("registered");
}

/// Waits until something holds of a discovery.
async fn until(discovery: &mut Discovery, holds: impl Fn(&Discovery) -> bool) {
    let wait = async {
        while !holds(discovery) {
            discovery.changed().await;
        }
    };
    timeout(TEST_TIMEOUT, wait).await.expect("in time");
}

fn picked(discovery: &Discovery) -> Vec<String> {
    let mut picker = discovery.picker();
    let mut ids: Vec<String> =
        (0..4).filter_map(|_| picker.pick(None)).map(|pick| pick.item().id.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_outlasts_the_agent_and_goes_on_with_the_next_one() {
    let home = tempfile::tempdir().expect("a directory");
    let agent = start(home.path()).await;
    register(&agent, "web-1").await;
    let config =
        DiscoveryConfig { socket: agent.socket().to_owned(), ..DiscoveryConfig::new("web") };
    let mut discovery = Discovery::start(config).expect("no selector");
    until(&mut discovery, |known| picked(known) == ["web-1"] && !known.is_stale()).await;

    register(&agent, "web-2").await;
    until(&mut discovery, |known| picked(known) == ["web-1", "web-2"]).await;

    agent.shutdown().await;
    until(&mut discovery, Discovery::is_stale).await;
    assert_eq!(picked(&discovery), ["web-1", "web-2"], "the last known set");

    let agent = start(home.path()).await;
    until(&mut discovery, |known| !known.is_stale()).await;
    register(&agent, "web-3").await;
    until(&mut discovery, |known| picked(known) == ["web-1", "web-2", "web-3"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumed_watch_is_answered_at_once_also_when_nothing_changed() {
    let home = tempfile::tempdir().expect("a directory");
    let agent = start(home.path()).await;
    register(&agent, "web-1").await;
    let socket = agent.socket().to_owned();
    let watch = async |since| {
        let query = WatchQuery { since, ..WatchQuery::new("web") };
        let client = Client::connect(&socket).await.expect("connected");
        client.watch(query).await.expect("watching")
    };
    let mut first = watch(None).await;
    let now = first.next().await.expect("an answer").expect("instances");
    let mut second = watch(Some(now.revision())).await;
    let resumed = timeout(TEST_TIMEOUT, second.next()).await.expect("in time");
    let resumed = resumed.expect("an answer").expect("changes");
    let WatchEvent::Changes(changes) = resumed else { panic!("{resumed:?}") };
    assert!(changes.instances.is_empty(), "{changes:?}");
}
