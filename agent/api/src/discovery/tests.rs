//! A discovery against an agent that answers by a script, in paused time.

use futures_util::{SinkExt, StreamExt};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::codec::Framed;

use super::*;
use crate::clock::fake::suspend;
use crate::codec::BinaryCodec;
use crate::testing::{info, instance};
use crate::types::*;

pub(super) fn instances(revision: u64, instances: Vec<Instance>) -> Instances {
    Instances {
        revision,
        isolated: false,
        consistency: Default::default(),
        settings: None,
        instances,
    }
}

/// A socket on which the test answers in the place of an agent.
struct FakeAgent {
    folder: TempDir,
    listener: UnixListener,
}

struct FakeConnection {
    framed: Framed<UnixStream, BinaryCodec<Call, Reply>>,
    watch: u64,
}

impl FakeAgent {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("a.sock")).unwrap();
        Self { folder, listener }
    }

    fn config(&self) -> DiscoveryConfig {
        DiscoveryConfig { socket: self.folder.path().join("a.sock"), ..DiscoveryConfig::new("web") }
    }

    /// The next connection, and the revision from which its watch goes on. It asks first where the agent is.
    async fn watched(&self) -> (FakeConnection, Option<u64>) {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut framed = Framed::new(stream, BinaryCodec::server());
        let call: Call = framed.next().await.unwrap().unwrap().unwrap();
        assert_eq!(call.request, Request::Info {});
        let info = Response::Info(Box::new(info()));
        let greeting = Reply { api: Some(API_VERSION), ..Reply::new(call.id, info) };
        framed.send(&greeting).await.unwrap();
        let call: Call = framed.next().await.unwrap().unwrap().unwrap();
        let Request::Watch(query) = call.request else { panic!("{call:?}") };
        assert_eq!(query.service, "web");
        (FakeConnection { framed, watch: call.id }, query.since)
    }
}

impl FakeConnection {
    async fn tell(&mut self, response: Response) {
        self.framed.send(&Reply::new(self.watch, response)).await.unwrap();
    }
}

