//! Frames of HTTP/2 as no library would send them (RFC 9113).

use std::time::Duration;

use hobnob_proxy::Limits;
use http::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{
    Server, Web, client1, full, get, instance, rest, soon, until, web, web_with, whole,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

const PROTOCOL_ERROR: u32 = 1;
const FRAME_SIZE_ERROR: u32 = 6;
/// The RFC has the second for a payload of a wrong length, and h2 sends the first.
const LENGTH: [u32; 2] = [PROTOCOL_ERROR, FRAME_SIZE_ERROR];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields in HPACK, each a literal without indexing.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    block
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "web"), (":path", "/")];

fn with(more: &[(&'static str, &'static str)]) -> Vec<u8> {
    fields(&[&GET[..], more].concat())
}

/// A connection after the exchange of settings.
struct Client(TcpStream);

impl Client {
    async fn connect(web: &Web) -> Self {
        let mut stream = TcpStream::connect(web.address).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, [])).await.unwrap();
        let mut client = Self(stream);
        let settings = client.next().await.unwrap();
        assert_eq!((settings.kind, settings.flags, settings.stream), (SETTINGS, 0, 0));
        client.send(&frame(SETTINGS, ACK, 0, [])).await;
        let acknowledged = client.find(|frame| frame.kind == SETTINGS).await.unwrap();
        assert_eq!(
            (acknowledged.flags, acknowledged.payload.len()),
            (ACK, 0),
            "SETTINGS are acknowledged"
        );
        client
    }

    async fn send(&mut self, bytes: &[u8]) {
        // The proxy may have closed.
        let _ = self.0.write_all(bytes).await;
    }

    /// The next frame; `None` once the connection has ended.
    async fn next(&mut self) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            Some(Frame { kind: head[3], flags: head[4], stream, payload })
        };
        soon(read).await
    }

    async fn find(&mut self, is: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if is(&frame) {
                return Some(frame);
            }
        }
    }

    /// The error with which the connection ends.
    async fn goaway(&mut self) -> u32 {
        let frame = self.find(|frame| frame.kind == GOAWAY).await.expect("GOAWAY");
        u32::from_be_bytes(frame.payload[4..8].try_into().unwrap())
    }

    /// The error with which a stream, or with it the connection, ends.
    async fn refused(&mut self, stream: u32) -> u32 {
        let ends = |frame: &Frame| {
            frame.kind == GOAWAY || (frame.kind == RST_STREAM && frame.stream == stream)
        };
        let frame = self.find(ends).await.expect("an error");
        let from = if frame.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(frame.payload[from..from + 4].try_into().unwrap())
    }

    /// Sends one ping after the other until the connection ends. Returns the error of GOAWAY, if there is one.
    async fn pings_until_goaway(&mut self) -> Option<u32> {
        loop {
            self.send(&frame(PING, 0, 0, *b"12345678")).await;
            let next = self.find(|frame| [PING, GOAWAY].contains(&frame.kind)).await?;
            if next.kind == GOAWAY {
                return Some(u32::from_be_bytes(next.payload[4..8].try_into().unwrap()));
            }
        }
    }

    /// Whether a request on this stream is answered by 200 (index 8 of the static table).
    async fn is_answered(&mut self, stream: u32) -> bool {
        self.send(&frame(HEADERS, END_STREAM | END_HEADERS, stream, fields(&GET))).await;
        let head = self.find(|frame| frame.kind == HEADERS && frame.stream == stream).await;
        head.is_some_and(|head| head.payload.first() == Some(&0x88))
    }
}

async fn serving() -> (Server, Web) {
    let server = Server::echo().await;
    let web = web(vec![server.instance("web-1")]).await;
    (server, web)
}

#[tokio::test]
async fn what_may_be_ignored_is_and_pings_are_answered() {
    let (_server, web) = serving().await;
    let mut client = Client::connect(&web).await;
    client.send(&frame(0xfa, 0xff, 0, [1, 2, 3])).await;
    client.send(&frame(0xfa, 0xff, 7, [])).await;
    // A setting that nobody knows, and a priority of a stream that is idle.
    client.send(&frame(SETTINGS, 0, 0, [0xfa, 0xfa, 0, 0, 0, 1])).await;
    client.send(&frame(PRIORITY, 0, 9, [0, 0, 0, 0, 15])).await;
    assert!(client.is_answered(1).await);
    client.send(&frame(PING, 0, 0, *b"12345678")).await;
    let pong = client.find(|frame| frame.kind == PING && frame.flags == ACK).await.unwrap();
    assert_eq!(pong.payload, b"12345678");
    assert!(client.is_answered(3).await);
}

