//! One connection: its dialect, its calls one after the other, and the watches that go on beside them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use hobnob_api::codec::{BinaryCodec, CodecError, Dialect, JsonCodec, Malformed};
use hobnob_api::{API_VERSION, ApiError, Call, ErrorCode, Reply, Request, Response, WatchQuery};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::codec::{Decoder, Encoder};

use super::handler::Handler;
use crate::queries::pick::Picks;
use crate::queries::watch::{Event, Watch};
use crate::services::Shown;

/// Replies of watches that wait to be written. A watch waits when they are full, and catches up afterwards.
const MAX_WAITING_REPLIES: usize = 16;
/// Watches of one connection.
const MAX_WATCHES: usize = 64;
/// Bytes that are read at once.
const READ_BYTES: usize = 8 << 10;
/// Replies of this size together are written although more calls wait for theirs.
const WRITE_BYTES: usize = 64 << 10;
/// A buffer that a large reply left behind is given back when it is larger than this.
const MAX_IDLE_BYTES: usize = 256 << 10;

/// Serves a connection until the client closes it.
pub(super) async fn serve<S>(stream: S, handler: Arc<Handler>) -> Result<(), CodecError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffered = Buffered { stream, received: BytesMut::new(), to_write: BytesMut::new() };
    buffered.read().await?;
    let Some(first) = buffered.received.first() else { return Ok(()) };
    match Dialect::of_first_byte(*first) {
        Dialect::Json => {
            converse(buffered, JsonCodec::server().writing::<Reply<Shown>>(), handler).await
        }
        Dialect::Binary => {
            converse(buffered, BinaryCodec::server().writing::<Reply<Shown>>(), handler).await
        }
    }
}

/// A stream with the calls that were received and the replies that are to be written.
struct Buffered<S> {
    stream: S,
    received: BytesMut,
    to_write: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Buffered<S> {
    /// Reads more; nothing at the end of the stream. Cancelling it loses nothing.
    async fn read(&mut self) -> Result<usize, CodecError> {
        self.received.reserve(READ_BYTES);
        Ok(self.stream.read_buf(&mut self.received).await?)
    }

    async fn flush(&mut self) -> Result<(), CodecError> {
        if !self.to_write.is_empty() {
            self.stream.write_all(&self.to_write).await?;
            self.to_write.clear();
            if self.to_write.capacity() > MAX_IDLE_BYTES {
                self.to_write = BytesMut::new();
            }
        }
        Ok(())
    }
}

/// Answers calls. All calls of a read are answered before anything is written, so that pipelined calls share a write.
async fn converse<S, C>(
    mut buffered: Buffered<S>,
    mut codec: C,
    handler: Arc<Handler>,
) -> Result<(), CodecError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Decoder<Item = Result<Call, Malformed>, Error = CodecError>
        + for<'a> Encoder<&'a Reply<Shown>, Error = CodecError>,
{
    let (replies, mut waiting) = mpsc::channel(MAX_WAITING_REPLIES);
    let mut conversation = Conversation {
        handler,
        picks: Picks::default(),
        watches: JoinSet::new(),
        replies,
        has_greeted: false,
    };
    let mut at_end = false;
    loop {
        let decoded = match at_end {
            false => codec.decode(&mut buffered.received),
            true => codec.decode_eof(&mut buffered.received),
        };
        match decoded {
            Ok(Some(call)) => {
                if let Some(reply) = conversation.answer(call).await {
                    conversation.encode(&mut codec, &mut buffered.to_write, reply)?;
                }
                if buffered.to_write.len() >= WRITE_BYTES {
                    buffered.flush().await?;
                }
                continue;
            }
            Ok(None) => buffered.flush().await?,
            Err(error) => {
                conversation.count_malformed();
                let response = refusal(ErrorCode::RequestTooLarge, &error.to_string());
                let reply = Reply { id: 0, api: None, response };
                conversation.encode(&mut codec, &mut buffered.to_write, reply)?;
                // The connection is lost either way; the client may still read why.
                let _ = buffered.flush().await;
                return Err(error);
            }
        }
        if at_end {
            return Ok(());
        }
        tokio::select! {
            read = buffered.read() => at_end = read? == 0,
            Some(reply) = waiting.recv() => {
                conversation.encode(&mut codec, &mut buffered.to_write, reply)?;
            }
        }
    }
}

/// The state that a connection keeps from call to call.
struct Conversation {
    handler: Arc<Handler>,
    picks: Picks,
    watches: JoinSet<()>,
    /// The queue into which watches send their events.
    replies: mpsc::Sender<Reply<Shown>>,
    /// Whether a reply told the version of the API.
    has_greeted: bool,
}

impl Conversation {
    /// The reply to a call; `None` for a watch, which replies by itself.
    async fn answer(&mut self, call: Result<Call, Malformed>) -> Option<Reply<Shown>> {
        let Call { id, api, request } = match call {
            Ok(call) => call,
            Err(malformed) => {
                self.count_malformed();
                let response = refusal(ErrorCode::RequestMalformed, &malformed.to_string());
                return Some(Reply { id: malformed.id, api: None, response });
            }
        };
        let response = match (api, request) {
            (Some(asked), _) if asked != API_VERSION => {
                let message = format!(
                    "the agent speaks version {API_VERSION} of the API, not version {asked}"
                );
                refusal(ErrorCode::ApiVersionUnsupported, &message)
            }
            (_, Request::Watch(query)) => {
                self.count_call();
                self.watch(id, query)?
            }
            (_, request) => {
                self.count_call();
                self.handler.answer(request, &mut self.picks).await
            }
        };
        Some(Reply { id, api: None, response })
    }

