//! Connections over TCP, picked and learnt from as calls are.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hobnob_balancer::{Attempts, Failure, GaveUp, Next, Outcome};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::caller::{CallPick, Caller};
use super::config::CallOptions;
use super::error::CallError;
use super::upstream::connect;
use crate::types::Instance;

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
        let deadline = begun + options.timeout.unwrap_or(config.timeout);
        let key = options.key.as_deref();
        let mut picked = self.pick(key, &[]);
        if picked.is_none() && !self.is_ready() {
            if !self.ready(deadline).await {
                let (service, waited) = (self.service.clone(), begun.elapsed());
                return Err(CallError::AgentAway { service, waited });
            }
            picked = self.pick(key, &[]);
        }
        let (mut pick, _) = picked.ok_or_else(|| self.nothing())?;
        let (mut attempts, mut tried) = (Attempts::default(), Vec::new());
        loop {
            tried.push(pick.id().clone());
            let tries = tried.len() as u32;
            let instance = pick.item().clone();
            let began = Instant::now();
            let left = deadline.saturating_duration_since(began);
            let within = left.min(config.connect_timeout);
            let reason = match connect((&instance.address, instance.port), within).await {
                Ok(stream) => {
                    let latency = began.elapsed();
                    let mut pick = Some(pick);
                    if let Some(probe) = pick.take_if(|pick| pick.is_probe()) {
                        probe.complete(Outcome::Success, latency);
                    }
                    let read = Bytes::new();
                    return Ok(Connection { stream, read, pick, instance, latency, tries });
                }
                Err(reason) => reason,
            };
            let service = self.service.clone();
            if reason.is_own() {
                let gave_up = GaveUp::NoTarget;
                return Err(CallError::Failed { service, instance, reason, tries, gave_up });
            }
            pick.complete(Outcome::Failure, began.elapsed());
            let failure =
                Failure { may_have_arrived: false, is_idempotent: true, is_replayable: true };
            let left = deadline.saturating_duration_since(Instant::now());
            let now = self.now();
            let retries = &config.retries;
            let next = attempts.after(failure, retries, &self.budget, now, left, self.draw());
            let gave_up = match next {
                Next::Retry { after } => match self.pick(key, &tried) {
                    Some((next, _)) => {
                        self.counters.retries.add();
                        sleep(after).await;
                        pick = next;
                        continue;
                    }
                    None => GaveUp::NoTarget,
                },
                Next::GiveUp(gave_up) => gave_up,
            };
            return Err(CallError::Failed { service, instance, reason, tries, gave_up });
        }
    }
}

impl Connection {
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
