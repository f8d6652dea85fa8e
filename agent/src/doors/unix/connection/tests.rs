//! A connection over a pipe, with an agent that has no driver or one that answers when it is told to.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hobnob_api::Settings;
use hobnob_membership::view::InstanceStatus;
use serde_json::{Value, json};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::door::Door;
use super::*;
use crate::budget::{Budget, MAX_CLIENT_BYTES};
use crate::caller::Caller;
use crate::clock::Clock;
use crate::driver::DriverHandle;
use crate::history::History;
use crate::info::AgentInfo;
use crate::log_filter::LogLevels;
use crate::metrics::CallMetrics;
use crate::progress::Progress;
use crate::registrations::RegistrationsHandle;
use crate::reloading::Reloader;
use crate::security::OwnCredential;
use crate::services::testing::{OWN, instance, registry};
use crate::services::{Registry, Writer};

/// Longer than anything that a connection waits for by itself.
const LONG: Duration = Duration::from_secs(60);

/// A stream that counts how often it is written to.
struct Counted {
    stream: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Peer for Counted {
    /// A pipe does not tell.
    async fn is_closed(&self) -> bool {
        false
    }
}

struct Client {
    stream: DuplexStream,
    writes: Arc<AtomicUsize>,
    serving: JoinHandle<Result<(), CodecError>>,
    registry: Arc<Registry>,
    budget: Arc<Budget>,
    received: Vec<u8>,
}

/// A connection to an agent without a driver, which has one instance of the service `web`.
fn connect() -> (Client, Writer) {
    connect_to(DriverHandle::stopped(), MAX_CLIENT_BYTES)
}

/// A connection to an agent with this driver, whose clients may make it hold so many bytes.
fn connect_to(driver: DriverHandle, client_bytes: usize) -> (Client, Writer) {
    let (stream, served) = duplex(1 << 20);
    let writes = Arc::new(AtomicUsize::new(0));
    let served = Counted { stream: served, writes: writes.clone() };
    let Served { serving, registry, budget, writer } = serve_on(served, driver, client_bytes);
    (Client { stream, writes, serving, registry, budget, received: Vec::new() }, writer)
}

struct Served {
    serving: JoinHandle<Result<(), CodecError>>,
    registry: Arc<Registry>,
    budget: Arc<Budget>,
    writer: Writer,
}

/// Serves a stream as an agent with this driver, which has one instance of the service `web`.
fn serve_on<S>(stream: S, driver: DriverHandle, client_bytes: usize) -> Served
where
    S: Peer + Send + Sync + 'static,
{
    let (registry, mut writer) = registry();
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.publish();
    let any = "127.0.0.1:1".parse().expect("an address");
    let info = AgentInfo {
        name: "a".to_owned(),
        cluster: "default".to_owned(),
        node_id: OWN,
        datacenter: "dc1".to_owned(),
        zone: String::new(),
        gossip_addr: any,
        gossip_bound: any,
        sync_addr: any,
        sync_bound: any,
        sealed: None,
    };
    let budget = Budget::new(client_bytes);
    let door = Arc::new(Door::full("a.sock".into(), 1_024, budget.clone()));
    let handler = Handler {
        info,
        clock: Clock::fake(),
        registry: registry.clone(),
        driver,
        registrations: RegistrationsHandle::stopped(),
        reloader: Reloader::stopped(),
        settings: Settings::default(),
        leave: mpsc::channel(1).0,
        credential: OwnCredential::default(),
        doors: vec![door.clone()],
        budget: budget.clone(),
        http: None,
        calls: CallMetrics::default(),
        progress: Progress::default(),
        log: LogLevels::new(None),
        history: History::silent(),
    };
    let place = door.places.take().expect("a place");
    let accepted =
        Accepted { door, place, caller: Caller { uid: 0, gid: None, pid: None, agent: None } };
    let serving = tokio::spawn(serve(stream, Arc::new(handler), accepted));
    Served { serving, registry, budget, writer }
}

impl Client {
    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("sent");
    }

    async fn call(&mut self, id: u64, request: Value) {
        self.send(&format!("{}\n", json!({ "id": id, "request": request }))).await;
    }

    /// The next reply; `None` when the agent says nothing or hangs up.
    async fn reply(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("JSON"));
            }
            let read = self.stream.read_buf(&mut self.received);
            match timeout(LONG, read).await {
                Ok(Ok(read)) if read > 0 => {}
                _ => return None,
            }
        }
    }
}

fn pick() -> Value {
    json!({ "pick": { "service": "web" } })
}

