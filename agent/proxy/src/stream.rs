//! Streams of clients, and what moves over them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use crate::route::Client;

/// The stream of a client.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The two ends of a client's connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) client: SocketAddr,
    pub(crate) local: SocketAddr,
}

macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
        }
    };
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// The activity of one connection. Its stream, its calls and its clock share it.
#[derive(Debug)]
pub(crate) struct Activity {
    begun: Instant,
    /// Steps that a call, or what is left of one, has made.
    moves: AtomicU32,
    /// Whether bytes came since the last request began or ended.
    has_read: AtomicBool,
    calls: AtomicU32,
    /// Parts that may outlast their call: bodies of requests that are not read to their end, and pieces of answers that are not sent.
    parts: AtomicU32,
    /// Whether the last thing that was tried is a flush: nothing waits to be written.
    is_flushed: AtomicBool,
    /// When the last call ended, or something of it moved, in microseconds since the beginning.
    idle_since_us: AtomicU64,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            moves: AtomicU32::new(0),
            has_read: AtomicBool::new(false),
            calls: AtomicU32::new(0),
            parts: AtomicU32::new(0),
            is_flushed: AtomicBool::new(true),
            idle_since_us: AtomicU64::new(0),
        }
    }

    /// When the connection began.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// A request has arrived.
    pub(crate) fn call_begins(&self) {
        self.has_read.store(false, Relaxed);
        self.moves.fetch_add(1, Relaxed);
        self.calls.fetch_add(1, Relaxed);
    }

    /// Its answer has been handed over, or nobody waits for it.
    pub(crate) fn call_ends(&self, at: Instant) {
        self.idles_from(at);
        // What was read since the head is the body.
        self.has_read.store(false, Relaxed);
        self.calls.fetch_sub(1, Relaxed);
    }

    /// A part of a call begins that may outlast it.
    pub(crate) fn part_begins(&self) {
        self.parts.fetch_add(1, Relaxed);
    }

    /// The part has ended, or nobody waits for the rest of it.
    pub(crate) fn part_ends(&self) {
        self.moved();
        self.parts.fetch_sub(1, Relaxed);
    }

    /// Whether there is a call, or a part of one that is still received or sent.
    pub(crate) fn is_busy(&self) -> bool {
        let (calls, parts) = (self.calls.load(Relaxed), self.parts.load(Relaxed));
        calls > 0 || parts > 0 || !self.is_flushed.load(Relaxed)
    }

    /// Whether the beginning of a request is there, and nothing else.
    pub(crate) fn is_mid_head(&self) -> bool {
        self.has_read.load(Relaxed) && !self.is_busy()
    }

    /// When the last call ended, something of it moved after that, or the connection began.
    pub(crate) fn idle_since(&self) -> Instant {
        self.begun + Duration::from_micros(self.idle_since_us.load(Relaxed))
    }

    /// The connection has had no call, and moved nothing of one, since then.
    pub(crate) fn idles_from(&self, at: Instant) {
        let since = at.saturating_duration_since(self.begun).as_micros();
        self.idle_since_us.store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
    }

    /// A number that differs once something of a call has moved.
    pub(crate) fn moves(&self) -> u32 {
        self.moves.load(Relaxed)
    }

    /// Something of a call was read or written.
    pub(crate) fn moved(&self) {
        self.moves.fetch_add(1, Relaxed);
        if self.calls.load(Relaxed) == 0 {
            // The end of an answer may be on its way long after its call.
            self.idles_from(Instant::now());
        }
    }
}

/// A stream of which some is read already, and whose activity is watched. Its user flushes it when nothing is left to be written.
pub(crate) struct Watched {
    pub(crate) stream: Stream,
    pub(crate) read: Bytes,
    /// Whether each byte is one of a call, as over HTTP/1.1. Over HTTP/2 pings move bytes, and calls tell what moves by themselves.
    pub(crate) is_plain: bool,
    pub(crate) client: Arc<Client>,
}

impl Watched {
    fn moved(&self) {
        if self.is_plain {
            self.client.activity.moved();
        }
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.has_remaining() {
            let length = buffer.remaining().min(self.read.len());
            buffer.put_slice(&self.read.split_to(length));
        } else {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
            if buffer.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
        }
        self.client.activity.has_read.store(true, Relaxed);
        self.moved();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.client.activity.is_flushed.store(false, Relaxed);
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.moved();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.client.activity.is_flushed.store(false, Relaxed);
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        self.moved();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.client.activity.is_flushed.store(true, Relaxed);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
