//! The stream of events that a page follows, read as a browser does.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A stream that is silent for so long is broken: the agent tells of itself each second.
const SILENCE: Duration = Duration::from_secs(10);
/// In HTTP/1.0 an answer that goes on comes as it is, and not in chunks.
const REQUEST: &[u8] = b"GET /ui/events HTTP/1.0\r\nHost: localhost\r\n\r\n";

/// The stream of a page.
pub(super) struct Page {
    stream: BufReader<TcpStream>,
    line: String,
}

/// An event of it.
pub(super) struct Event {
    /// What it tells of.
    pub(super) name: String,
    /// In JSON.
    pub(super) data: String,
}

impl Event {
    /// Whether it is the last of those that tell all instances.
    fn completes_instances(&self) -> bool {
        let tells_instances = matches!(&self.name[..], "instances" | "changes");
        tells_instances && !self.data.contains("\"more\":true")
    }
}

impl Page {
    /// Opens it.
    pub(super) fn open(at: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(at)?;
        stream.set_read_timeout(Some(SILENCE))?;
        (&stream).write_all(REQUEST)?;
        let mut page = Self { stream: BufReader::new(stream), line: String::new() };
        let status = page.read_line()?.to_owned();
        if status.split(' ').nth(1) != Some("200") {
            return Err(io::Error::other(format!("the answer to /ui/events is {status:?}")));
        }
        while !page.read_line()?.is_empty() {}
        Ok(page)
    }

    /// The next event.
    pub(super) fn next(&mut self) -> io::Result<Event> {
        let mut event = Event { name: String::new(), data: String::new() };
        loop {
            let line = self.read_line()?;
            if line.is_empty() && !event.name.is_empty() {
                return Ok(event);
            }
            match line.split_once(": ") {
                Some(("event", name)) => name.clone_into(&mut event.name),
                Some(("data", data)) => event.data.push_str(data),
                _ => {}
            }
        }
    }

    /// Reads until all instances are told. Returns the bytes of data.
    pub(super) fn read_instances(&mut self) -> io::Result<usize> {
        let mut bytes = 0;
        loop {
            let event = self.next()?;
            bytes += event.data.len();
            if event.completes_instances() {
                return Ok(bytes);
            }
        }
    }

    fn read_line(&mut self) -> io::Result<&str> {
        self.line.clear();
        if self.stream.read_line(&mut self.line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(self.line.trim_end())
    }
}
