//! Bodies of answers, which end the record of their call, and bodies of requests.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::{Buf, Bytes};
use hobnob_api::calls::{AnswerBody, CallError, CallProgress};
use http::{HeaderValue, Method, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::access_log::Line;
use crate::counters::Entered;
use crate::refusal::Code;
use crate::route::Client;

/// The body of an answer.
pub(crate) struct ProxyBody {
    kind: Kind,
    record: Record,
}

enum Kind {
    Answer(AnswerBody),
    Text(Option<Bytes>),
}

/// A piece of an answer.
pub(crate) struct Piece {
    bytes: Bytes,
    /// Over HTTP/2 a piece may wait for the client's window long after its call. Until it is sent, its connection is busy.
    waiting: Option<Part>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(Part(client)) = &self.waiting {
            client.activity.moved();
        }
    }
}

/// A part of a call that may outlast it. Its connection is busy until it is dropped.
struct Part(Arc<Client>);

impl Part {
    fn new(client: Arc<Client>) -> Self {
        client.activity.part_begins();
        Self(client)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.0.activity.part_ends();
    }
}

impl ProxyBody {
    /// The body of an instance's answer.
    pub(crate) fn answer(body: AnswerBody, record: Record) -> Self {
        Self { kind: Kind::Answer(body), record }
    }

    /// A body of the proxy itself.
    pub(crate) fn text(text: Bytes, record: Record) -> Self {
        Self { kind: Kind::Text(Some(text).filter(|text| !text.is_empty())), record }
    }
}

impl Body for ProxyBody {
    type Data = Piece;
    type Error = CallError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, CallError>>> {
        let this = &mut *self;
        let polled = match &mut this.kind {
            Kind::Answer(body) => Pin::new(body).poll_frame(cx),
            Kind::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.record.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Poll::Ready(Some(Err(_))) => this.record.ended = Ended::BrokenOff,
            Poll::Ready(None) => this.record.ended = Ended::Whole,
            Poll::Pending => {}
        }
        polled.map_ok(|frame| frame.map_data(|bytes| this.record.piece(bytes)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Answer(body) => body.is_end_stream(),
            Kind::Text(text) => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Answer(body) => body.size_hint(),
            Kind::Text(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
        }
    }
}

impl Drop for ProxyBody {
    fn drop(&mut self) {
        // Nobody polls a body that is known to have ended, or all of whose length has come. An answer to HEAD has none.
        let is_over = self.is_end_stream()
            || self.size_hint().exact() == Some(0)
            || matches!(self.kind, Kind::Text(_));
        if self.record.ended == Ended::Cancelled && is_over {
            self.record.ended = Ended::Whole;
        }
    }
}

/// The end of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was sent.
    Whole,
    /// The instance broke it off.
    BrokenOff,
    /// The client was gone.
    Cancelled,
}

/// The counts and the line of the access log for one call, made when it ends.
pub(crate) struct Record {
    client: Arc<Client>,
    is_http2: bool,
    begun: Instant,
    sent: u64,
    ended: Ended,
    status: Option<u16>,
    error: Option<Code>,
    told: Option<Box<Told>>,
    _in_flight: Entered,
}

/// The part of a record that only the access log needs.
struct Told {
    time: SystemTime,
    version: Version,
    method: Method,
    target: Uri,
    host: Option<HeaderValue>,
    request_id: Option<HeaderValue>,
    progress: CallProgress,
    received: Arc<AtomicU64>,
}

impl Record {
    /// A call begins.
    pub(crate) fn new(client: Arc<Client>, version: Version) -> Self {
        client.activity.call_begins();
        let in_flight = client.route.counters.calls.enter();
        Self {
            client,
            is_http2: version == Version::HTTP_2,
            begun: Instant::now(),
            sent: 0,
            ended: Ended::Cancelled,
            status: None,
            error: None,
            told: None,
            _in_flight: in_flight,
        }
    }

    /// Keeps what the access log tells of the request, if there is such a log. Returns where the bytes of its body are counted.
    pub(crate) fn tell(&mut self, head: &http::request::Parts) -> Option<Arc<AtomicU64>> {
        self.client.route.common.log.as_ref()?;
        let received = Arc::new(AtomicU64::new(0));
        let host = head.headers.get(http::header::HOST).cloned();
        self.told = Some(Box::new(Told {
            time: SystemTime::now(),
            version: head.version,
            method: head.method.clone(),
            target: head.uri.clone(),
            host,
            request_id: None,
            progress: CallProgress::default(),
            received: received.clone(),
        }));
        Some(received)
    }

