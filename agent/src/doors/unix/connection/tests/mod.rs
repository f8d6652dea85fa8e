//! A connection over a pipe, with an agent that has no driver or one that answers when it is told to.

mod answers;
mod limits;
mod watches;

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
        dns: None,
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
