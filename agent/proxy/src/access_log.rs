//! The access log: a JSON object for each request and each tunnel, written by a thread of its own.
//!
//! A line that finds the buffer full is lost and counted. The data path never waits for the reader of the log.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Serialize;

/// The most bytes that wait to be written.
const MAX_WAITING_BYTES: usize = 1 << 20;

static LOST: AtomicU64 = AtomicU64::new(0);

/// The lines of the access log that were lost since the start of this process.
#[must_use]
pub fn lost_lines() -> u64 {
    LOST.load(Relaxed)
}

/// A request, or a tunnel.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    pub(crate) time: String,
    pub(crate) service: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<&'a str>,
    pub(crate) tries: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_received: Option<u64>,
    pub(crate) bytes_sent: u64,
    pub(crate) duration_ms: f64,
    /// `end`, `broken_off`, `cancelled`, `idle` or `refused`.
    pub(crate) ended: &'a str,
}

/// Takes the lines. Clones share one buffer.
#[derive(Clone)]
pub(crate) struct AccessLog(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    is_writing: bool,
}

impl AccessLog {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(sink: Box<dyn Write + Send>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writing = shared.clone();
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writing.write_all(sink))?;
        Ok(Self(shared))
    }

    /// Adds a line.
    pub(crate) fn write(&self, line: &Line<'_>) {
        let mut state = self.0.lock();
        let before = state.waiting.len();
        let is_written =
            before < MAX_WAITING_BYTES && serde_json::to_writer(&mut state.waiting, line).is_ok();
        if !is_written || state.waiting.len() > MAX_WAITING_BYTES {
            state.waiting.truncate(before);
            LOST.fetch_add(1, Relaxed);
            return;
        }
        state.waiting.push(b'\n');
        if before == 0 {
            self.0.changed.notify_all();
        }
    }

    /// Waits until all lines are written or lost, but not for longer than this.
    pub(crate) fn flush_within(&self, limit: Duration) {
        let busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        // Whether they are written or the time is over, there is nothing more to do.
        drop(self.0.changed.wait_timeout_while(self.0.lock(), limit, busy));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, mut sink: Box<dyn Write + Send>) {
        let (mut lines, mut is_failing, mut is_torn) = (Vec::new(), false, false);
        loop {
            self.next(&mut lines);
            let (written, result) = write_lines(&mut sink, &lines, &mut is_torn);
            if let Err(error) = &result {
                let lost = lines[written..].iter().filter(|byte| **byte == b'\n').count();
                LOST.fetch_add(lost as u64, Relaxed);
                if !is_failing {
                    tracing::warn!(%error, "the access log cannot be written, and its lines are lost");
                }
            }
            is_failing = result.is_err();
            lines.clear();
            self.lock().is_writing = false;
            self.changed.notify_all();
        }
    }

    /// Takes all lines that wait.
    fn next(&self, lines: &mut Vec<u8>) {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut state.waiting, lines);
        state.is_writing = true;
    }
}

/// Writes as many bytes as it can, and returns their number. The line after one that was torn begins anew.
fn write_lines(sink: &mut dyn Write, lines: &[u8], is_torn: &mut bool) -> (usize, io::Result<()>) {
    if *is_torn {
        match sink.write_all(b"\n") {
            Ok(()) => *is_torn = false,
            Err(error) => return (0, Err(error)),
        }
    }
    let mut written = 0;
    let result = loop {
        if written == lines.len() {
            break sink.flush();
        }
        match sink.write(&lines[written..]) {
            Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    *is_torn = written > 0 && lines[written - 1] != b'\n';
    (written, result)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A sink that takes a write for each permit.
    struct Gate {
        permits: mpsc::Receiver<()>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.permits.recv().map_err(io::Error::other)?;
            let _ = self.written.send(bytes.to_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(target: &str) -> Line<'_> {
        Line {
            time: "now".to_owned(),
            service: "web",
            client: None,
            protocol: None,
            method: Some("GET"),
            target: Some(target),
            host: None,
            request_id: None,
            status: Some(200),
            error: None,
            instance: None,
            tries: 1,
            bytes_received: None,
            bytes_sent: 2,
            duration_ms: 0.5,
            ended: "end",
        }
    }

    /// A disk that takes so many bytes.
    struct Disk {
        room: usize,
        file: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            self.file.extend_from_slice(&bytes[..count]);
            self.room -= count;
            match count {
                0 if !bytes.is_empty() => Err(io::ErrorKind::StorageFull.into()),
                count => Ok(count),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_is_torn_takes_no_other_with_it() {
        let mut disk = Disk { room: 6, file: Vec::new() };
        let mut is_torn = false;
        let (written, result) = write_lines(&mut disk, b"one\ntwo\nthree\n", &mut is_torn);
        assert!(result.is_err() && is_torn);
        assert_eq!(written, 6, "`two` and `three` are lost");
        assert_eq!(write_lines(&mut disk, b"four\n", &mut is_torn).0, 0);
        disk.room = 100;
        assert!(write_lines(&mut disk, b"five\n", &mut is_torn).1.is_ok() && !is_torn);
        assert!(write_lines(&mut disk, b"six\n", &mut is_torn).1.is_ok());
        assert_eq!(disk.file, b"one\ntw\nfive\nsix\n");
        disk.room = 2;
        assert!(write_lines(&mut disk, b"7\n8\n", &mut is_torn).1.is_err());
        assert!(!is_torn, "the disk was full between two lines");
    }

    /// One test, since the count of lost lines belongs to the process.
    #[test]
    fn a_line_never_waits_and_one_that_is_not_written_is_counted() {
        let (permit, permits) = mpsc::channel();
        let (written_to, written) = mpsc::channel();
        let log =
            AccessLog::start(Box::new(Gate { permits, written: written_to })).expect("a thread");
        log.write(&line("/\"a\""));
        permit.send(()).expect("it waits");
        let first = String::from_utf8(written.recv_timeout(LONG).expect("written")).expect("text");
        let expected = r#"{"time":"now","service":"web","method":"GET","target":"/\"a\"","status":200,"tries":1,"bytes_sent":2,"duration_ms":0.5,"ended":"end"}"#;
        assert_eq!(first, format!("{expected}\n"));

        // Nobody reads from now on. The thread may hold what came first.
        let long = "x".repeat(100 << 10);
        for _ in 0..30 {
            log.write(&line(&long));
        }
        assert!((10..=29).contains(&lost_lines()), "{}", lost_lines());
        drop(permit);
        log.flush_within(LONG);
        assert_eq!(lost_lines(), 30, "all that were not written");
    }
}
