//! Questions by a client that blocks and does as little as it can.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

/// As much as is read at once; more than an answer.
const READ_BYTES: usize = 64 << 10;
/// A question that takes longer has failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A question got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The connection broke.
    #[error("the connection to the agent failed: {0}")]
    Connection(#[from] io::Error),
    /// The answer is not what was asked for.
    #[error("the agent refused: {0}")]
    Refused(String),
}

/// What is read and written.
trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// A connection that asks one question again and again.
pub(super) struct Asker {
    stream: Box<dyn Stream>,
    request: Vec<u8>,
    /// The length of the answer at the begin of some bytes, if it is whole.
    whole: fn(&[u8]) -> Option<usize>,
    buffer: Vec<u8>,
}

impl Asker {
    /// Asks for a path over HTTP.
    pub(super) fn http(stream: TcpStream, path: &str) -> io::Result<Self> {
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self::new(Box::new(stream), get(path), whole_of_http))
    }

    /// Makes a call in a line of JSON.
    pub(super) fn lines(stream: UnixStream, call: &Value) -> io::Result<Self> {
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self::new(Box::new(stream), format!("{call}\n").into_bytes(), whole_line))
    }

    fn new(stream: Box<dyn Stream>, request: Vec<u8>, whole: fn(&[u8]) -> Option<usize>) -> Self {
        Self { stream, request, whole, buffer: vec![0; READ_BYTES] }
    }

    /// Asks once, and returns the answer.
    pub(super) fn ask(&mut self) -> Result<&[u8], AskError> {
        self.stream.write_all(&self.request)?;
        let mut filled = 0;
        loop {
            match self.stream.read(&mut self.buffer[filled..])? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                read => filled += read,
            }
            if (self.whole)(&self.buffer[..filled]) == Some(filled) {
                break;
            }
        }
        let answer = &self.buffer[..filled];
        let is_refused = answer.starts_with(b"HTTP") && !answer.starts_with(b"HTTP/1.1 200");
        if is_refused || !contains(answer, super::SERVICE.as_bytes()) {
            return Err(AskError::Refused(String::from_utf8_lossy(answer).into_owned()));
        }
        Ok(answer)
    }
}

/// A request for a path.
pub(super) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// The value of a field in the head of an answer.
pub(super) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.into_iter().find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The length of the first answer, head and body, if it is whole.
pub(super) fn whole_of_http(bytes: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    let head = bytes.windows(END.len()).position(|window| window == END)?;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let body: usize = field(text, "content-length")?.parse().ok()?;
    let whole = head + END.len() + body;
    (whole <= bytes.len()).then_some(whole)
}

fn whole_line(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_counts() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(whole_of_http(answer), Some(answer.len()));
        assert_eq!(whole_of_http(&answer[..answer.len() - 1]), None);
        assert_eq!(whole_of_http(b"HTTP/1.1 200 OK\r\n"), None);
        assert_eq!((whole_line(b"{}\n"), whole_line(b"{}")), (Some(3), None));
    }
}
