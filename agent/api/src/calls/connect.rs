//! Connections over TCP, picked and learnt from as calls are.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hobnob_balancer::{Failure, GaveUp, Outcome};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::caller::{CallPick, Caller};
use super::config::CallOptions;
use super::error::{CallError, Reason};
use super::retrying::Retrying;
use super::upstream::connect;
use crate::types::Instance;

/// A try that got no connection.
const NOT_SENT: Failure =
    Failure { may_have_arrived: false, is_idempotent: true, is_replayable: true };

/// A connection over TCP to an instance: a new one, or that of an answer which [upgraded](super::Answer::upgrade) it. It counts as in
/// flight until it is dropped.
#[derive(Debug)]
pub struct Connection {
    pub(super) stream: TcpStream,
    /// What was read already.
    pub(super) read: Bytes,
    pub(super) pick: Option<CallPick>,
    pub(super) instance: Arc<Instance>,
    pub(super) latency: Duration,
    pub(super) tries: u32,
}

impl Caller {
    /// Connects to an instance. Nothing is sent, so every failure leads to another try.
    pub(crate) async fn connect(&self, options: &CallOptions) -> Result<Connection, CallError> {
        self.counters.calls.add();
        self.budget.record_call(self.now());
        let connected = self.connect_somewhere(options).await;
        if connected.is_err() {
            self.counters.failed.add();
        }
        connected
    }

    async fn connect_somewhere(&self, options: &CallOptions) -> Result<Connection, CallError> {
        let begun = Instant::now();
        let (config, _) = self.settings(options.timeout).await;
        let timeout = options.timeout.unwrap_or(config.timeout);
        let (key, deadline) = (options.key.as_deref(), begun + timeout);
        let picked = self.pick_first(key, begun, self.patience(options.timeout)).await?;
        let ((mut pick, _), _) = picked;
        let mut retrying = Retrying::new(self, key, &config.retries, deadline);
        loop {
            let (instance, tries) = (pick.item().clone(), retrying.tries());
            if let Some(progress) = &options.progress {
                progress.set(&instance, tries);
            }
            let began = Instant::now();
            let left = deadline.saturating_duration_since(began);
            let within = left.min(config.connect_timeout);
            let reason = match connect((&instance.address, instance.port), within).await {
                Ok(stream) => return Ok(Connection::new(stream, pick, began.elapsed(), tries)),
                Err(Reason::ConnectTimeout(_)) if within < config.connect_timeout => {
                    Reason::Deadline(timeout)
                }
                Err(reason) => reason,
            };
            let (id, is_own) = (pick.id().clone(), reason.is_own());
            reason.report(pick, began.elapsed());
            let further = match is_own {
                true => Err(GaveUp::NoTarget),
                false => retrying.after(NOT_SENT, id, || true),
            };
            match further {
                Ok(further) => {
                    sleep(further.after).await;
                    (pick, _) = further.picked;
                }
                Err(gave_up) => {
                    let service = self.service.clone();
                    return Err(CallError::Failed { service, instance, reason, tries, gave_up });
                }
            }
        }
    }
}

impl Connection {
    fn new(stream: TcpStream, pick: CallPick, latency: Duration, tries: u32) -> Self {
        let instance = pick.item().clone();
        let mut pick = Some(pick);
        // A probe decides over its circuit, for which others wait.
        if let Some(probe) = pick.take_if(|pick| pick.is_probe()) {
            probe.complete(Outcome::Success, latency);
        }
        Self { stream, read: Bytes::new(), pick, instance, latency, tries }
    }

    /// The instance at its other end.
    #[must_use]
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// The number of instances that were tried.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// The addresses of its two ends: this process and the instance.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.stream.local_addr()?, self.stream.peer_addr()?))
    }

    /// Reports that the instance failed over this connection, such as by an answer that says so. A connection that is dropped
    /// counts as a success.
    pub fn fail(mut self) {
        if let Some(pick) = self.pick.take() {
            pick.complete(Outcome::Failure, self.latency);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(pick) = self.pick.take() {
            pick.complete(Outcome::Success, self.latency);
        }
    }
}

impl AsFd for Connection {
    /// The socket, for its options.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.has_remaining() {
            let length = buffer.remaining().min(self.read.len());
            buffer.put_slice(&self.read.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
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