fn ids(discovery: &Discovery) -> Vec<String> {
    let mut picker = discovery.picker();
    let mut ids: Vec<_> =
        (0..4).filter_map(|_| picker.pick(None)).map(|pick| pick.item().id.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[tokio::test(start_paused = true)]
async fn picks_follow_what_the_agent_tells() {
    let agent = FakeAgent::new();
    let mut discovery = Discovery::start(agent.config()).unwrap();
    assert!(discovery.is_stale() && ids(&discovery).is_empty(), "no agent has answered yet");
    let (mut connection, since) = agent.watched().await;
    assert_eq!(since, None);
    let two = vec![instance("a"), instance("b")];
    connection.tell(Response::Instances(instances(1, two))).await;
    discovery.ready().await;
    assert!(!discovery.is_stale() && discovery.age().is_zero());
    assert_eq!(ids(&discovery), ["a", "b"]);
    discovery.changed().await;

    let gone = Instance { status: InstanceStatus::Gone, ..instance("a") };
    let changes = Changes { revision: 2, isolated: true, settings: None, instances: vec![gone] };
    connection.tell(Response::Changes(changes)).await;
    discovery.changed().await;
    assert_eq!(ids(&discovery), ["b"]);
    assert!(discovery.is_isolated());
}

#[tokio::test(start_paused = true)]
async fn the_last_set_is_served_while_the_agent_is_away_and_the_watch_resumes() {
    let agent = FakeAgent::new();
    let mut discovery = Discovery::start(agent.config()).unwrap();
    let (mut connection, _) = agent.watched().await;
    connection.tell(Response::Instances(instances(7, vec![instance("a")]))).await;
    discovery.ready().await;
    discovery.changed().await;

    drop(connection);
    discovery.changed().await;
    assert!(discovery.is_stale());
    assert_eq!(ids(&discovery), ["a"], "the last known set");
    tokio::time::advance(Duration::from_secs(3)).await;
    assert!(discovery.age() >= Duration::from_secs(3));
    suspend(Duration::from_secs(20));
    assert!(discovery.age() >= Duration::from_secs(23), "the sleep of the host counts");

    // One attempt is cut off before it is answered, and the next goes on from the same revision.
    let (connection, since) = agent.watched().await;
    assert_eq!(since, Some(7));
    drop(connection);
    let (mut connection, since) = agent.watched().await;
    assert_eq!(since, Some(7));
    let nothing_new = Changes { revision: 7, isolated: false, settings: None, instances: vec![] };
    connection.tell(Response::Changes(nothing_new)).await;
    discovery.changed().await;
    assert!(!discovery.is_stale());
    assert_eq!(ids(&discovery), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_answer_is_tried_again() {
    let agent = FakeAgent::new();
    let discovery = Discovery::start(agent.config()).unwrap();
    let (_silent, _) = agent.watched().await;
    let (mut second, _) = agent.watched().await;
    second.tell(Response::Instances(instances(1, vec![]))).await;
    discovery.ready().await;
    assert!(discovery.instances().is_empty() && !discovery.is_stale());
}

#[tokio::test(start_paused = true)]
async fn failures_open_the_circuit_of_an_instance_until_the_clock_lets_one_call_through() {
    let agent = FakeAgent::new();
    let breaker = hobnob_balancer::BreakerConfig { failure_threshold: 1, ..Default::default() };
    let recovery = breaker.recovery_timeout;
    let mut config = agent.config();
    config.balancer.breaker = Some(breaker);
    let discovery = Discovery::start(config).unwrap();
    let (mut connection, _) = agent.watched().await;
    connection.tell(Response::Instances(instances(1, vec![instance("a")]))).await;
    discovery.ready().await;

    let mut picker = discovery.picker();
    let pick = picker.pick(None).unwrap();
    pick.complete(Outcome::Failure, Duration::from_millis(1));
    assert!(picker.pick(None).is_none(), "its circuit is open");
    suspend(recovery);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(picker.pick(None).is_some(), "one call decides, and the sleep of the host counts");
}

#[tokio::test(start_paused = true)]
async fn preferences_are_seen_from_where_the_agent_is() {
    let agent = FakeAgent::new();
    let discovery =
        Discovery::start(DiscoveryConfig { prefer: Prefer::Zone, ..agent.config() }).unwrap();
    let (mut connection, _) = agent.watched().await;
    let next_door = Instance { zone: "z2".to_owned(), ..instance("next-door") };
    let far = Instance { datacenter: "dc2".to_owned(), ..instance("far") };
    let told = vec![instance("near"), next_door, far];
    connection.tell(Response::Instances(instances(1, told))).await;
    discovery.ready().await;
    assert_eq!(ids(&discovery), ["near"]);
}

#[tokio::test(start_paused = true)]
async fn dropping_it_closes_its_connection() {
    let agent = FakeAgent::new();
    let discovery = Discovery::start(agent.config()).unwrap();
    let (mut connection, _) = agent.watched().await;
    drop(discovery);
    assert!(connection.framed.next().await.is_none());
}

#[tokio::test]
async fn a_selector_that_cannot_be_read_is_refused_at_the_start() {
    let mut config = DiscoveryConfig::new("web");
    config.selector = Some("tier in (".to_owned());
    assert!(Discovery::start(config).is_err());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_stalls_during_a_watch_is_away_until_it_speaks_again() {
    let agent = FakeAgent::new();
    let mut discovery = Discovery::start(agent.config()).unwrap();
    let (mut stalled, _) = agent.watched().await;
    stalled.tell(Response::Instances(instances(1, vec![instance("a")]))).await;
    discovery.ready().await;
    discovery.changed().await;
    assert!(!discovery.is_stale());

    let call: Call = stalled.framed.next().await.unwrap().unwrap().unwrap();
    assert_eq!(call.request, Request::Info {}, "it asks for a sign of life");
    discovery.changed().await;
    assert!(discovery.is_stale() && ids(&discovery) == ["a"]);

    let (mut connection, since) = agent.watched().await;
    assert_eq!(since, Some(1));
    connection
        .tell(Response::Changes(Changes {
            revision: 1,
            isolated: false,
            settings: None,
            instances: vec![],
        }))
        .await;
    discovery.changed().await;
    assert!(!discovery.is_stale());
}
