//! What calls teach: circuits, ejections, averages; and hedged calls.

use std::sync::Arc;
use std::time::Duration;

use hobnob_api::Strategy;
use hobnob_api::calls::http::Request;
use hobnob_api::calls::{CallError, CallOptions, CircuitState};
use hobnob_balancer::{BreakerConfig, Config, OutlierConfig};
use tokio::sync::Barrier;
use tokio::time::timeout;

use super::support::{Behaviour, Server, get, instance, until, web};

#[tokio::test]
async fn a_circuit_opens_is_shown_and_closes_after_a_trial() {
    let server = Server::start(Behaviour::Answer(500)).await;
    let web = web(vec![instance("web-1", server.address)], |config| {
        let recovery_timeout = Duration::from_millis(300);
        let breaker = BreakerConfig { failure_threshold: 3, recovery_timeout, jitter_percent: 0 };
        config.balancer = Config { breaker: Some(breaker), ..Config::default() };
        config.calls.retries.max_retries = 0;
    })
    .await;
    for _ in 0..3 {
        assert_eq!(web.call(get("/")).await.unwrap().status(), 500);
    }
    let refused = web.call(get("/")).await.unwrap_err();
    assert!(matches!(refused, CallError::CircuitsOpen { offered: 1, .. }), "{refused}");
    let standing = &web.standings()[0];
    assert!(matches!(standing.circuit, CircuitState::Open { .. }), "{standing:?}");
    assert_eq!((standing.tries, standing.failures, standing.in_flight), (3, 3, 0));
    assert_eq!((server.requests(), web.call_stats().failed), (3, 4));

    server.becomes(Behaviour::Answer(200));
    let trial = async {
        loop {
            match web.call(get("/")).await {
                Ok(answer) => break answer,
                Err(CallError::CircuitsOpen { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let answer = timeout(Duration::from_secs(60), trial).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(web.standings()[0].circuit, CircuitState::Closed);
    assert!(web.picker().pick(None).is_some(), "pickers share what calls learn");
}

#[tokio::test]
async fn an_outlier_is_ejected_and_shown() {
    let (bad, good) =
        (Server::start(Behaviour::Close).await, Server::start(Behaviour::Answer(200)).await);
    let instances = vec![instance("bad", bad.address), instance("good", good.address)];
    let web = web(instances, |config| {
        let outlier = OutlierConfig { consecutive_failures: 2, ..OutlierConfig::default() };
        config.balancer = Config { outlier: Some(outlier), ..Config::default() };
        config.strategy = Strategy::RoundRobin;
    })
    .await;
    for _ in 0..10 {
        assert_eq!(web.call(get("/")).await.unwrap().instance.id, "good");
    }
    assert_eq!(bad.requests(), 2);
    let standings = web.standings();
    let ejected = |id| {
        let mut found = standings.iter().filter(|standing| standing.instance.id == id);
        found.next().unwrap().ejected_for
    };
    assert!(ejected("bad").is_some_and(|time| time <= Duration::from_secs(30)));
    assert_eq!(ejected("good"), None);
}

#[tokio::test]
async fn a_call_that_is_dropped_is_no_longer_in_flight_and_no_failure() {
    let server = Server::start(Behaviour::Hang).await;
    let web = web(vec![instance("web-1", server.address)], |_| {}).await;
    let discovery = Arc::clone(&web);
    let call = tokio::spawn(async move { discovery.call(get("/")).await.map(|_| ()) });
    until(|| server.requests() == 1).await;
    assert_eq!(web.standings()[0].in_flight, 1);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let standing = &web.standings()[0];
    assert_eq!((standing.in_flight, standing.failures), (0, 0));
}

#[tokio::test]
async fn a_call_counts_as_in_flight_until_its_body_is_read_or_dropped() {
    let server = Server::start(Behaviour::Answer(200)).await;
    let web = web(vec![instance("web-1", server.address)], |_| {}).await;
    let request = |body: &'static str| Request::put("/").body(body).unwrap();
    let answer = web.call(request("body")).await.unwrap();
    assert_eq!(web.standings()[0].in_flight, 1);
    answer.bytes(4).await.unwrap();
    assert_eq!(web.standings()[0].in_flight, 0);
    drop(web.call(request("body")).await.unwrap());
    assert_eq!(web.standings()[0].in_flight, 0);
    let too_long = web.call(request("body")).await.unwrap().bytes(3).await.unwrap_err();
    assert!(matches!(too_long, CallError::TooLong { max: 3, .. }));
    let standing = &web.standings()[0];
    assert_eq!((standing.in_flight, standing.failures), (0, 0));
}

#[tokio::test]
async fn a_call_that_takes_long_is_hedged_when_that_is_wanted() {
    let (one, other) =
        (Server::start(Behaviour::Answer(200)).await, Server::start(Behaviour::Answer(200)).await);
    let instances = vec![instance("one", one.address), instance("other", other.address)];
    let web = web(instances, |config| {
        config.strategy = Strategy::RoundRobin;
        config.calls.hedge_quantile = Some(0.95);
    })
    .await;
    // Once the quantile is known, one call in twenty is hedged.
    while web.call_stats().hedges == 0 {
        web.call(get("/")).await.unwrap();
    }
    let before = web.call_stats().hedges;
    one.becomes(Behaviour::Hang);
    for _ in 0..4 {
        let answer = web.call(get("/")).await.unwrap();
        assert_eq!(answer.instance.id, "other");
    }
    let stats = web.call_stats();
    assert!(stats.hedges >= before + 2 && stats.failed == 0, "{stats:?}");
    let standings = web.standings();
    assert!(standings.iter().all(|standing| standing.in_flight == 0 && standing.failures == 0));
}

#[tokio::test]
async fn calls_from_many_tasks_at_once_all_end() {
    let (one, other) = (
        Server::start(Behaviour::Slow(Duration::from_millis(1))).await,
        Server::start(Behaviour::Close).await,
    );
    let instances = vec![instance("one", one.address), instance("other", other.address)];
    let web = web(instances, |_| {}).await;
    let barrier = Arc::new(Barrier::new(50));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (discovery, barrier) = (Arc::clone(&web), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                for _ in 0..10 {
                    let call = discovery.call_with(get("/"), CallOptions::default()).await;
                    call.unwrap().bytes(0).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(web.call_stats().failed, 0);
    assert!(web.standings().iter().all(|standing| standing.in_flight == 0));
}
