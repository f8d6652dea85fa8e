//! Calls of any kind over the unix socket, one at a time or pipelined, by a client that blocks.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::registry::RegistryBenchError;

/// A call that takes longer has failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of an answer that an error shows.
const SHOWN: usize = 300;

/// A connection to an agent.
pub(super) struct Calls {
    stream: BufReader<UnixStream>,
    line: String,
}

impl Calls {
    pub(super) fn connect(socket: &Path) -> Result<Self, RegistryBenchError> {
        let stream = UnixStream::connect(socket)
            .and_then(|stream| stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map(|()| stream))
            .map_err(RegistryBenchError::Connection)?;
        Ok(Self { stream: BufReader::new(stream), line: String::new() })
    }

    /// Makes one call, whose answer contains `expected`, and returns how long it took.
    pub(super) fn call(
        &mut self,
        request: &Value,
        expected: &str,
    ) -> Result<Duration, RegistryBenchError> {
        let line = format!("{}\n", json!({ "request": request }));
        let since = Instant::now();
        self.write(&line)?;
        self.read_line()?;
        let took = since.elapsed();
        self.need(expected, request).map(|()| took)
    }

    /// Makes calls of which all are on their way at once. Each answer contains `expected`.
    pub(super) fn pipelined(
        &mut self,
        requests: &[Value],
        expected: &str,
    ) -> Result<(), RegistryBenchError> {
        let lines: String =
            requests.iter().map(|request| format!("{}\n", json!({ "request": request }))).collect();
        self.write(&lines)?;
        for request in requests {
            self.read_line()?;
            self.need(expected, request)?;
        }
        Ok(())
    }

    fn need(&self, expected: &str, request: &Value) -> Result<(), RegistryBenchError> {
        if self.line.contains(expected) {
            return Ok(());
        }
        let answer = self.line.chars().take(SHOWN).collect();
        Err(RegistryBenchError::Refused { request: request.to_string(), answer })
    }

    fn write(&mut self, text: &str) -> Result<(), RegistryBenchError> {
        let written = self.stream.get_mut().write_all(text.as_bytes());
        written.map_err(RegistryBenchError::Connection)
    }

    fn read_line(&mut self) -> Result<(), RegistryBenchError> {
        self.line.clear();
        match self.stream.read_line(&mut self.line) {
            Ok(0) => Err(RegistryBenchError::Connection(std::io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(cause) => Err(RegistryBenchError::Connection(cause)),
        }
    }
}
