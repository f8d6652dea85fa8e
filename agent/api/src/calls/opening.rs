//! The first bytes of a connection of HTTP/2, which tell whether its other end speaks it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Where the type of a frame stands in it.
const TYPE_AT: usize = 3;
/// The type of the frame that comes first (RFC 9113, section 3.4).
const SETTINGS: u8 = 4;

/// What the other end has begun with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Opening {
    /// Nothing so far.
    Nothing,
    /// HTTP/2.
    Http2,
    /// Another protocol.
    Other,
}

/// What the other end of a connection has begun with.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun(Arc<AtomicU8>);

impl Begun {
    pub(super) fn opening(&self) -> Opening {
        match self.0.load(Relaxed) {
            known if known == Opening::Http2 as u8 => Opening::Http2,
            known if known == Opening::Other as u8 => Opening::Other,
            _ => Opening::Nothing,
        }
    }

    fn set(&self, opening: Opening) {
        self.0.store(opening as u8, Relaxed);
    }
}

/// A connection whose first bytes are looked at.
pub(super) struct Watched {
    stream: TcpStream,
    /// The bytes that were read, as far as they matter.
    read: usize,
    begun: Begun,
}

impl Watched {
    pub(super) fn new(stream: TcpStream) -> (Self, Begun) {
        let begun = Begun::default();
        (Self { stream, read: 0, begun: begun.clone() }, begun)
    }

    fn look(&mut self, new: &[u8]) {
        if let Some(kind) = new.get(TYPE_AT - self.read) {
            self.begun.set(if *kind == SETTINGS { Opening::Http2 } else { Opening::Other });
        }
        self.read += new.len();
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if self.read <= TYPE_AT && matches!(polled, Poll::Ready(Ok(()))) {
            self.look(&buffer.filled()[before..]);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
