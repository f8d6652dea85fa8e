//! The task of one stream, from its first frame to its end: it reads, writes and sends events to the driver.

use std::sync::Arc;

use bytes::Bytes;
use hobnob_keys::PublicKey;
use hobnob_membership::StreamId;
use quinn::{Connection, RecvStream, SendStream, VarInt, WriteError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::counters::QuicCounters;
use super::frames::{self, FrameError, FrameReader};
use super::limits::{LINGER, STREAM_IDLE_TIMEOUT};
use super::outbox::{Abort, Outbox};
use super::tls::Proven;

/// An event of a stream. Events of one stream arrive in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// A peer opened a stream and has begun to send on it.
    Accepted {
        /// The stream, with a number of ours.
        stream: StreamId,
    },
    /// An agent told its sync port at the gossip address that a stream is opened at. It comes before all other events of the stream.
    Answered {
        /// The stream.
        stream: StreamId,
    },
    /// The handshake is done, and both sides have proved their keys. It is the next event of a stream that we opened, unless that
    /// failed, and follows `Accepted` otherwise.
    Secured {
        /// The stream.
        stream: StreamId,
        /// The key that the peer proved.
        peer: PublicKey,
        /// Bytes that both sides export from the TLS session, and that no other session has.
        binding: [u8; 32],
    },
    /// A whole frame arrived.
    Frame {
        /// The stream.
        stream: StreamId,
        /// The frame, without its length.
        bytes: Bytes,
    },
    /// A frame of the driver was written. This event does not follow `Closed`.
    Written {
        /// The stream.
        stream: StreamId,
    },
    /// The peer has finished and all its frames arrived, or the stream failed. The event comes once, unless we reset
    /// the stream first. No event follows it.
    ///
    /// If the peer has finished, frames that we send are still delivered until we [finish](super::Quic::finish) as
    /// well, which should be soon.
    Closed {
        /// The stream.
        stream: StreamId,
    },
}

/// The reason for closing a connection, as the peer is told it.
#[derive(Clone, Copy)]
pub(super) enum CloseCode {
    /// Both sides have finished.
    Done = 0,
    /// The stream was given up or failed.
    Reset = 1,
    /// The peer broke a rule.
    Violation = 2,
    /// The agent stops.
    Shutdown = 3,
}

impl From<CloseCode> for VarInt {
    fn from(code: CloseCode) -> Self {
        Self::from_u32(code as u32)
    }
}

/// The end of a stream that the peer did not cause.
pub(super) enum Interrupt {
    /// It was given up.
    Aborted(Abort),
    /// The transport shuts down.
    Shutdown,
    /// The driver has ended.
    DriverGone,
}

/// The end of a stream.
enum End {
    /// Both sides have finished.
    Complete,
    Interrupted(Interrupt),
    Failed(StreamError),
}

#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("cannot write: {0}")]
    Write(#[from] WriteError),
    #[error("no frame was read or written for too long")]
    Idle,
}

impl From<Interrupt> for End {
    fn from(interrupt: Interrupt) -> Self {
        Self::Interrupted(interrupt)
    }
}

/// The connection between the task of a stream and the driver.
pub(super) struct Link {
    pub(super) stream: StreamId,
    pub(super) outbox: Arc<Outbox>,
    pub(super) events: mpsc::Sender<StreamEvent>,
    pub(super) shutdown: CancellationToken,
    pub(super) counters: Arc<QuicCounters>,
}

impl Link {
    /// Waits until our side ends the stream. Cancel-safe.
    pub(super) async fn interrupted(&self) -> Interrupt {
        tokio::select! {
            reason = self.outbox.aborted() => Interrupt::Aborted(reason),
            () = self.shutdown.cancelled() => Interrupt::Shutdown,
        }
    }

    /// Sends an event to the driver. Waits while the channel is full.
    pub(super) async fn deliver(&self, event: StreamEvent) -> Result<(), Interrupt> {
        tokio::select! {
            biased;
            interrupt = self.interrupted() => Err(interrupt),
            sent = self.events.send(event) => sent.map_err(|_| Interrupt::DriverGone),
        }
    }

    /// Counts and logs a failed stream. Reports it to the driver, unless the driver knows that the stream is over.
    pub(super) async fn fail(&self, reason: &(dyn std::fmt::Display + Sync), is_closed: bool) {
        debug!(stream = self.stream.0, %reason, "a stream failed");
        self.counters.streams_failed.increment();
        if !is_closed {
            // Not `deliver`, which reports nothing of a stream that was given up: a mistake of the driver must be
            // reported.
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                _ = self.events.send(StreamEvent::Closed { stream: self.stream }) => {}
            }
        }
    }

    /// Counts and reports the interrupts that are failures.
    pub(super) async fn conclude(&self, interrupt: &Interrupt, is_closed: bool) {
        match interrupt {
            Interrupt::Aborted(Abort::Overflow) => {
                self.counters.sends_overflowed.increment();
                self.fail(&"more frames were queued than may be in flight", is_closed).await;
            }
            Interrupt::Aborted(Abort::InvalidFrame) => {
                self.counters.frames_invalid.increment();
                self.fail(&"a frame to send was empty or too long", is_closed).await;
            }
            Interrupt::Aborted(Abort::Reset) | Interrupt::Shutdown | Interrupt::DriverGone => {}
        }
    }
}