#[tokio::test]
async fn frames_that_break_the_connection_end_it_with_their_error() {
    let (_server, web) = serving().await;
    let idle = 5;
    let mut wrong = Vec::new();
    for (what, bytes, errors) in [
        ("a frame beyond 16384 bytes", frame(DATA, 0, 1, vec![0; 16_385]), vec![FRAME_SIZE_ERROR]),
        ("DATA on an idle stream", frame(DATA, 0, idle, "x"), vec![PROTOCOL_ERROR]),
        ("DATA on stream 0", frame(DATA, 0, 0, "x"), vec![PROTOCOL_ERROR]),
        ("RST_STREAM on an idle stream", frame(RST_STREAM, 0, idle, [0; 4]), vec![PROTOCOL_ERROR]),
        (
            "WINDOW_UPDATE on an idle stream",
            frame(WINDOW_UPDATE, 0, idle, [0, 0, 0, 1]),
            vec![PROTOCOL_ERROR],
        ),
        ("WINDOW_UPDATE of 0", frame(WINDOW_UPDATE, 0, 0, [0; 4]), vec![PROTOCOL_ERROR]),
        ("a window beyond 2^31-1", frame(WINDOW_UPDATE, 0, 0, [0x7f, 0xff, 0xff, 0xff]), vec![3]),
        ("HEADERS on stream 0", frame(HEADERS, 5, 0, fields(&GET)), vec![PROTOCOL_ERROR]),
        (
            "HEADERS on a stream of the server",
            frame(HEADERS, 5, 2, fields(&GET)),
            vec![PROTOCOL_ERROR],
        ),
        ("fields that are no HPACK", frame(HEADERS, 5, 1, [0xff; 8]), vec![9, PROTOCOL_ERROR]),
        ("CONTINUATION without HEADERS", frame(CONTINUATION, 4, 1, []), vec![PROTOCOL_ERROR]),
        ("PUSH_PROMISE of a client", frame(PUSH_PROMISE, 4, 1, [0, 0, 0, 2]), vec![PROTOCOL_ERROR]),
        ("SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, [0; 5]), LENGTH.to_vec()),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, []), vec![PROTOCOL_ERROR]),
        ("an acknowledgement with a payload", frame(SETTINGS, ACK, 0, [0; 6]), LENGTH.to_vec()),
        ("ENABLE_PUSH of 2", frame(SETTINGS, 0, 0, [0, 2, 0, 0, 0, 2]), vec![PROTOCOL_ERROR]),
        ("a window of 2^31", frame(SETTINGS, 0, 0, [0, 4, 0x80, 0, 0, 0]), vec![3, PROTOCOL_ERROR]),
        ("a frame size of 1", frame(SETTINGS, 0, 0, [0, 5, 0, 0, 0, 1]), vec![PROTOCOL_ERROR]),
        ("PING of 7 bytes", frame(PING, 0, 0, [0; 7]), LENGTH.to_vec()),
        ("PING on a stream", frame(PING, 0, 1, [0; 8]), vec![PROTOCOL_ERROR]),
        ("GOAWAY on a stream", frame(GOAWAY, 0, 1, [0; 8]), vec![PROTOCOL_ERROR]),
        ("RST_STREAM of 3 bytes", frame(RST_STREAM, 0, 1, [0; 3]), LENGTH.to_vec()),
        (
            "a frame within a block of fields",
            [frame(HEADERS, END_STREAM, 1, fields(&GET)), frame(PING, 0, 0, [0; 8])].concat(),
            vec![PROTOCOL_ERROR],
        ),
    ] {
        let mut client = Client::connect(&web).await;
        client.send(&bytes).await;
        let error = client.goaway().await;
        if !errors.contains(&error) {
            wrong.push(format!("{what}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn requests_that_are_malformed_reach_no_instance() {
    let (server, web) = serving().await;
    for (what, block) in [
        ("no method", fields(&GET[1..])),
        ("no path", fields(&GET[..3])),
        ("no scheme", fields(&[GET[0], GET[2], GET[3]])),
        ("an empty path", fields(&[GET[0], GET[1], GET[2], (":path", "")])),
        ("two methods", with(&[(":method", "GET")])),
        ("an unknown pseudo-field", with(&[(":other", "x")])),
        ("a pseudo-field of answers", with(&[(":status", "200")])),
        ("a pseudo-field after others", fields(&[("x", "y"), GET[0], GET[1], GET[2], GET[3]])),
        ("an upper case name", with(&[("X-Upper", "y")])),
        ("connection", with(&[("connection", "close")])),
        ("keep-alive", with(&[("keep-alive", "timeout=5")])),
        ("proxy-connection", with(&[("proxy-connection", "close")])),
        ("transfer-encoding", with(&[("transfer-encoding", "chunked")])),
        ("upgrade", with(&[("upgrade", "websocket")])),
        ("te that is not trailers", with(&[("te", "gzip")])),
        ("a return in a value", with(&[("x", "a\r\nb: c")])),
        ("a length without a body", with(&[("content-length", "5")])),
        ("a length that is no number", with(&[("content-length", "x")])),
    ] {
        let mut client = Client::connect(&web).await;
        client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, block)).await;
        assert_eq!(client.refused(1).await, PROTOCOL_ERROR, "{what}");
        assert_eq!(server.seen.requests(), 0, "{what}");
    }
    // A body that is longer or shorter than it says.
    for body in ["", "longer"] {
        let mut client = Client::connect(&web).await;
        client.send(&frame(HEADERS, END_HEADERS, 1, with(&[("content-length", "5")]))).await;
        client.send(&frame(DATA, END_STREAM, 1, body)).await;
        assert_eq!(client.refused(1).await, PROTOCOL_ERROR, "{body}");
    }
}

#[tokio::test]
async fn streams_have_their_order_and_their_number() {
    let (_server, web) = serving().await;
    let mut client = Client::connect(&web).await;
    assert!(client.is_answered(5).await);
    // A lower number is of a stream that is closed.
    client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 3, fields(&GET))).await;
    let error = client.goaway().await;
    assert!([PROTOCOL_ERROR, 5].contains(&error), "{error}");

    let limited = web_with(vec![instance("web-1", hanging().await)], |setting| {
        setting.limits.max_streams = 3;
    })
    .await;
    let mut client = Client::connect(&limited).await;
    for stream in [1, 3, 5, 7] {
        client.send(&frame(HEADERS, END_STREAM | END_HEADERS, stream, fields(&GET))).await;
    }
    let reset = client.find(|frame| frame.kind == RST_STREAM).await.unwrap();
    assert_eq!(
        (reset.stream, &reset.payload[..]),
        (7, &[0, 0, 0, 7][..]),
        "REFUSED_STREAM: it may be sent again"
    );
}

async fn hanging() -> std::net::SocketAddr {
    super::support::raw(|stream| async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    })
    .await
}

