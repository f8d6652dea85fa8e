//! Watches, against an agent of the test.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_util::codec::Framed;

use super::*;
use crate::codec::BinaryCodec;
use crate::testing::instance;
use crate::types::{Call, Instance, InstanceStatus, Query, Reply};
use crate::{ApiError, ErrorCode};

const WITHIN: Duration = Duration::from_secs(60);
const RUN: &str = "00000000000000aa";
const OTHER_RUN: &str = "00000000000000bb";

struct Agent {
    folder: tempfile::TempDir,
    listener: UnixListener,
}

type Server = Framed<UnixStream, BinaryCodec<Call, Reply>>;

impl Agent {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("a.sock")).unwrap();
        Self { folder, listener }
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("a.sock")
    }

    /// The next connection, with its first call.
    async fn call(&self) -> (Server, Call) {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut server = Framed::new(stream, BinaryCodec::server());
        let call = server.next().await.unwrap().unwrap().unwrap();
        (server, call)
    }
}

fn all(revision: u64, instances: Vec<Instance>) -> Response {
    Response::Instances(Instances {
        revision,
        isolated: false,
        consistency: Default::default(),
        settings: None,
        instances,
    })
}

fn changes(revision: u64, instances: Vec<Instance>) -> Response {
    Response::Changes(Changes { revision, isolated: false, settings: None, instances })
}

fn greeting(id: u64, run: &str, response: Response) -> Reply {
    Reply { run: Some(run.to_owned()), ..Reply::new(id, response) }
}

fn ids<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> Vec<&'a str> {
    instances.into_iter().map(|instance| instance.id.as_str()).collect()
}