    /// The id of the request, as it is passed on.
    pub(crate) fn has_id(&mut self, id: Option<&HeaderValue>) {
        if let Some(told) = &mut self.told {
            told.request_id = id.cloned();
        }
    }

    /// Where the call tells which instance it tries, if there is a log.
    pub(crate) fn progress(&self) -> Option<CallProgress> {
        self.told.as_ref().map(|told| told.progress.clone())
    }

    /// An instance answers.
    pub(crate) fn answered(&mut self, status: http::StatusCode) {
        self.status = Some(status.as_u16());
        self.client.activity.moved();
        self.client.route.counters.answered(status);
    }

    /// The proxy answers itself.
    pub(crate) fn refused(&mut self, status: http::StatusCode, code: Code) {
        (self.status, self.error) = (Some(status.as_u16()), Some(code));
        self.client.route.counters.refused(code);
    }

    /// The connection becomes a tunnel, which has a record of its own.
    pub(crate) fn becomes_tunnel(&mut self) {
        self.ended = Ended::Whole;
    }

    /// A piece of the answer, as it is handed over to be sent.
    fn piece(&self, bytes: Bytes) -> Piece {
        let waiting = self.is_http2.then(|| Part::new(self.client.clone()));
        Piece { bytes, waiting }
    }

    fn write(&self, told: &Told, duration_ms: f64) {
        let route = &self.client.route;
        let Some(log) = &route.common.log else { return };
        let text = |value: &Option<HeaderValue>| -> Option<String> {
            Some(String::from_utf8_lossy(value.as_ref()?.as_bytes()).into_owned())
        };
        let (host, id) = (text(&told.host), text(&told.request_id));
        let instance = told.progress.instance();
        let (target, authority) = (told.target.path_and_query(), told.target.authority());
        log.write(&Line {
            time: humantime::format_rfc3339_millis(told.time).to_string(),
            service: &route.service,
            client: self.client.ends.map(|ends| ends.client.to_string()),
            protocol: Some(protocol(told.version)),
            method: Some(told.method.as_str()),
            target: Some(target.map_or("/", http::uri::PathAndQuery::as_str)),
            host: host.as_deref().or_else(|| authority.map(http::uri::Authority::as_str)),
            request_id: id.as_deref(),
            status: self.status,
            error: self.error.map(Code::name),
            instance: instance.as_ref().map(|instance| &*instance.id),
            tries: told.progress.tries(),
            bytes_received: Some(told.received.load(Relaxed)),
            bytes_sent: self.sent,
            duration_ms,
            ended: match self.ended {
                Ended::Whole => "end",
                Ended::BrokenOff => "broken_off",
                Ended::Cancelled => "cancelled",
            },
        });
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let now = Instant::now();
        let Client { route, activity, .. } = &*self.client;
        activity.call_ends(now);
        let duration = now.saturating_duration_since(self.begun);
        route.counters.durations.observe(duration);
        match self.ended {
            Ended::Whole => {}
            Ended::BrokenOff => route.counters.broken_off.add(1),
            Ended::Cancelled => route.counters.cancelled.add(1),
        }
        if let Some(told) = &self.told {
            self.write(told, duration.as_micros() as f64 / 1e3);
        }
    }
}

/// The body of a request. Its connection is busy until it ends or is dropped.
pub(crate) struct Upload {
    incoming: Incoming,
    part: Part,
    is_http2: bool,
    /// The count of its bytes for the access log.
    received: Option<Arc<AtomicU64>>,
}

impl Upload {
    pub(crate) fn new(
        incoming: Incoming,
        client: Arc<Client>,
        version: Version,
        received: Option<Arc<AtomicU64>>,
    ) -> Self {
        let is_http2 = version == Version::HTTP_2;
        Self { incoming, part: Part::new(client), is_http2, received }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            if self.is_http2 {
                self.part.0.activity.moved();
            }
            if let Some(received) = &self.received {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                received.fetch_add(length, Relaxed);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