/// A proxy with these times, whose instance answers with this text.
async fn timed(answer: &'static str, change: impl FnOnce(&mut Limits)) -> (Server, Web) {
    let server = Server::start(move |_| async move { Response::new(full(answer)) }).await;
    let web = web_with(vec![server.instance("web-1")], |setting| change(&mut setting.limits)).await;
    (server, web)
}

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn an_answer_that_waits_for_its_client_keeps_the_connection() {
    let (_server, web) = timed("hello", |limits| limits.idle_timeout = SHORT).await;
    let mut client = Client::connect(&web).await;
    // The window of each stream has room for one byte at first.
    client.send(&frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 1])).await;
    assert!(client.is_answered(1).await);
    assert_eq!(client.next().await.unwrap().payload, b"h");
    // One that has no call is closed after the time of idle connections, which began later.
    let mut idle = TcpStream::connect(web.address).await.unwrap();
    assert_eq!(rest(&mut idle).await, "");
    client.send(&frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 4])).await;
    let next = client.find(|frame| [DATA, GOAWAY].contains(&frame.kind)).await.unwrap();
    assert_eq!((next.kind, &next.payload[..]), (DATA, &b"ello"[..]));
    // Now it is idle, too.
    assert_eq!(client.goaway().await, 0);
}

#[tokio::test]
async fn pings_keep_no_connection_without_a_call_and_none_whose_call_stands_still() {
    let (_server, web) = timed("hello", |limits| limits.idle_timeout = SHORT).await;
    let mut client = Client::connect(&web).await;
    assert!(client.is_answered(1).await);
    assert_eq!(client.pings_until_goaway().await, Some(0), "it is told to go elsewhere");

    let web = web_with(vec![instance("web-1", hanging().await)], |setting| {
        (setting.limits.idle_timeout, setting.limits.stream_idle_timeout) = (SHORT, SHORT);
    })
    .await;
    let mut client = Client::connect(&web).await;
    client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, fields(&GET))).await;
    assert_eq!(client.pings_until_goaway().await, None, "it is cut off");
}

#[tokio::test]
async fn floods_end_their_connection_and_nothing_else() {
    let (server, web) = serving().await;
    // Blocks of fields without an end.
    let mut client = Client::connect(&web).await;
    client.send(&frame(HEADERS, END_STREAM, 1, fields(&GET))).await;
    let piece = frame(CONTINUATION, 0, 1, fields(&[("x", "y"); 2_000]));
    let flood = async {
        for _ in 0..2_000 {
            if client.0.write_all(&piece).await.is_err() {
                return;
            }
        }
        panic!("the flood was taken");
    };
    soon(flood).await;
    // Streams that are reset at once.
    let hanging = super::support::web(vec![instance("web-1", hanging().await)]).await;
    let mut client = Client::connect(&hanging).await;
    let reset = async {
        for burst in 0_u32..1_000 {
            let mut bytes = Vec::new();
            for stream in (100 * burst..100 * burst + 100).map(|turn| 2 * turn + 1) {
                bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, fields(&GET)));
                bytes.extend(frame(RST_STREAM, 0, stream, [0, 0, 0, 8]));
            }
            if client.0.write_all(&bytes).await.is_err() {
                return;
            }
        }
        panic!("the flood was taken");
    };
    soon(reset).await;
    until(|| hanging.proxy.connections() == 0).await;
    // Clients beside them are served.
    let (status, _) = whole(client1(web.address).await.send_request(get("/")).await.unwrap()).await;
    assert_eq!((status, server.seen.requests()), (200, 1));
}
