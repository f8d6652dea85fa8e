//! A stream whose end is seen while a request waits.
//!
//! HTTP/1.1 lets a client send its next request before it has the answer to the one before. The server does not read behind a request
//! that it has not answered, so it would not see the end of the connection behind such a request. A request that waits for a change
//! therefore reads ahead here, a bounded number of bytes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes that are read behind a request that waits, beside those that the server has read already.
const MAX_AHEAD_BYTES: usize = 1 << 10;

/// A stream that can be read ahead.
pub(super) struct ReadAhead<S>(Arc<Mutex<State<S>>>);

struct State<S> {
    stream: S,
    /// Bytes that were read ahead, and that the server has not taken.
    ahead: Vec<u8>,
    /// Whether nothing comes behind them.
    has_ended: bool,
}

/// Sees the end of a connection ahead of the requests on it.
pub(super) struct Lookout(Weak<Mutex<dyn Watched + Send>>);

/// A stream whose end is looked for.
trait Watched {
    /// Reads ahead. Ready when the peer sends nothing any more, or more than may be read ahead.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> ReadAhead<S> {
    pub(super) fn new(stream: S) -> (Self, Lookout) {
        let state = Arc::new(Mutex::new(State { stream, ahead: Vec::new(), has_ended: false }));
        let watched: Arc<Mutex<dyn Watched + Send>> = state.clone();
        (Self(state), Lookout(Arc::downgrade(&watched)))
    }
}

impl Lookout {
    /// Waits until the peer sends nothing any more, or more than may be read ahead: it has gone, or it does not wait for an answer.
    pub(super) async fn end(&self) {
        std::future::poll_fn(|cx| match self.0.upgrade() {
            Some(watched) => lock(&watched).poll_end(cx),
            None => Poll::Ready(()),
        })
        .await;
    }
}

/// Nothing panics while it is held.
fn lock<T: ?Sized>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: AsyncRead + Unpin> Watched for State<S> {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.has_ended && self.ahead.len() < MAX_AHEAD_BYTES {
            let mut bytes = [0; MAX_AHEAD_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes[self.ahead.len()..]);
            // An error counts as the end. What the server reads next is the error again, or the end.
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            self.has_ended = read.is_err() || buffer.filled().is_empty();
            self.ahead.extend_from_slice(buffer.filled());
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = lock(&self.0);
        if state.ahead.is_empty() {
            return Pin::new(&mut state.stream).poll_read(cx, buffer);
        }
        let taken = state.ahead.len().min(buffer.remaining());
        buffer.put_slice(&state.ahead[..taken]);
        state.ahead.drain(..taken);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut lock(&self.0).stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut lock(&self.0).stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        lock(&self.0).stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn the_end_is_seen_behind_bytes_that_nobody_has_read() {
        let (stream, mut peer) = duplex(64);
        let (mut stream, lookout) = ReadAhead::new(stream);
        peer.write_all(b"GET /").await.expect("there is room");
        assert_eq!(lookout.end().now_or_never(), None, "the peer is there");
        let (mut read, more) = ([0; 3], b" HTTP");
        assert_eq!(stream.read(&mut read).await.expect("read"), 3);
        peer.write_all(more).await.expect("there is room");
        drop(peer);
        lookout.end().await;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.expect("read");
        assert_eq!((&read[..], &rest[..]), (&b"GET"[..], &b" / HTTP"[..]));
    }

    #[tokio::test]
    async fn no_more_is_read_ahead_than_may_be() {
        let (stream, mut peer) = duplex(4 * MAX_AHEAD_BYTES);
        let (mut stream, lookout) = ReadAhead::new(stream);
        peer.write_all(&[7; 3 * MAX_AHEAD_BYTES]).await.expect("there is room");
        lookout.end().await;
        assert_eq!(lock(&stream.0).ahead.len(), MAX_AHEAD_BYTES);
        let mut all = vec![0; 3 * MAX_AHEAD_BYTES];
        stream.read_exact(&mut all).await.expect("read");
        assert!(all.iter().all(|byte| *byte == 7), "nothing is lost");
        assert_eq!(lookout.end().now_or_never(), None, "the peer is there");
        drop(stream);
        lookout.end().await;
    }
}
