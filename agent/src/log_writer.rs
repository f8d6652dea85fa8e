//! The way of log lines out of the process: a queue, and a thread of its own that writes them.
//!
//! A task that logs only adds to the queue. It never waits for the reader of the log, and no error of the log reaches it.
//! Lines that find the queue full, and lines that cannot be written, are lost and counted.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The most lines that wait to be written. A further line is lost.
pub const MAX_WAITING_LINES: usize = 1_024;
/// The most bytes that wait to be written. A line beyond them is lost.
pub const MAX_WAITING_BYTES: usize = 1024 * 1024;

static LOST: AtomicU64 = AtomicU64::new(0);

/// The log lines of this process that were lost since its start.
#[must_use]
pub fn lost_lines() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Takes lines of a log; its clones share one queue. Each write is one line, and never fails or waits.
#[derive(Clone)]
pub struct LogWriter(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    /// Whether the thread is writing a line that it took from the queue.
    is_writing: bool,
}

impl LogWriter {
    /// Starts the thread that writes lines to `sink`. It ends with the process.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let state = Mutex::new(State::default());
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let writing = shared.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || writing.write_all(sink))?;
        Ok(Self(shared))
    }

    /// Waits until all lines are written or lost, but not for longer than this.
    pub fn flush_within(&self, limit: Duration) {
        let busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        // Whether they are written or the time is over, there is nothing more to do.
        drop(self.0.changed.wait_timeout_while(self.0.lock(), limit, busy));
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        let is_full = state.waiting.len() >= MAX_WAITING_LINES
            || state.waiting_bytes + line.len() > MAX_WAITING_BYTES;
        if is_full {
            LOST.fetch_add(1, Ordering::Relaxed);
        } else {
            state.waiting_bytes += line.len();
            state.waiting.push_back(line.to_owned());
            self.0.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    /// A thread that panicked while it held the lock left the queue in order, since each change of it is one step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, mut sink: impl Write) {
        let mut told = 0;
        loop {
            let line = self.next();
            let written = sink.write_all(&line).and_then(|()| sink.flush()).is_ok();
            if !written {
                LOST.fetch_add(1, Ordering::Relaxed);
            }
            let lost = lost_lines();
            if written && lost > told {
                tracing::warn!(
                    lost = lost - told,
                    "log lines were lost: the log could not be written"
                );
                told = lost;
            }
            self.lock().is_writing = false;
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.waiting.pop_front() {
                state.waiting_bytes -= line.len();
                state.is_writing = true;
                return line;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A sink that writes a line for each permit, and waits for the next permit meanwhile.
    struct Gate {
        permits: mpsc::Receiver<io::Result<()>>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.permits.recv().map_err(io::Error::other)??;
            let _ = self.written.send(line.to_owned());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// One test, since the count of lost lines belongs to the process.
    #[test]
    fn a_line_never_waits_and_one_that_is_not_written_is_counted() {
        let (permit, permits) = mpsc::channel();
        let (written_to, written) = mpsc::channel();
        let mut log = LogWriter::start(Gate { permits, written: written_to }).expect("a thread");
        let mut write = |line: &str| log.write_all(line.as_bytes()).expect("never fails");
        write("first");
        permit.send(Ok(())).expect("it waits");
        assert_eq!(written.recv_timeout(LONG).expect("written"), b"first");

        // Nobody reads from now on. One line may be in the hands of the thread.
        for _ in 0..MAX_WAITING_LINES + 11 {
            write("line");
        }
        let lost = lost_lines();
        assert!((10..=11).contains(&lost), "{lost}");
        write(&"x".repeat(MAX_WAITING_BYTES));
        assert_eq!(lost_lines(), lost + 1);

        permit.send(Err(io::ErrorKind::StorageFull.into())).expect("it waits");
        drop(permit);
        log.flush_within(LONG);
        assert_eq!(lost_lines(), (MAX_WAITING_LINES + 12) as u64, "all that were not written");
    }
}