#[tokio::test]
async fn a_watch_gives_instances_then_changes_then_ends() {
    let agent = Agent::start();
    let client = Client::connect(agent.socket()).await.unwrap();
    let mut watch = client.watch(WatchQuery::new("web")).await.unwrap();
    let (mut server, call) = agent.call().await;
    server.send(&Reply::new(call.id, all(4, vec![]))).await.unwrap();
    server.send(&Reply::new(call.id, changes(5, vec![]))).await.unwrap();
    let first = watch.next().await.unwrap().unwrap();
    assert_eq!((first.is_whole(), first.revision()), (true, 4));
    let then = watch.next().await.unwrap().unwrap();
    assert_eq!((then.is_whole(), then.revision()), (false, 5));
    drop(server);
    assert!(matches!(watch.next().await, Some(Err(ClientError::Closed { .. }))));
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn the_parts_of_an_event_are_one_event() {
    let agent = Agent::start();
    let client = Client::connect(agent.socket()).await.unwrap();
    let mut watch = client.watch_all(WatchAllQuery::default()).await.unwrap();
    let (mut server, call) = agent.call().await;
    let part = |more, response| Reply { more, ..greeting(call.id, RUN, response) };
    server.send(&part(true, all(0, vec![instance("a")]))).await.unwrap();
    server.send(&part(true, changes(0, vec![instance("b")]))).await.unwrap();
    server.send(&part(false, changes(9, vec![instance("c")]))).await.unwrap();
    let WatchEvent::Instances(whole) = watch.next().await.unwrap().unwrap() else { panic!() };
    assert_eq!((whole.revision, ids(&whole.instances)), (9, vec!["a", "b", "c"]));
    assert_eq!(watch.run(), Some(RUN));

    server.send(&part(true, changes(9, vec![instance("d")]))).await.unwrap();
    let error = ApiError::new(ErrorCode::TooMuchHeld, "too much");
    server.send(&Reply::new(call.id, Response::Error(error))).await.unwrap();
    assert!(watch.next().await.unwrap().is_err(), "half an event is none");
    assert!(watch.next().await.is_none(), "nothing follows an error");
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_asked_for_in_pages() {
    let agent = Agent::start();
    let mut client = Client::connect(agent.socket()).await.unwrap();
    let serving = async {
        let (mut server, call) = agent.call().await;
        assert!(!call.pages);
        let refused = ApiError::new(ErrorCode::AnswerTooLarge, "too long");
        server.send(&Reply::new(call.id, Response::Error(refused))).await.unwrap();
        let call = server.next().await.unwrap().unwrap().unwrap();
        assert!(call.pages);
        let page = |more, response| Reply { more, ..Reply::new(call.id, response) };
        server.send(&page(true, all(9, vec![instance("a")]))).await.unwrap();
        server.send(&page(false, all(9, vec![instance("b")]))).await.unwrap();
    };
    let asking = client.call(Request::Resolve(Query::new("web")));
    let ((), answer) = tokio::join!(serving, asking);
    assert_eq!(answer.unwrap(), all(9, vec![instance("a"), instance("b")]));
}

#[tokio::test(start_paused = true)]
async fn a_silent_agent_is_noticed_also_by_a_caller_that_cancels_its_waits() {
    let agent = Agent::start();
    let client = Client::connect(agent.socket()).await.unwrap().answer_within(WITHIN);
    let mut watch = client.watch(WatchQuery::new("web")).await.unwrap();
    let (mut server, call) = agent.call().await;
    server.send(&greeting(call.id, RUN, all(1, vec![]))).await.unwrap();
    assert!(watch.next().await.unwrap().is_ok());
    let tick = WITHIN / 4;
    let mut next = async |ticks: u32| {
        for _ in 0..ticks {
            if let Ok(event) = timeout(tick, watch.next()).await {
                return event;
            }
        }
        None
    };
    assert!(next(6).await.is_none());
    let asked = timeout(WITHIN, server.next()).await.expect("asked").unwrap().unwrap().unwrap();
    assert_eq!(asked.request, Request::Info {});
    server.send(&Reply::new(asked.id, Response::Leaving {})).await.unwrap();
    assert!(next(6).await.is_none(), "it has said something");
    let error = next(6).await.expect("noticed").unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn a_follower_resumes_in_one_run_and_starts_over_in_another() {
    let agent = Agent::start();
    let mut follow = Follow::new(agent.socket(), WITHIN, WatchQuery::new("web"));
    let mut picture = Picture::default();
    let agent_side = async {
        let (mut server, call) = agent.call().await;
        assert_eq!(call.request, Request::Watch(WatchQuery::new("web")));
        let first = all(4, vec![instance("a"), instance("b")]);
        server.send(&greeting(call.id, RUN, first)).await.unwrap();
        let part = Reply { more: true, ..Reply::new(call.id, changes(4, vec![instance("lost")])) };
        server.send(&part).await.unwrap();
        drop(server);

        let (mut server, call) = agent.call().await;
        let Request::Watch(query) = call.request else { panic!("{:?}", call.request) };
        assert_eq!((query.since, query.run.as_deref()), (Some(4), Some(RUN)));
        let missed = changes(6, vec![instance("c")]);
        server.send(&greeting(call.id, RUN, missed)).await.unwrap();
        drop(server);

        let (mut server, call) = agent.call().await;
        let Request::Watch(query) = call.request else { panic!("{:?}", call.request) };
        assert_eq!((query.since, query.run.as_deref()), (Some(6), Some(RUN)));
        let reset = Some(Reset::OtherRun);
        let whole = greeting(call.id, OTHER_RUN, all(2, vec![instance("a")]));
        server.send(&Reply { reset, ..whole }).await.unwrap();
        server
    };
    let client_side = async {
        let (mut steps, mut vanished) = (Vec::new(), Vec::new());
        while steps.len() < 5 {
            match follow.next().await.unwrap() {
                Followed::Away(_) => steps.push("away"),
                Followed::Event(event, told) => {
                    vanished = picture.take(&event);
                    steps.push(if told.reset.is_some() { "reset" } else { "event" });
                }
            }
        }
        (steps, vanished)
    };
    let (server, (steps, vanished)) = tokio::join!(agent_side, client_side);
    assert_eq!(steps, ["event", "away", "event", "away", "reset"]);
    assert_eq!(ids(&vanished), ["b", "c"]);
    assert_eq!(ids(picture.instances()), ["a"]);
    drop(server);
}

#[tokio::test]
async fn a_follower_ends_when_its_request_can_never_succeed() {
    let agent = Agent::start();
    let mut follow = Follow::new(agent.socket(), WITHIN, WatchQuery::new(""));
    let agent_side = async {
        let (mut server, call) = agent.call().await;
        let error = ApiError::new(ErrorCode::NameInvalid, "no name");
        server.send(&Reply::new(call.id, Response::Error(error))).await.unwrap();
    };
    let ((), step) = tokio::join!(agent_side, follow.next());
    assert_eq!(step.unwrap_err().to_string(), "no name");
}

#[test]
fn a_picture_loses_what_is_gone_and_names_what_vanished() {
    let mut picture = Picture::default();
    let now = |instances| {
        WatchEvent::Instances(Instances {
            revision: 1,
            isolated: false,
            consistency: Default::default(),
            settings: None,
            instances,
        })
    };
    assert!(picture.take(&now(vec![instance("a"), instance("b")])).is_empty());
    let gone = Instance { status: InstanceStatus::Gone, ..instance("a") };
    let changes = Changes {
        revision: 2,
        isolated: false,
        settings: None,
        instances: vec![gone, instance("c")],
    };
    assert!(picture.take(&WatchEvent::Changes(changes)).is_empty());
    assert_eq!(ids(picture.instances()), ["b", "c"]);
    assert_eq!(ids(&picture.take(&now(vec![instance("c")]))), ["b"]);
}
