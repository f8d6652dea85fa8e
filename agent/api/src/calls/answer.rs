//! Answers, whose bodies are read from the connection of their call.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hobnob_balancer::{Outcome, Pick};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::body::Stream;
use super::connect::Connection;
use super::error::CallError;
use super::upstream::Used;
use crate::types::Instance;

/// The answer of an instance.
#[derive(Debug)]
pub struct Answer {
    /// Its head, and its body, which is still to be read.
    pub response: Response<AnswerBody>,
    /// The instance that answered.
    pub instance: Arc<Instance>,
    /// The number of instances that were tried.
    pub tries: u32,
}

/// Where an answer comes from, in the extensions of a response.
#[derive(Clone, Debug)]
pub struct AnsweredBy {
    /// The instance that answered.
    pub instance: Arc<Instance>,
    /// The number of instances that were tried.
    pub tries: u32,
}

impl Answer {
    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Its whole body, of at most so many bytes.
    ///
    /// # Errors
    /// The body breaks off, or is longer.
    pub async fn bytes(self, max: usize) -> Result<Bytes, CallError> {
        let mut body = self.response.into_body();
        let mut all = BytesMut::new();
        let mut first = Bytes::new();
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
        {
            let Ok(data) = frame?.into_data() else { continue };
            if first.len() + all.len() + data.len() > max {
                return Err(CallError::TooLong { service: body.service.clone(), max });
            }
            if all.is_empty() && first.is_empty() {
                first = data;
            } else {
                if all.is_empty() {
                    all.extend_from_slice(&std::mem::take(&mut first));
                }
                all.extend_from_slice(&data);
            }
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    }

    /// Reads its body to the end, so that the connection is of use for the next call, and drops it. Returns its length.
    ///
    /// # Errors
    /// The body breaks off.
    pub async fn discard(self) -> Result<u64, CallError> {
        let (mut body, mut length) = (self.response.into_body(), 0);
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
        {
            length += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
        Ok(length)
    }

    /// The connection of an answer of 101, which speaks another protocol from then on.
    ///
    /// # Errors
    /// The status is another one, or the connection broke.
    pub async fn upgrade(self) -> Result<Connection, CallError> {
        let Self { mut response, instance, tries } = self;
        let upgrade = hyper::upgrade::on(&mut response);
        let mut body = response.into_body();
        let service = body.service.clone();
        let upgraded = upgrade.await.map_err(|source| {
            let (service, instance) = (service.clone(), instance.clone());
            CallError::BrokeOff { service, instance, source }
        })?;
        let parts = upgraded.downcast::<TokioIo<TcpStream>>().map_err(|_| {
            let reason = "its connection is none of TCP".to_owned();
            CallError::Invalid { service, reason }
        })?;
        let (pick, latency) = match body.flight.take() {
            Some(Flight { pick, latency, .. }) => (Some(pick), latency),
            None => (None, Duration::ZERO),
        };
        let (stream, read) = (parts.io.into_inner(), parts.read_buf);
        Ok(Connection { stream, read, pick, instance, latency, tries })
    }

    /// The response, which says [by whom it is](AnsweredBy) in its extensions.
    #[must_use]
    pub fn into_response(self) -> Response<AnswerBody> {
        let Self { mut response, instance, tries } = self;
        response.extensions_mut().insert(AnsweredBy { instance, tries });
        response
    }
}

/// The body of an answer. The call counts as in flight until it ends or is dropped.
pub struct AnswerBody {
    incoming: Incoming,
    service: Arc<str>,
    instance: Arc<Instance>,
    flight: Option<Flight>,
    connection: Option<Used>,
}

/// The pick of a call whose answer is being read.
pub(super) struct Flight {
    pub(super) pick: Pick<Arc<Instance>>,
    pub(super) latency: Duration,
    /// The body of the request, which may still be under way.
    pub(super) upload: Option<Arc<Stream>>,
}

impl Flight {
    fn end(self, outcome: Outcome) {
        self.pick.complete(outcome, self.latency);
    }

    /// The answer broke off. When the body of the request broke before, that is why.
    fn break_off(self) {
        match self.upload.as_ref().is_some_and(|upload| upload.is_broken()) {
            true => drop(self.pick),
            false => self.end(Outcome::Failure),
        }
    }
}

impl AnswerBody {
    pub(super) fn new(
        incoming: Incoming,
        service: Arc<str>,
        instance: Arc<Instance>,
        flight: Option<Flight>,
        connection: Option<Used>,
    ) -> Self {
        let mut body = Self { incoming, service, instance, flight, connection };
        if body.incoming.is_end_stream() {
            body.finish();
        }
        body
    }

    /// The body of an answer of 101. The call is in flight for as long as its connection.
    pub(super) fn upgraded(
        incoming: Incoming,
        service: Arc<str>,
        instance: Arc<Instance>,
        flight: Option<Flight>,
    ) -> Self {
        Self { incoming, service, instance, flight, connection: None }
    }

    /// The body has ended.
    fn finish(&mut self) {
        if let Some(flight) = self.flight.take() {
            flight.end(Outcome::Success);
        }
        if let Some(connection) = self.connection.take() {
            connection.keep();
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                if this.incoming.is_end_stream() {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(source))) => {
                if let Some(flight) = this.flight.take() {
                    flight.break_off();
                }
                this.connection = None;
                let (service, instance) = (this.service.clone(), this.instance.clone());
                Poll::Ready(Some(Err(CallError::BrokeOff { service, instance, source })))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for AnswerBody {
    /// The head has come, so the instance answered. The connection goes: the rest of the body is still on it.
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            flight.end(Outcome::Success);
        }
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").field("instance", &self.instance.id).finish_non_exhaustive()
    }
}
