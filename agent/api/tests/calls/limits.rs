//! Calls that find nobody, and calls that may not be tried again.

use std::time::Duration;

use hobnob_api::calls::http::Request;
use hobnob_api::calls::{CallError, CallOptions};
use hobnob_api::discovery::{Discovery, DiscoveryConfig};
use hobnob_api::{Basis, Instance, InstanceStatus};
use hobnob_balancer::{Config, RetryBudgetConfig};

use super::support::{Behaviour, Server, get, instance, refused, web};

#[tokio::test]
async fn retries_have_a_budget() {
    let (one, other) =
        (Server::start(Behaviour::Answer(503)).await, Server::start(Behaviour::Answer(503)).await);
    let instances = vec![instance("one", one.address), instance("other", other.address)];
    let web = web(instances, |config| {
        config.balancer = Config::default();
        config.calls.retries.budget = RetryBudgetConfig { percent: 20, min_per_second: 0 };
        config.calls.retries.base_backoff = Duration::ZERO;
    })
    .await;
    for _ in 0..100 {
        assert_eq!(web.call(get("/")).await.unwrap().status(), 503);
    }
    let stats = web.call_stats();
    assert_eq!((stats.calls, stats.failed, stats.retries), (100, 100, 20));
    assert_eq!(one.requests() + other.requests(), 120);
    assert!(stats.budget_spent >= 80, "{stats:?}");
}

#[tokio::test]
async fn a_call_that_finds_nobody_says_why() {
    let nobody = web(vec![], |_| {}).await;
    let error = nobody.call(get("/")).await.unwrap_err();
    assert_eq!(error.to_string(), "`web` has no instance");
    let unhealthy =
        Instance { status: InstanceStatus::Unhealthy, ..instance("web-1", refused().await) };
    let sick = web(vec![unhealthy], |_| {}).await;
    let error = sick.call(get("/")).await.unwrap_err();
    assert_eq!(error.to_string(), "none of the 1 instances of `web` is offered");

    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("none.sock");
    let config = DiscoveryConfig { socket, ..DiscoveryConfig::for_calls("web") };
    let alone = Discovery::start(config).unwrap();
    let short = CallOptions { timeout: Some(Duration::from_millis(20)), ..Default::default() };
    let error = alone.call_with(get("/"), short).await.unwrap_err();
    assert!(matches!(error, CallError::AgentAway { .. }), "{error}");
    assert_eq!((error.tries(), error.instance().is_none()), (0, true));
}

#[tokio::test]
async fn the_last_known_instances_are_called_when_nothing_healthy_is_left() {
    let server = Server::start(Behaviour::Answer(200)).await;
    let lost = |basis| Instance {
        status: InstanceStatus::Unknown,
        basis,
        ..instance("lost", server.address)
    };
    let web = web(vec![lost(Basis::LastKnown)], |_| {}).await;
    let answer = web.call(get("/")).await.unwrap();
    assert_eq!((&*answer.instance.id, answer.instance.status), ("lost", InstanceStatus::Unknown));

    let strict = super::support::web(vec![lost(Basis::LastKnown)], |config| config.strict = true);
    let error = strict.await.call(get("/")).await.unwrap_err();
    assert!(matches!(error, CallError::NothingOffered { known: 1, .. }), "{error}");
}

#[tokio::test]
async fn every_instance_refuses() {
    let instances = vec![instance("a", refused().await), instance("b", refused().await)];
    let web = web(instances, |_| {}).await;
    let error = web.call(get("/")).await.unwrap_err();
    assert_eq!((error.tries(), error.service()), (3, "web"));
    assert!(error.to_string().starts_with("`web` did not answer, 3 tried, last "), "{error}");
}

#[tokio::test]
async fn a_request_that_nobody_can_take_is_refused_before_it_is_sent() {
    let server = Server::start(Behaviour::Answer(200)).await;
    let web = web(vec![instance("web-1", server.address)], |_| {}).await;
    let connect = Request::connect("example:80").body(()).unwrap();
    let error = web.call(connect).await.unwrap_err();
    assert!(matches!(error, CallError::Invalid { .. }), "{error}");
    assert_eq!(server.connections(), 0);
}
