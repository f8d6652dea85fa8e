//! Calls that fail at one instance and succeed at another, or must not be tried again.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hobnob_api::calls::http::{Request, StatusCode};
use hobnob_api::calls::{Body, CallError, CallOptions, Reason};
use hobnob_api::{Strategy, balancer};
use hyper::body::Frame;

use super::support::{Behaviour, Server, get, instance, refused, text, web};

fn post(body: impl Into<Body>) -> Request<Body> {
    Request::post("/").body(body.into()).unwrap()
}

/// A body of so many pieces, of unknown length.
struct Pieces(usize);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0 = match self.0.checked_sub(1) {
            Some(left) => left,
            None => return Poll::Ready(None),
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; 1_000])))))
    }
}

#[tokio::test]
async fn a_name_becomes_an_answer() {
    let server = Server::start(Behaviour::Answer(200)).await;
    let web = web(vec![instance("web-1", server.address)], |_| {}).await;
    let answer = web.call(Request::put("/path?x=1").body("hello").unwrap()).await.unwrap();
    assert_eq!((answer.status(), answer.tries), (StatusCode::OK, 1));
    assert_eq!(answer.instance.id, "web-1");
    assert_eq!(text(answer).await, "hello");
    assert_eq!(server.last(), ("web".to_owned(), "/path?x=1".to_owned()));

    let named = Request::get("http://shop.example:81/cart").header("x", "y").body(()).unwrap();
    web.call(named).await.unwrap();
    assert_eq!(server.last(), ("shop.example:81".to_owned(), "/cart".to_owned()));
}

#[tokio::test]
async fn an_idempotent_call_that_fails_is_tried_at_another_instance() {
    for behaviour in [Behaviour::Answer(500), Behaviour::Answer(503), Behaviour::Close] {
        let (bad, good) =
            (Server::start(behaviour).await, Server::start(Behaviour::Answer(200)).await);
        let instances = vec![instance("bad", bad.address), instance("good", good.address)];
        let web = web(instances, |config| config.strategy = Strategy::RoundRobin).await;
        for _ in 0..20 {
            let answer = web.call(get("/")).await.unwrap();
            assert_eq!((answer.status(), &*answer.instance.id), (StatusCode::OK, "good"));
        }
        assert_eq!(bad.requests(), 5, "{behaviour:?}: then its circuit is open");
        let stats = web.call_stats();
        assert_eq!((stats.calls, stats.failed, stats.retries), (20, 0, 5));
    }
}

#[tokio::test]
async fn a_call_that_is_not_idempotent_is_tried_again_only_when_it_cannot_have_arrived() {
    let bad = Server::start(Behaviour::Answer(500)).await;
    let good = Server::start(Behaviour::Answer(200)).await;
    let both = |bad| vec![instance("a", bad), instance("b", good.address)];
    let by_turns = |config: &mut hobnob_api::discovery::DiscoveryConfig| {
        config.strategy = Strategy::RoundRobin;
    };

    let web_500 = web(both(bad.address), by_turns).await;
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let answer = web_500.call(post("once")).await.unwrap();
        assert_eq!(answer.tries, 1);
        statuses.push(answer.status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 500]);
    assert_eq!(bad.requests(), 1);
    let twice = CallOptions { idempotent: Some(true), ..CallOptions::default() };
    for _ in 0..2 {
        let answer = web_500.call_with(post("twice"), twice.clone()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }

    bad.becomes(Behaviour::Close);
    let mut errors = Vec::new();
    for _ in 0..2 {
        errors.extend(web_500.call(post("once")).await.err());
    }
    let [error] = &errors[..] else { panic!("{errors:?}") };
    assert_eq!((error.service(), error.tries()), ("web", 1));
    assert_eq!(error.instance().unwrap().id, "a");
    assert!(error.to_string().ends_with("it may have arrived, and is not idempotent"), "{error}");

    let web_refused = web(both(refused().await), by_turns).await;
    for _ in 0..10 {
        let answer = web_refused.call(post("once")).await.unwrap();
        assert_eq!((answer.status(), &*answer.instance.id), (StatusCode::OK, "b"));
    }
}

#[tokio::test]
async fn an_instance_that_does_not_answer_in_time_is_left_for_another() {
    let (hangs, good) =
        (Server::start(Behaviour::Hang).await, Server::start(Behaviour::Answer(200)).await);
    let instances = vec![instance("hangs", hangs.address), instance("good", good.address)];
    let web = web(instances, |config| {
        config.strategy = Strategy::RoundRobin;
        config.calls.try_timeout = Duration::from_millis(250);
    })
    .await;
    for _ in 0..4 {
        assert_eq!(web.call(get("/")).await.unwrap().instance.id, "good");
    }
    let hung = hangs.requests() as u64;
    assert!(hung >= 2 && web.call_stats().retries == hung, "{hung}");
    good.becomes(Behaviour::Hang);
    let short = CallOptions { timeout: Some(Duration::from_millis(400)), ..Default::default() };
    let error = web.call_with(get("/"), short).await.unwrap_err();
    let CallError::Failed { reason: Reason::Deadline(_), .. } = error else { panic!("{error}") };
}

#[tokio::test]
async fn a_streaming_body_is_sent_again_while_all_of_it_is_kept() {
    let (bad, good) =
        (Server::start(Behaviour::Answer(503)).await, Server::start(Behaviour::Answer(200)).await);
    let instances = vec![instance("a", bad.address), instance("b", good.address)];
    let web = web(instances, |config| {
        config.strategy = Strategy::RoundRobin;
        config.calls.replay_bytes = 10_000;
    })
    .await;
    let put = |pieces| Request::put("/").body(Body::stream(Pieces(pieces))).unwrap();
    for _ in 0..2 {
        let answer = web.call(put(10)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(text(answer).await.len(), 10_000);
    }
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(web.call(put(11)).await.unwrap().status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503], "too long to be sent again");
}

#[tokio::test]
async fn a_key_leads_to_its_instance_and_to_one_other_when_that_fails() {
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(Server::start(Behaviour::Answer(200)).await);
    }
    let instances =
        servers.iter().enumerate().map(|(n, server)| instance(&format!("web-{n}"), server.address));
    let web = web(instances.collect(), |config| {
        config.strategy = Strategy::ConsistentHash;
        config.calls.key_header = Some("x-user".parse().unwrap());
        config.balancer = balancer::Config::default();
    })
    .await;
    let ask = async |user: &str| {
        let request = Request::get("/").header("x-user", user).body(()).unwrap();
        web.call(request).await.unwrap().instance.id.clone()
    };
    let first = ask("user-42").await;
    let keyed = web.call_with(get("/"), CallOptions::with_key("user-42")).await.unwrap();
    assert_eq!(keyed.instance.id, first);
    let number: usize = first.strip_prefix("web-").unwrap().parse().unwrap();
    servers[number].becomes(Behaviour::Close);
    let second = ask("user-42").await;
    assert_ne!(first, second);
    for _ in 0..5 {
        assert_eq!(ask("user-42").await, second);
    }
    servers[number].becomes(Behaviour::Answer(200));
    assert_eq!(ask("user-42").await, first);
}