    /// Starts a watch, or says why not.
    fn watch(&mut self, id: u64, query: WatchQuery) -> Option<Response<Shown>> {
        while self.watches.try_join_next().is_some() {}
        if self.watches.len() >= MAX_WATCHES {
            let message =
                format!("this connection watches {MAX_WATCHES} services, and more are not allowed");
            return Some(refusal(ErrorCode::TooManyWatches, &message));
        }
        let mut watch = Watch::new(self.handler.registry().clone(), query);
        let replies = self.replies.clone();
        self.watches.spawn(async move {
            loop {
                let response = match watch.next().await {
                    Event::Instances(instances) => Response::Instances(instances),
                    Event::Changes(changes) => Response::Changes(changes),
                };
                if replies.send(Reply { id, api: None, response }).await.is_err() {
                    return;
                }
            }
        });
        None
    }

    /// Adds a reply to those that are to be written; the first of a connection tells the version of the API. A reply that
    /// is too large for the codec becomes an error of the same call.
    fn encode<C>(
        &mut self,
        codec: &mut C,
        to_write: &mut BytesMut,
        mut reply: Reply<Shown>,
    ) -> Result<(), CodecError>
    where
        C: for<'a> Encoder<&'a Reply<Shown>, Error = CodecError>,
    {
        if !std::mem::replace(&mut self.has_greeted, true) {
            reply.api = Some(API_VERSION);
        }
        match codec.encode(&reply, to_write) {
            Err(error @ CodecError::Unencodable { .. }) => {
                let response = refusal(ErrorCode::AnswerTooLarge, &error.to_string());
                codec.encode(&Reply { response, ..reply }, to_write)
            }
            encoded => encoded,
        }
    }

    fn count_call(&self) {
        self.handler.counters.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn count_malformed(&self) {
        self.handler.counters.malformed.fetch_add(1, Ordering::Relaxed);
    }
}

fn refusal(code: ErrorCode, message: &str) -> Response<Shown> {
    Response::Error(ApiError::new(code, message))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use hobnob_membership::view::InstanceStatus;
    use serde_json::{Value, json};
    use tokio::io::{DuplexStream, ReadBuf, duplex};
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;
    use crate::clock::Clock;
    use crate::driver::DriverHandle;
    use crate::info::AgentInfo;
    use crate::registrations::RegistrationsHandle;
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

    struct Client {
        stream: DuplexStream,
        writes: Arc<AtomicUsize>,
        serving: JoinHandle<Result<(), CodecError>>,
        registry: Arc<Registry>,
        received: Vec<u8>,
    }

    /// A connection to an agent without a driver, which has one instance of the service `web`.
    fn connect() -> (Client, Writer) {
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
        };
        let handler = Handler {
            info,
            clock: Clock::start(),
            registry: registry.clone(),
            driver: DriverHandle::stopped(),
            registrations: RegistrationsHandle::stopped(),
            leave: mpsc::channel(1).0,
            counters: Default::default(),
        };
        let (stream, served) = duplex(1 << 20);
        let writes = Arc::new(AtomicUsize::new(0));
        let served = Counted { stream: served, writes: writes.clone() };
        let serving = tokio::spawn(serve(served, Arc::new(handler)));
        (Client { stream, writes, serving, registry, received: Vec::new() }, writer)
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
}