/// Writes the frames of an outbox to a stream.
struct FrameWriter {
    stream: SendStream,
    /// The rest of the current frame: its prefix and its bytes.
    pending: [Bytes; 2],
}

enum Wrote {
    Frame,
    End,
}

impl FrameWriter {
    /// Writes the next frame, or finishes after the last one. Cancel-safe: the rest of a frame is kept.
    async fn step(&mut self, outbox: &Outbox) -> Result<Wrote, WriteError> {
        if !self.is_amid_frame() {
            let Some(frame) = outbox.take().await else {
                // It fails only when the stream is finished already.
                let _ = self.stream.finish();
                return Ok(Wrote::End);
            };
            self.pending = [frames::prefix(frame.len()), frame];
        }
        while self.is_amid_frame() {
            self.stream.write_chunks(&mut self.pending).await?;
        }
        outbox.written();
        Ok(Wrote::Frame)
    }

    fn is_amid_frame(&self) -> bool {
        self.pending.iter().any(|bytes| !bytes.is_empty())
    }
}

/// One established stream.
pub(super) struct Session {
    link: Link,
    connection: Connection,
    proven: Proven,
    reader: FrameReader,
    writer: FrameWriter,
    /// Whether the driver was told that the stream is over.
    is_closed: bool,
}

impl Session {
    pub(super) fn new(
        link: Link,
        connection: Connection,
        proven: Proven,
        send: SendStream,
        recv: RecvStream,
    ) -> Self {
        let writer = FrameWriter { stream: send, pending: [Bytes::new(), Bytes::new()] };
        let reader = FrameReader::new(recv);
        Self { link, connection, proven, reader, writer, is_closed: false }
    }

    /// Carries frames until the stream is over, then closes the connection.
    pub(super) async fn run(mut self) {
        match self.exchange().await {
            End::Complete => {
                self.await_acknowledgement().await;
                self.close(CloseCode::Done);
            }
            End::Interrupted(Interrupt::Shutdown) => {
                self.write_the_rest().await;
                self.await_acknowledgement().await;
                self.close(CloseCode::Shutdown);
            }
            End::Interrupted(interrupt) => {
                self.close(CloseCode::Reset);
                self.link.conclude(&interrupt, self.is_closed).await;
            }
            End::Failed(error) => {
                let violation = matches!(error, StreamError::Frame(FrameError::Length(_)));
                if violation {
                    self.link.counters.frames_invalid.increment();
                }
                self.close(if violation { CloseCode::Violation } else { CloseCode::Reset });
                self.link.fail(&error, self.is_closed).await;
            }
        }
    }

    async fn exchange(&mut self) -> End {
        let stream = self.link.stream;
        let Proven { peer, binding } = self.proven;
        if let Err(interrupt) =
            self.link.deliver(StreamEvent::Secured { stream, peer, binding }).await
        {
            return interrupt.into();
        }
        let mut writing = true;
        let mut write_error = None;
        let mut lingering = false;
        let mut deadline = Instant::now() + STREAM_IDLE_TIMEOUT;
        while writing || !self.is_closed {
            let event = tokio::select! {
                interrupt = self.link.interrupted() => return interrupt.into(),
                () = sleep_until(deadline) => {
                    if !lingering {
                        return End::Failed(StreamError::Idle);
                    }
                    self.link.outbox.finish();
                    None
                }
                frame = self.reader.next(), if !self.is_closed => match frame {
                    Ok(Some(bytes)) => Some(StreamEvent::Frame { stream, bytes }),
                    Ok(None) => Some(StreamEvent::Closed { stream }),
                    // Report the write error if there was one: it came first and says more.
                    Err(error) => return End::Failed(write_error.map_or(error.into(), StreamError::Write)),
                },
                wrote = self.writer.step(&self.link.outbox), if writing => match wrote {
                    Ok(Wrote::Frame) => (!self.is_closed).then_some(StreamEvent::Written { stream }),
                    Ok(Wrote::End) => {
                        writing = false;
                        None
                    }
                    Err(error) => {
                        // Go on reading: bytes that the peer sent earlier may still be unread.
                        self.link.outbox.finish();
                        writing = false;
                        write_error = Some(error);
                        None
                    }
                },
            };
            if let Some(event) = event {
                let closes = matches!(event, StreamEvent::Closed { .. });
                if let Err(interrupt) = self.link.deliver(event).await {
                    return interrupt.into();
                }
                self.is_closed |= closes;
            }
            lingering = self.is_closed && !self.link.outbox.is_finished();
            deadline = Instant::now() + if lingering { LINGER } else { STREAM_IDLE_TIMEOUT };
        }
        write_error.map_or(End::Complete, |error| End::Failed(error.into()))
    }

    /// Writes the frames that the driver has sent so far, and finishes. The grace of the shutdown limits the time.
    async fn write_the_rest(&mut self) {
        self.link.outbox.finish();
        while let Ok(Wrote::Frame) = self.writer.step(&self.link.outbox).await {}
    }

    /// Waits until the peer has all that we wrote, at most [`LINGER`]: a closed connection delivers nothing more.
    async fn await_acknowledgement(&self) {
        let stopped = self.writer.stream.stopped();
        tokio::select! {
            _ = self.link.outbox.aborted() => {}
            _ = timeout(LINGER, stopped) => {}
        }
    }

    fn close(&self, code: CloseCode) {
        self.connection.close(code.into(), b"");
    }
}
