//! Agents in one process, on real sockets, talked to over their unix sockets.

use std::path::Path;
use std::time::Duration;

use hobnob_agent::{Agent, AgentConfig};
use hobnob_api::client::{Client, ClientError};
use hobnob_api::{
    Ack, Basis, CallReport, Datacenters, ErrorCode, Instance, InstanceStatus, MemberStatus,
    Outcome, Pick, PickQuery, Query, Registration, Request, Response, WatchEvent, WatchQuery,
};

use crate::support::{TEST_TIMEOUT, config};

fn registration(service: &str, id: &str, port: u16) -> Registration {
    let json = format!(r#"{{"service":"{service}","id":"{id}","port":{port},"tags":["v1"]}}"#);
    serde_json::from_str(&json).expect("a registration")
}

async fn call(agent: &Agent, request: Request) -> Response {
    let mut client = Client::connect(agent.socket()).await.expect("connected");
    client.call(request).await.expect("answered")
}

fn query(service: &str) -> Query {
    serde_json::from_str(&format!(r#"{{"service":"{service}"}}"#)).expect("a query")
}

async fn resolve(agent: &Agent, query: Query) -> Vec<Instance> {
    match call(agent, Request::Resolve(query)).await {
        Response::Instances(instances) => instances.instances,
        other => panic!("{other:?}"),
    }
}

async fn healthy(agent: &Agent, service: &str) -> Vec<Instance> {
    resolve(agent, Query { strict: true, ..query(service) }).await
}

/// Follows a watch until its service has this many healthy instances.
async fn until_healthy(agent: &Agent, service: &str, count: usize) {
    let query: WatchQuery =
        serde_json::from_str(&format!(r#"{{"service":"{service}"}}"#)).expect("a query");
    let follow = async {
        let client = Client::connect(agent.socket()).await.expect("connected");
        let mut watch = client.watch(query).await.expect("watching");
        loop {
            if healthy(agent, service).await.len() == count {
                return;
            }
            watch.next().await.expect("the watch goes on").expect("no error");
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, follow).await.expect("in time");
}

async fn until_members(agent: &Agent, status: MemberStatus, count: usize) {
    let poll = async {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        loop {
            pause.tick().await;
            let Response::Members(members) =
                call(agent, Request::Members { all: true, datacenter: Datacenters::All }).await
            else {
                panic!("members")
            };
            if members.members.iter().filter(|member| member.status == status).count() == count {
                return;
            }
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, poll).await.expect("in time");
}

fn ack(by: &str) -> Option<Ack> {
    Some(Ack { by: by.parse().expect("ackers"), timeout_ms: 10_000 })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_change_is_seen_by_the_clients_of_the_others_when_it_is_answered() {
    let home = tempfile::tempdir().expect("a directory");
    let a = Agent::start(config(home.path(), "a", &[])).await.expect("a");
    let alone = Registration { ack: ack("all"), ..registration("web", "alone", 8000) };
    let Response::Registered { ack: Some(acked), .. } =
        call(&a, Request::Register(alone.into())).await
    else {
        panic!("registered")
    };
    assert_eq!((acked.confirmed, acked.wanted, acked.complete), (0, 0, false), "nobody is there");

    let b = Agent::start(config(home.path(), "b", &[&a])).await.expect("b");
    let c = Agent::start(config(home.path(), "c", &[&a])).await.expect("c");
    for agent in [&a, &b, &c] {
        until_members(agent, MemberStatus::Alive, 3).await;
    }
    let seen = async |agent: &Agent, id: &str| {
        resolve(agent, query("web")).await.iter().any(|instance| instance.id == id)
    };
    for (number, by) in ["all", "datacenter", "datacenter:dc1", "2"].into_iter().enumerate() {
        let id = format!("web-{number}");
        let asked = Registration { ack: ack(by), ..registration("web", &id, 8001) };
        let Response::Registered { ack: Some(acked), .. } =
            call(&a, Request::Register(asked.into())).await
        else {
            panic!("registered")
        };
        assert_eq!((acked.confirmed, acked.wanted, acked.complete), (2, 2, true), "{by}");
        assert!(acked.missing.is_empty());
        assert!(seen(&b, &id).await && seen(&c, &id).await, "{by}: without any wait");

        let removed = Request::Deregister {
            id: id.clone(),
            ack: ack(by),
            datacenter: None,
            consistency: Default::default(),
            consistency_timeout_ms: None,
        };
        let Response::Deregistered { ack: Some(acked), .. } = call(&a, removed).await else {
            panic!("deregistered")
        };
        assert!(acked.complete);
        assert!(!seen(&b, &id).await && !seen(&c, &id).await, "{by}: without any wait");
    }
    let asked = Registration { ack: ack("5"), ..registration("web", "more", 8001) };
    let Response::Registered { ack: Some(acked), .. } =
        call(&a, Request::Register(asked.into())).await
    else {
        panic!("registered")
    };
    assert_eq!((acked.wanted, acked.complete), (5, false));
    assert!(seen(&a, "more").await, "it stands");

    // A datacenter that nobody knows is refused before anything is changed.
    let unknown = ack("datacenter:eu");
    let asked = Registration { ack: unknown.clone(), ..registration("web", "never", 8001) };
    let removed = Request::Deregister {
        id: "more".into(),
        ack: unknown,
        datacenter: None,
        consistency: Default::default(),
        consistency_timeout_ms: None,
    };
    for request in [Request::Register(asked.into()), removed] {
        let mut client = Client::connect(a.socket()).await.expect("connected");
        let refused = client.call(request).await;
        let Err(ClientError::Api(error)) = refused else { panic!("{refused:?}") };
        assert_eq!(error.code, ErrorCode::DatacenterNotFound);
    }
    assert!(seen(&a, "more").await && !seen(&a, "never").await, "nothing was changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_registered_anywhere_is_picked_everywhere() {
    let home = tempfile::tempdir().expect("a directory");
    let a = Agent::start(config(home.path(), "a", &[])).await.expect("a");
    let b = Agent::start(config(home.path(), "b", &[&a])).await.expect("b");
    let c = Agent::start(config(home.path(), "c", &[&a])).await.expect("c");
    call(&a, Request::Register(registration("web", "web-1", 8001).into())).await;
    call(&b, Request::Register(registration("web", "web-2", 8002).into())).await;
    for agent in [&a, &b, &c] {
        until_healthy(agent, "web", 2).await;
        until_members(agent, MemberStatus::Alive, 3).await;
    }
    let pick = pick_query(r#"{"service":"web","count":10}"#);
    let Response::Picked(picked) = call(&c, Request::Pick(pick)).await else { panic!("picked") };
    let ids: Vec<_> = picked.picks.iter().map(|pick| pick.instance.id.as_str()).collect();
    assert_eq!(ids.len(), 10);
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");

    call(
        &b,
        Request::Deregister {
            id: "web-2".into(),
            ack: None,
            datacenter: None,
            consistency: Default::default(),
            consistency_timeout_ms: None,
        },
    )
    .await;
    for agent in [&a, &b, &c] {
        until_healthy(agent, "web", 1).await;
    }
    c.shutdown().await;
    until_members(&a, MemberStatus::Left, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registrations_survive_a_crash() {
    let home = tempfile::tempdir().expect("a directory");
    let a = Agent::start(config(home.path(), "a", &[])).await.expect("a");
    let b = Agent::start(config(home.path(), "b", &[&a])).await.expect("b");
    call(&b, Request::Register(registration("web", "web-1", 8001).into())).await;
    until_healthy(&a, "web", 1).await;
    let before = healthy(&a, "web").await;
    until_exists(&home.path().join("b/peers.json")).await;
    drop(b);
    until_members(&a, MemberStatus::Down, 1).await;
    assert_eq!(healthy(&a, "web").await, []);
    let left = resolve(&a, query("web")).await;
    let told = left.first().map(|one| (one.status, one.basis, one.offered));
    assert_eq!(told, Some((InstanceStatus::Unknown, Basis::LastKnown, true)));
    // No address to join at: the peers of its last life are enough.
    let b = restart(config(home.path(), "b", &[])).await;
    until_healthy(&a, "web", 1).await;
    until_members(&a, MemberStatus::Alive, 2).await;
    let after = healthy(&a, "web").await;
    assert_eq!(before[0].node_id, after[0].node_id);
    drop(b);
}

async fn until_exists(path: &Path) {
    let poll = async {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        while !path.exists() {
            pause.tick().await;
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, poll).await.expect("in time");
}

/// A dropped agent lets go of its directory and ports when its tasks are next polled.
async fn restart(config: AgentConfig) -> Agent {
    let attempt = async {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        loop {
            pause.tick().await;
            if let Ok(agent) = Agent::start(config.clone()).await {
                return agent;
            }
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, attempt).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_tells_what_is_there_and_what_changes() {
    let home = tempfile::tempdir().expect("a directory");
    let a = Agent::start(config(home.path(), "a", &[])).await.expect("a");
    call(&a, Request::Register(registration("web", "web-1", 8001).into())).await;
    let client = Client::connect(a.socket()).await.expect("connected");
    let query = WatchQuery::new("web");
    let mut watch = client.watch(query).await.expect("watching");
    let Some(Ok(WatchEvent::Instances(now))) = watch.next().await else {
        panic!("instances first")
    };
    assert_eq!(now.instances.len(), 1);
    call(
        &a,
        Request::Deregister {
            id: "web-1".into(),
            ack: None,
            datacenter: None,
            consistency: Default::default(),
            consistency_timeout_ms: None,
        },
    )
    .await;
    let Some(Ok(WatchEvent::Changes(changes))) = watch.next().await else { panic!("then changes") };
    assert_eq!(changes.instances[0].status, InstanceStatus::Gone);
    assert!(changes.revision > now.revision);

    // Resumed after the first answer, the change comes again; resumed after the change, nothing does.
    let client = Client::connect(a.socket()).await.expect("connected");
    let query = WatchQuery { since: Some(now.revision), ..WatchQuery::new("web") };
    let mut resumed = client.watch(query).await.expect("watching");
    let Some(Ok(WatchEvent::Changes(again))) = resumed.next().await else { panic!("changes") };
    assert_eq!(again.instances, changes.instances);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn least_connections_counts_calls_until_they_are_reported() {
    let home = tempfile::tempdir().expect("a directory");
    let a = Agent::start(config(home.path(), "a", &[])).await.expect("a");
    for (id, port) in [("web-1", 8001), ("web-2", 8002)] {
        call(&a, Request::Register(registration("web", id, port).into())).await;
    }
    let pick = |count: u32| {
        let json = r#"{"service":"web","strategy":"least-connections","report":true}"#;
        Request::Pick(PickQuery { count, ..pick_query(json) })
    };
    // Each call on a connection of its own: a promised report is not bound to one.
    let Response::Picked(picked) = call(&a, pick(10)).await else { panic!("picked") };
    let reports = |id: &str| -> Vec<CallReport> {
        let of_id = picked.picks.iter().filter(|pick| pick.instance.id == id);
        let report = |token| CallReport { token, outcome: Outcome::Success, latency_us: 900 };
        of_id.map(|pick| report(pick.token)).collect()
    };
    assert_eq!((reports("web-1").len(), reports("web-2").len()), (5, 5));
    let reported = call(&a, Request::Report { reports: reports("web-1"), calls: vec![] }).await;
    assert_eq!(reported, Response::Reported { known: 5 });
    let Response::Picked(next) = call(&a, pick(5)).await else { panic!("picked") };
    assert!(next.picks.iter().all(|pick| pick.instance.id == "web-1"), "{next:?}");
    let Response::Services(services) = call(&a, Request::Services { namespace: None }).await else {
        panic!("services")
    };
    assert_eq!(services.services[0].efficiency, Some(0.5), "10 picks and 5");
}

fn pick_query(json: &str) -> PickQuery {
    serde_json::from_str(json).expect("a pick query")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_sets_how_every_agent_balances() {
    let home = tempfile::tempdir().expect("a directory");
    let a = Agent::start(config(home.path(), "a", &[])).await.expect("a");
    let b = Agent::start(config(home.path(), "b", &[&a])).await.expect("b");
    let register = |id: &str, balancing: &str| {
        let json = format!(
            r#"{{"service":"web","id":"{id}","port":80,"weight":{},"balancing":{balancing}}}"#,
            id.len()
        );
        Request::Register(serde_json::from_str(&json).expect("a registration"))
    };
    call(&a, register("x", r#"{"strategy":"weighted","failure_threshold":2}"#)).await;
    call(&a, register("yyy", "{}")).await;
    until_healthy(&b, "web", 2).await;

    // The other agent follows: three of four picks go to the heavier instance, without being asked to.
    let query = pick_query(r#"{"service":"web","count":8,"report":true}"#);
    let Response::Picked(picked) = call(&b, Request::Pick(query.clone())).await else { panic!() };
    let heavy = |picked: &[Pick]| picked.iter().filter(|pick| pick.instance.id == "yyy").count();
    assert_eq!(heavy(&picked.picks), 6);

    // Two failures in a row open the circuit of the instance, here, and its share goes to the other.
    let failed = picked.picks.iter().filter(|pick| pick.instance.id == "yyy").take(2);
    let report = |token| CallReport { token, outcome: Outcome::Failure, latency_us: 0 };
    let reports = failed.map(|pick| report(pick.token)).collect();
    assert_eq!(
        call(&b, Request::Report { reports, calls: vec![] }).await,
        Response::Reported { known: 2 }
    );
    let Response::Picked(picked) = call(&b, Request::Pick(query.clone())).await else { panic!() };
    assert_eq!((picked.picks.len(), heavy(&picked.picks)), (8, 0));
    let Response::Picked(picked) = call(&a, Request::Pick(query)).await else { panic!() };
    assert_eq!(heavy(&picked.picks), 6, "the other agent has seen no failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_start_and_ejection_apply_on_every_agent() {
    let home = tempfile::tempdir().expect("a directory");
    let a = Agent::start(config(home.path(), "a", &[])).await.expect("a");
    let b = Agent::start(config(home.path(), "b", &[&a])).await.expect("b");
    let register = |id: &str, balancing: &str| {
        let json = format!(r#"{{"service":"web","id":"{id}","port":80,"balancing":{balancing}}}"#);
        Request::Register(serde_json::from_str(&json).expect("a registration"))
    };
    let pick = |strategy: &str| {
        let json =
            format!(r#"{{"service":"web","count":1000,"report":true,"strategy":"{strategy}"}}"#);
        Request::Pick(pick_query(&json))
    };
    let of =
        |picked: &[Pick], id: &str| picked.iter().filter(|pick| pick.instance.id == id).count();

    // A new instance starts at a tenth of its weight. A slow start of a day makes no progress while the test runs.
    let settings = r#"{"slow_start_ms":86400000,"outlier_failures":3,"ejection_time_ms":86400000}"#;
    call(&a, register("old", settings)).await;
    until_healthy(&b, "web", 1).await;
    call(&a, register("new", "{}")).await;
    until_healthy(&b, "web", 2).await;
    let Response::Picked(picked) = call(&b, pick("random")).await else { panic!() };
    let new = of(&picked.picks, "new");
    assert!((1..200).contains(&new), "{new} of 1000 picks, half without slow start");

    // Three failures in a row eject an instance, here.
    let failed = picked.picks.iter().filter(|pick| pick.instance.id == "old").take(3);
    let report = |token| CallReport { token, outcome: Outcome::Failure, latency_us: 0 };
    let reports = failed.map(|pick| report(pick.token)).collect();
    assert_eq!(
        call(&b, Request::Report { reports, calls: vec![] }).await,
        Response::Reported { known: 3 }
    );
    let Response::Picked(picked) = call(&b, pick("random")).await else { panic!() };
    assert_eq!((picked.picks.len(), of(&picked.picks, "old")), (1000, 0));
    let explain = Request::Explain { subject: "old".to_owned() };
    let Response::Explained(explained) = call(&b, explain).await else { panic!() };
    let [instance] = &explained.instances[..] else { panic!("{explained:?}") };
    let expected = "it is ejected as an outlier for 86400 s: callers reported 3 failures";
    assert!(!instance.offered && instance.reason.starts_with(expected), "{}", instance.reason);
    let Response::Picked(picked) = call(&a, pick("random")).await else { panic!() };
    assert!(of(&picked.picks, "old") > 0, "the other agent has seen no failure");
}
