//! What the agent tells calls, and what they tell it: settings of registrations, outcomes.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hobnob_api::calls::CallError;
use hobnob_api::codec::BinaryCodec;
use hobnob_api::discovery::{Discovery, DiscoveryConfig, SettingOrigin};
use hobnob_api::{
    ApiError, Balancing, Call, Changes, ErrorCode, Instance, InstanceCalls, Instances, Prefer,
    Protocol, Reply, Request, Response, ServiceSettings, Strategy,
};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::codec::Framed;

use super::support::{Behaviour, Server, get, instance, until};

/// Longer than any of these tests may take.
const LONG: Duration = Duration::from_secs(60);

/// An agent that tells what a test says, on one connection after the other.
struct Agent {
    folder: TempDir,
    listener: UnixListener,
}

/// The connection of a watch.
struct Connection {
    framed: Framed<UnixStream, BinaryCodec<Call, Reply>>,
    watch: u64,
    revision: u64,
}

impl Agent {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("a.sock")).unwrap();
        Self { folder, listener }
    }

    fn follow(&self, change: impl FnOnce(&mut DiscoveryConfig)) -> Discovery {
        let socket = self.folder.path().join("a.sock");
        let mut config =
            DiscoveryConfig { socket, prefer: Prefer::Any, ..DiscoveryConfig::for_calls("web") };
        config.strategy = Strategy::RoundRobin;
        change(&mut config);
        Discovery::start(config).unwrap()
    }

    /// The next watch, which is told these instances.
    async fn tell(
        &self,
        settings: Option<ServiceSettings>,
        instances: Vec<Instance>,
    ) -> Connection {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut framed = Framed::new(stream, BinaryCodec::server());
        let call: Call = framed.next().await.unwrap().unwrap().unwrap();
        let consistency = Default::default();
        let now = Instances { revision: 1, isolated: false, consistency, settings, instances };
        let told = Reply {
            api: Some(hobnob_api::API_VERSION),
            ..Reply::new(call.id, Response::Instances(now))
        };
        framed.send(&told).await.unwrap();
        Connection { framed, watch: call.id, revision: 1 }
    }
}

impl Connection {
    /// Tells a change.
    async fn change(&mut self, settings: Option<ServiceSettings>, instances: Vec<Instance>) {
        self.revision += 1;
        let changes = Changes { revision: self.revision, isolated: false, settings, instances };
        let reply = Reply::new(self.watch, Response::Changes(changes));
        self.framed.send(&reply).await.unwrap();
    }

    /// The next report, and the number of its call.
    async fn report(&mut self) -> (u64, Vec<InstanceCalls>) {
        let call: Call = self.framed.next().await.unwrap().unwrap().unwrap();
        let Request::Report { reports, mut calls } = call.request else { panic!("{call:?}") };
        assert!(reports.is_empty() && calls.len() == 1, "{calls:?}");
        let calls = calls.remove(0);
        assert_eq!((&*calls.service, &*calls.namespace), ("web", "default"));
        (call.id, calls.instances)
    }
}

impl Connection {
    /// Adds reports to the sums until they are these. Returns the number of the last call.
    async fn reports_until(&mut self, sums: &mut Sums, expected: &[(&str, (u32, u32))]) -> u64 {
        let expected = expected.iter().map(|(id, sum)| ((*id).to_owned(), *sum)).collect();
        loop {
            let (number, report) = self.report().await;
            for InstanceCalls { id, successes, failures, latency_us, .. } in report {
                assert_eq!(latency_us > 0, successes > 0, "{id}");
                let sum = sums.entry(id).or_default();
                *sum = (sum.0 + successes, sum.1 + failures);
            }
            if *sums == expected {
                return number;
            }
        }
    }
}

/// The successes and failures of each instance that were told.
type Sums = BTreeMap<String, (u32, u32)>;

fn settings(balancing: Balancing) -> Option<ServiceSettings> {
    Some(ServiceSettings { instance: Some("web-1".into()), member: Some("a1".into()), balancing })
}

