//! The bytes of a connection: calls that came in, and replies on their way out.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use hobnob_api::codec::CodecError;
use hobnob_api::{API_VERSION, ApiError, ErrorCode, Reply, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, Ready};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};
use tokio_util::codec::Encoder;

use crate::budget::{Exhausted, Held};
use crate::services::Shown;

/// Bytes that are read at once. So many of a call that is not whole are held without being counted.
const READ_BYTES: usize = 8 << 10;
/// Replies of this size together are written although more calls wait for theirs.
const WRITE_BYTES: usize = 64 << 10;
/// A buffer that a large reply left behind is given back when it is larger than this.
const MAX_IDLE_BYTES: usize = 64 << 10;
/// A client that takes no byte of its replies for this long has stopped reading them.
const WRITE_WITHIN: Duration = Duration::from_secs(60);

/// Time between two looks whether the client of a question that waits is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A stream to a client.
pub(crate) trait Peer: AsyncRead + AsyncWrite + Unpin {
    /// Whether the client has closed it. One that only sends no more still takes answers, and has not.
    fn is_closed(&self) -> impl Future<Output = bool> + Send;
}

impl Peer for UnixStream {
    async fn is_closed(&self) -> bool {
        let ready = self.ready(Interest::WRITABLE).await;
        ready.is_ok_and(Ready::is_write_closed)
    }
}

/// A stream with the calls that were received.
pub(super) struct Buffered<S> {
    stream: S,
    pub(super) received: BytesMut,
    /// The budget of the received bytes.
    held: Held,
}

impl<S: Peer> Buffered<S> {
    pub(super) fn new(stream: S, held: Held) -> Self {
        Self { stream, received: BytesMut::new(), held }
    }

    /// Reads more; nothing at the end of the stream. Cancelling it loses nothing.
    pub(super) async fn read(&mut self) -> Result<usize, CodecError> {
        self.received.reserve(READ_BYTES);
        Ok(self.stream.read_buf(&mut self.received).await?)
    }

    /// Waits until the client is gone.
    pub(super) async fn gone(&self) {
        loop {
            sleep(LOOK_EVERY).await;
            if self.stream.is_closed().await {
                return;
            }
        }
    }

    /// Counts what was received and not taken yet: half a call.
    ///
    /// # Errors
    /// There is no room for it.
    pub(super) fn count_received(&mut self) -> Result<(), Exhausted> {
        if self.received.is_empty() {
            // A large call must not leave its buffer behind.
            self.received = BytesMut::new();
        }
        self.held.resize(self.received.len().saturating_sub(READ_BYTES))
    }

    /// Writes all replies. A client that reads none of them loses the connection.
    pub(super) async fn write(&mut self, output: &mut Output) -> Result<(), CodecError> {
        let mut written = 0;
        while let Some(rest) = output.bytes.get(written..).filter(|rest| !rest.is_empty()) {
            let wrote = timeout(WRITE_WITHIN, self.stream.write(rest)).await;
            match wrote.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                wrote => written += wrote,
            }
        }
        output.clear();
        Ok(())
    }
}

/// Replies that are to be written.
pub(super) struct Output {
    bytes: BytesMut,
    /// The budget of the bytes.
    held: Held,
    /// The run of the agent, until a reply told it with the version of the API.
    greeting: Option<String>,
}

impl Output {
    pub(super) fn new(held: Held, run: &str) -> Self {
        Self { bytes: BytesMut::new(), held, greeting: Some(run.to_owned()) }
    }

    /// Whether it should be written before more is added.
    pub(super) fn is_long(&self) -> bool {
        self.bytes.len() >= WRITE_BYTES
    }

    /// Adds a reply; the first of a connection tells the version of the API and the run. A reply that is too large for the codec,
    /// or for what the connection may hold, becomes an error of the same call. Returns whether it was added as it is.
    pub(super) fn add<C>(
        &mut self,
        codec: &mut C,
        mut reply: Reply<Shown>,
    ) -> Result<bool, CodecError>
    where
        C: for<'a> Encoder<&'a Reply<Shown>, Error = CodecError>,
    {
        if let Some(run) = self.greeting.take() {
            reply.api = Some(API_VERSION);
            reply.run = Some(run);
        }
        let before = self.bytes.len();
        let refusal = match codec.encode(&reply, &mut self.bytes) {
            Ok(()) => match self.held.resize(self.bytes.len().saturating_sub(WRITE_BYTES)) {
                Ok(()) => return Ok(true),
                Err(exhausted) => exhausted.into(),
            },
            Err(error @ CodecError::Unencodable { .. }) => {
                ApiError::new(ErrorCode::AnswerTooLarge, error.to_string())
            }
            Err(error) => return Err(error),
        };
        self.bytes.truncate(before);
        let (more, unchanged, reset) = (false, false, None);
        let response = Response::Error(refusal);
        let refused = Reply { response, more, unchanged, reset, ..reply };
        codec.encode(&refused, &mut self.bytes).map(|()| false)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > MAX_IDLE_BYTES {
            self.bytes = BytesMut::new();
        }
        // Less is never refused.
        let _ = self.held.resize(0);
    }
}
