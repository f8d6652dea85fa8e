//! Calls to the agent or the echo, by a client that blocks and does as little as it can.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::SocketBenchError;
use super::wire::Wire;
use crate::bench::goals::quantile;

/// The most calls that are on their way at once, when they are pipelined.
const WINDOW: usize = 64;
/// More calls are sent when so many fewer are on their way.
const REFILL: usize = WINDOW / 2;
/// As much as is read at once; many answers.
const READ_BYTES: usize = 64 << 10;
/// A call that takes longer has failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The durations of calls.
#[derive(Default)]
pub(super) struct Latencies(Vec<f64>);

impl Latencies {
    /// In microseconds; not a number when there was no call.
    pub(super) fn quantile_us(&self, share: f64) -> f64 {
        quantile(&self.0, share).unwrap_or(f64::NAN)
    }
}

/// A connection that makes one kind of call again and again.
pub(super) struct Calls {
    peer: &'static str,
    stream: UnixStream,
    wire: Wire,
    buffer: Vec<u8>,
    /// Bytes of the buffer that hold the beginning of an answer.
    filled: usize,
}

impl Calls {
    pub(super) fn connect(
        peer: &'static str,
        socket: &Path,
        wire: Wire,
    ) -> Result<Self, SocketBenchError> {
        let connected = UnixStream::connect(socket)
            .and_then(|stream| stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map(|()| stream));
        let stream = connected.map_err(|cause| SocketBenchError::Connection { peer, cause })?;
        Ok(Self { peer, stream, wire, buffer: vec![0; READ_BYTES], filled: 0 })
    }

    /// The bytes of the answer to one call, which has to be a pick.
    pub(super) fn first(&mut self, request: &[u8]) -> Result<Vec<u8>, SocketBenchError> {
        self.write(request)?;
        loop {
            let read = self.read()?;
            self.filled += read;
            let (count, taken) = self.wire.whole(&self.buffer[..self.filled]);
            if count == 1 {
                self.filled = 0;
                let reply = self.buffer[..taken].to_vec();
                let text = String::from_utf8_lossy(&reply);
                return if text.contains(super::SERVICE) {
                    Ok(reply)
                } else {
                    Err(SocketBenchError::Refused(text.into_owned()))
                };
            }
        }
    }

    /// Makes calls one after the other.
    pub(super) fn one_at_a_time(
        &mut self,
        request: &[u8],
        calls: usize,
        latencies: &mut Latencies,
    ) -> Result<(), SocketBenchError> {
        for _ in 0..calls {
            let since = Instant::now();
            self.write(request)?;
            while self.answers()? == 0 {}
            latencies.0.push(since.elapsed().as_secs_f64() * 1e6);
        }
        Ok(())
    }

    /// Makes calls of which up to [`WINDOW`] are on their way, and says how many a second were answered.
    pub(super) fn pipelined(
        &mut self,
        request: &[u8],
        calls: usize,
    ) -> Result<f64, SocketBenchError> {
        let window = request.repeat(WINDOW);
        let since = Instant::now();
        let (mut sent, mut answered) = (0, 0);
        while answered < calls {
            let more = (WINDOW - (sent - answered)).min(calls - sent);
            if more >= REFILL.min(calls - sent).max(1) {
                self.write(&window[..more * request.len()])?;
                sent += more;
            }
            answered += self.answers()?;
        }
        Ok(calls as f64 / since.elapsed().as_secs_f64())
    }

    /// Reads once, and counts the answers that are whole now.
    fn answers(&mut self) -> Result<usize, SocketBenchError> {
        self.filled += self.read()?;
        let (count, taken) = self.wire.whole(&self.buffer[..self.filled]);
        self.buffer.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        Ok(count)
    }

    fn read(&mut self) -> Result<usize, SocketBenchError> {
        match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => Err(self.failed(io::ErrorKind::UnexpectedEof.into())),
            read => read.map_err(|cause| self.failed(cause)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SocketBenchError> {
        self.stream.write_all(bytes).map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: io::Error) -> SocketBenchError {
        SocketBenchError::Connection { peer: self.peer, cause }
    }
}