#[tokio::test]
async fn the_settings_of_a_registration_count_at_once_unless_the_program_has_its_own() {
    let http2 = Server::start_with(Behaviour::Answer(200), true).await;
    let http1 = Server::start(Behaviour::Answer(200)).await;
    let agent = Agent::new();
    let mut web = agent.follow(|_| {});
    let over_http2 = || Balancing { protocol: Some(Protocol::Http2), ..Balancing::default() };
    let mut connection =
        agent.tell(settings(over_http2()), vec![instance("web-1", http2.address)]).await;
    assert_eq!(web.call(get("/")).await.unwrap().status(), 200);
    assert_eq!(web.registered_settings(), settings(over_http2()).unwrap());
    let told = web.settings().into_iter().find(|one| one.setting == "protocol").unwrap();
    assert_eq!((&*told.value, told.origin), ("http2", SettingOrigin::Registration));

    web.changed().await;
    connection
        .change(Some(ServiceSettings::default()), vec![instance("web-1", http1.address)])
        .await;
    web.changed().await;
    assert_eq!(web.call(get("/")).await.unwrap().status(), 200);
    assert_eq!((http2.requests(), http1.requests()), (1, 1));

    let own = agent.follow(|config| config.overrides.protocol = Some(Protocol::Http1));
    let _connection =
        agent.tell(settings(over_http2()), vec![instance("web-1", http1.address)]).await;
    assert_eq!(own.call(get("/")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_breaker_that_is_registered_anew_begins_anew_and_times_keep_it() {
    let server = Server::start(Behaviour::Answer(500)).await;
    let agent = Agent::new();
    let mut web = agent.follow(|config| config.calls.retries.max_retries = 0);
    let breaker =
        |failures| Balancing { failure_threshold: Some(failures), ..Balancing::default() };
    let mut connection =
        agent.tell(settings(breaker(1)), vec![instance("web-1", server.address)]).await;
    assert_eq!(web.call(get("/")).await.unwrap().status(), 500);
    web.changed().await;
    let mut picker = web.picker();
    for timed in [breaker(1), Balancing { call_timeout_ms: Some(9_000), ..breaker(1) }] {
        connection.change(settings(timed), vec![]).await;
        web.changed().await;
        let refused = web.call(get("/")).await.unwrap_err();
        assert!(matches!(refused, CallError::CircuitsOpen { .. }), "{refused}");
        assert!(picker.pick(None).is_none());
    }
    connection.change(settings(breaker(2)), vec![]).await;
    web.changed().await;
    for _ in 0..2 {
        assert!(picker.pick(None).is_some(), "pickers see it, too");
        assert_eq!(web.call(get("/")).await.unwrap().status(), 500);
    }
    assert!(web.call(get("/")).await.is_err());
}

#[tokio::test]
async fn the_agent_is_told_how_calls_ended() {
    let (good, bad) =
        (Server::start(Behaviour::Answer(200)).await, Server::start(Behaviour::Answer(500)).await);
    let agent = Agent::new();
    let web = agent.follow(|_| {});
    let instances = vec![instance("good", good.address), instance("bad", bad.address)];
    let mut connection = agent.tell(None, instances.clone()).await;
    let call = async |times: usize| {
        for _ in 0..times {
            web.call(get("/")).await.unwrap().discard().await.unwrap();
        }
    };
    call(6).await;
    assert!(web.report(LONG).await);
    let failed = u32::try_from(bad.requests()).unwrap();
    let mut sums = Sums::new();
    connection.reports_until(&mut sums, &[("good", (6, 0)), ("bad", (0, failed))]).await;

    // Without being asked to, too, and each outcome once.
    call(1).await;
    let failed = u32::try_from(bad.requests()).unwrap();
    let number =
        connection.reports_until(&mut sums, &[("good", (7, 0)), ("bad", (0, failed))]).await;
    assert_eq!(web.call_stats().untold, 0);

    // An agent of an earlier version knows no such report. The watch goes on, and what is not told is counted.
    let unknown = ApiError::new(ErrorCode::RequestMalformed, "unknown field `calls`");
    connection.framed.send(&Reply::new(number, Response::Error(unknown))).await.unwrap();
    connection.change(None, vec![instance("third", good.address)]).await;
    until(|| web.instances().len() == 3).await;
    call(2).await;
    assert!(!web.report(LONG).await);
    assert!(web.call_stats().untold >= 2);
}

#[tokio::test]
async fn a_program_may_keep_its_outcomes_to_itself() {
    let server = Server::start(Behaviour::Answer(200)).await;
    let agent = Agent::new();
    let web = agent.follow(|config| config.calls.report = false);
    let mut connection = agent.tell(None, vec![instance("web-1", server.address)]).await;
    web.call(get("/")).await.unwrap().discard().await.unwrap();
    assert!(!web.report(LONG).await);
    drop(web);
    assert!(connection.framed.next().await.is_none(), "nothing was told until its end");
}