#[tokio::test(start_paused = true)]
async fn pipelined_calls_are_answered_in_order_by_one_write() {
    let (mut client, _writer) = connect();
    let calls: Vec<String> =
        (1..=20).map(|id| format!("{}\n", json!({ "id": id, "request": pick() }))).collect();
    client.send(&calls.concat()).await;
    for id in 1..=20 {
        let reply = client.reply().await.expect("a reply");
        assert_eq!(reply["id"], id);
        assert_eq!(reply["response"]["picked"]["picks"][0]["instance"]["id"], "a");
        assert_eq!(reply["api"].is_null(), id > 1, "the first reply tells the version");
    }
    assert_eq!(client.writes.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reply_does_not_wait_for_the_rest_of_the_next_call() {
    let (mut client, _writer) = connect();
    let whole = format!("{}\n", json!({ "id": 1, "request": pick() }));
    let (half, rest) = whole.split_at(whole.len() / 2);
    client.send(&format!("{whole}{half}")).await;
    assert_eq!(client.reply().await.expect("a reply")["id"], 1);
    assert_eq!(client.reply().await, None, "half a call is none");
    client.send(rest).await;
    assert_eq!(client.reply().await.expect("a reply")["id"], 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_line_needs_no_line_feed_and_the_end_of_the_stream_ends_the_connection() {
    let (mut client, _writer) = connect();
    client.send(&json!({ "id": 5, "request": pick() }).to_string()).await;
    client.stream.shutdown().await.expect("shut down");
    assert_eq!(client.reply().await.expect("a reply")["id"], 5);
    assert!(client.serving.await.expect("no panic").is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_does_not_wait_for_the_calls_behind_it() {
    let (mut client, _writer) = connect();
    let many = json!({ "pick": { "service": "web", "count": 1_000 } });
    client.call(1, many.clone()).await;
    client.call(2, many).await;
    for id in [1, 2] {
        let reply = client.reply().await.expect("a reply");
        let picks = reply["response"]["picked"]["picks"].as_array().map(Vec::len);
        assert_eq!((reply["id"].as_u64(), picks), (Some(id), Some(1_000)));
    }
    assert!(client.writes.load(Ordering::Relaxed) >= 2);
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_refused_and_counted_and_the_next_call_is_answered() {
    let (mut client, _writer) = connect();
    client.send("nonsense\n").await;
    let refused = client.reply().await.expect("a reply");
    assert_eq!(refused["response"]["error"]["code"], "request_malformed");
    client.call(2, json!({ "members": {} })).await;
    let stopping = client.reply().await.expect("a reply");
    assert_eq!(stopping["response"]["error"]["code"], "agent_stopping", "it has no driver");
    client.call(3, pick()).await;
    assert_eq!(client.reply().await.expect("a reply")["id"], 3);
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_beside_calls_and_ends_with_the_connection() {
    let (mut client, mut writer) = connect();
    client.call(1, json!({ "watch": { "service": "web" } })).await;
    let first = client.reply().await.expect("a reply");
    assert_eq!(first["response"]["instances"]["instances"][0]["id"], "a");
    client.call(2, pick()).await;
    assert_eq!(client.reply().await.expect("a reply")["id"], 2);
    writer.apply(instance(OWN, "b", InstanceStatus::Healthy));
    writer.publish();
    let change = client.reply().await.expect("a reply");
    assert_eq!(
        (&change["id"], &change["response"]["changes"]["instances"][0]["id"]),
        (&json!(1), &json!("b"))
    );
    let Client { stream, serving, registry, .. } = client;
    drop(stream);
    assert!(serving.await.expect("no panic").is_ok());
    tokio::task::yield_now().await;
    drop(writer);
    assert_eq!(Arc::strong_count(&registry), 1, "neither a watch nor a handler is left");
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_delays_neither_a_watch_nor_the_answers_before_it() {
    let (driver, _silent) = DriverHandle::silent();
    let (mut client, mut writer) = connect_to(driver, MAX_CLIENT_BYTES);
    client.call(1, json!({ "watch": { "service": "web" } })).await;
    assert!(client.reply().await.expect("a reply")["response"]["instances"].is_object());
    let slow = format!("{}\n", json!({ "id": 3, "request": { "members": {} } }));
    client.send(&format!("{}\n{slow}", json!({ "id": 2, "request": pick() }))).await;
    assert_eq!(client.reply().await.expect("a reply")["id"], 2, "the answer before the slow one");
    for id in ["b", "c"] {
        writer.apply(instance(OWN, id, InstanceStatus::Healthy));
        writer.publish();
        let change = client.reply().await.expect("the watch goes on");
        assert_eq!(change["response"]["changes"]["instances"][0]["id"], id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_waits_ends_with_its_client_and_not_with_what_its_client_sends() {
    for is_gone in [true, false] {
        let (mut client, served) = UnixStream::pair().expect("a pair");
        let Served { serving, registry, mut writer, .. } =
            serve_on(served, DriverHandle::stopped(), MAX_CLIENT_BYTES);
        let wait = json!({ "since": registry.revision(), "timeout_ms": 300_000 });
        let resolve = json!({ "resolve": { "service": "web", "wait": wait } });
        let call = format!("{}\n", json!({ "id": 1, "request": resolve }));
        client.write_all(call.as_bytes()).await.expect("sent");
        if is_gone {
            drop(client);
            let ended = timeout(LONG, serving).await.expect("the wait ends");
            assert!(ended.expect("no panic").is_ok());
            continue;
        }
        client.shutdown().await.expect("sends no more");
        assert!(timeout(LONG, client.readable()).await.is_err(), "it waits");
        writer.apply(instance(OWN, "b", InstanceStatus::Healthy));
        writer.publish();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.contains("\"id\":\"b\""), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_idle_ends_unless_it_watches() {
    let (mut silent, _writer) = connect();
    let (mut idle, _writer) = connect();
    let (mut watching, _writer) = connect();
    idle.call(1, pick()).await;
    watching.call(1, json!({ "watch": { "service": "web" } })).await;
    for client in [&mut idle, &mut watching] {
        assert!(client.reply().await.is_some());
    }
    tokio::time::sleep(LONG * 10).await;
    for client in [&mut silent, &mut idle] {
        assert!(client.serving.is_finished());
        assert_eq!(client.reply().await, None);
    }
    watching.call(2, pick()).await;
    assert_eq!(watching.reply().await.expect("a reply")["id"], 2);
}

#[tokio::test(start_paused = true)]
async fn half_a_call_counts_until_it_is_whole() {
    let (mut client, _writer) = connect();
    let whole = json!({ "id": 1, "request": { "report": { "reports": [] } } }).to_string();
    let call = format!("{}{whole}\n", " ".repeat(500 << 10));
    let (half, rest) = call.split_at(400 << 10);
    client.send(half).await;
    assert_eq!(client.reply().await, None);
    assert!(client.budget.held() > 300 << 10, "{}", client.budget.held());
    client.send(rest).await;
    assert_eq!(client.reply().await.expect("a reply")["id"], 1);
    assert_eq!(client.reply().await, None);
    assert_eq!(client.budget.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_makes_the_agent_hold_too_much_is_told_so() {
    let (mut client, _writer) = connect_to(DriverHandle::stopped(), 32 << 10);
    for id in 1..=20 {
        client.call(id, json!({ "watch": { "service": format!("s{id}") } })).await;
    }
    let mut refused = 0;
    for _ in 1..=20 {
        let reply = client.reply().await.expect("a reply");
        refused += i32::from(reply["response"]["error"]["code"] == "too_much_held");
    }
    assert!((1..20).contains(&refused), "{refused}");
    client.send(&"x".repeat(100 << 10)).await;
    let reply = client.reply().await.expect("a reply");
    assert_eq!(
        (&reply["id"], &reply["response"]["error"]["code"]),
        (&json!(0), &json!("too_much_held"))
    );
    assert_eq!(client.reply().await, None);
    let Client { serving, budget, .. } = client;
    assert!(serving.await.expect("no panic").is_ok());
    assert_eq!(budget.held(), 0, "everything is given back");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_loses_its_connection() {
    let (mut client, _writer) = connect();
    let many = json!({ "pick": { "service": "web", "count": 9_000 } });
    client.call(1, many).await;
    tokio::time::sleep(LONG * 2).await;
    assert!(client.serving.is_finished());
    assert_eq!(client.budget.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn names_obey_their_rules_in_queries_too() {
    let (mut client, _writer) = connect();
    let long = "x".repeat(900 << 10);
    for request in [
        json!({ "pick": { "service": "web", "datacenter": long } }),
        json!({ "pick": { "service": long } }),
        json!({ "watch": { "service": long } }),
        json!({ "watch": { "service": "web", "namespace": long } }),
        json!({ "resolve": { "service": "web", "datacenter": long } }),
        json!({ "deregister": { "id": long } }),
        json!({ "explain": { "subject": long } }),
        json!({ "force_leave": { "member": long } }),
    ] {
        client.call(1, request).await;
        let reply = client.reply().await.expect("a reply");
        assert_eq!(reply["response"]["error"]["code"], "name_invalid");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_reply_names_the_run_and_an_event_its_time() {
    let (mut client, _writer) = connect();
    client.call(1, json!({ "watch_all": {} })).await;
    let first = client.reply().await.expect("a reply");
    assert_eq!(first["run"], client.registry.run());
    assert!(first["time"].as_str().expect("a time").ends_with('Z'), "{first}");
    assert!(first["reset"].is_null(), "{first}");
    assert_eq!(first["response"]["instances"]["instances"][0]["id"], "a");
    for (run, since, reset) in [
        (client.registry.run().to_owned(), client.registry.revision(), json!(null)),
        ("0123456789abcdef".to_owned(), client.registry.revision(), json!("other_run")),
        (client.registry.run().to_owned(), 1, json!("other_run")),
    ] {
        client.call(2, json!({ "watch_all": { "since": since, "run": run } })).await;
        let resumed = client.reply().await.expect("a reply");
        assert_eq!(resumed["reset"], reset, "{resumed}");
        assert_eq!(resumed["response"]["instances"].is_null(), reset.is_null(), "{resumed}");
        assert!(resumed["run"].is_null(), "only the first reply names it");
    }
}

/// Registers instances that take more than a page.
fn fill(writer: &mut Writer, count: usize) {
    for number in 0..count {
        let change = instance(OWN, &format!("i{number:05}"), InstanceStatus::Healthy);
        let mut large = (*change.instance).clone();
        let value = "x".repeat(500);
        Arc::make_mut(&mut large.service).meta = [("k", value.as_str())].into();
        writer.apply(hobnob_membership::view::Change { instance: Arc::new(large) });
    }
    writer.publish();
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_comes_in_pages_of_one_moment_or_is_refused() {
    const COUNT: usize = 25_000;
    let (mut client, mut writer) = connect();
    fill(&mut writer, COUNT);
    let resolve = json!({ "resolve": { "service": "web" } });
    client.call(1, resolve.clone()).await;
    let refused = client.reply().await.expect("a reply");
    assert_eq!(refused["response"]["error"]["code"], "answer_too_large");
    client.send(&format!("{}\n", json!({ "id": 2, "pages": true, "request": resolve }))).await;
    let mut ids = Vec::new();
    loop {
        let page = client.reply().await.expect("a page");
        assert_eq!(page["id"], 2);
        if ids.is_empty() {
            writer.apply(instance(OWN, "i00000", InstanceStatus::Gone));
            writer.apply(instance(OWN, "zzz", InstanceStatus::Healthy));
            writer.publish();
        }
        let instances = page["response"]["instances"]["instances"].as_array().expect("instances");
        ids.extend(instances.iter().map(|one| one["id"].to_string()));
        if page["more"] != true {
            break;
        }
    }
    assert_eq!(ids.len(), COUNT + 1, "the page of the view that the question met");
    assert!(ids.is_sorted());
    client.call(3, pick()).await;
    assert_eq!(client.reply().await.expect("a reply")["id"], 3, "the connection goes on");
    client.send(&format!("{}\n", json!({ "id": 4, "pages": true, "request": pick() }))).await;
    assert_eq!(client.reply().await.expect("a reply")["id"], 4);
    drop(client.stream);
    assert!(client.serving.await.expect("no panic").is_ok());
    assert_eq!(client.budget.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_fails_after_it_began_to_tell_ends_its_connection() {
    let (mut client, mut writer) = connect_to(DriverHandle::stopped(), 3 << 20);
    client.call(1, json!({ "watch": { "service": "web" } })).await;
    assert!(client.reply().await.expect("a reply")["response"]["instances"].is_object());
    fill(&mut writer, 60_000);
    let mut last = Value::Null;
    while let Some(reply) = client.reply().await {
        last = reply;
    }
    assert_eq!(last["response"]["error"]["code"], "too_much_held", "{last:.200}");
    assert!(client.serving.await.expect("no panic").is_ok());
    assert_eq!(client.budget.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_waits_says_whether_something_changed() {
    let (mut client, mut writer) = connect();
    let wait = json!({ "since": client.registry.revision(), "timeout_ms": 10_000 });
    let resolve = json!({ "resolve": { "service": "web", "wait": wait } });
    client.call(1, resolve.clone()).await;
    let unchanged = client.reply().await.expect("a reply");
    assert_eq!(unchanged["unchanged"], true, "{unchanged}");
    assert_eq!(unchanged["response"]["instances"]["instances"][0]["id"], "a");
    client.call(2, resolve).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    writer.apply(instance(OWN, "b", InstanceStatus::Healthy));
    writer.publish();
    let changed = client.reply().await.expect("a reply");
    assert!(changed["unchanged"].is_null(), "{changed}");
    assert_eq!(changed["response"]["instances"]["instances"][1]["id"], "b");
}
