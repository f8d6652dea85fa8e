//! The display without a terminal: a line when the state changes.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::status::Status;
use crate::dev::counted::counted;
use crate::dev::sights::Snapshot;

/// The least time between two lines about the state.
const PAUSE: Duration = Duration::from_millis(400);

/// Lines on stdout.
pub(in crate::dev) struct Plain {
    greeted: bool,
    ready: bool,
    last: String,
    /// The number of messages that were printed.
    noticed: usize,
    next_line: Option<Instant>,
}

impl Plain {
    pub(in crate::dev) fn new() -> Self {
        Self { greeted: false, ready: false, last: String::new(), noticed: 0, next_line: None }
    }

    /// Prints what is new. The line that says that the cluster is ready is printed at once.
    pub(in crate::dev) fn show(&mut self, snapshot: &Snapshot, status: &Status) -> io::Result<()> {
        self.write(&mut io::stdout().lock(), snapshot, status, Instant::now())
    }

    fn write(
        &mut self,
        out: &mut impl Write,
        snapshot: &Snapshot,
        status: &Status,
        now: Instant,
    ) -> io::Result<()> {
        if !self.greeted {
            self.greeted = true;
            self.next_line = Some(now + PAUSE);
            greet(out, snapshot, status)?;
        }
        let seconds = now.duration_since(status.started).as_secs_f64();
        let news =
            status.notices.count() - std::mem::replace(&mut self.noticed, status.notices.count());
        for notice in status.notices.last(news) {
            writeln!(out, "{seconds:>5.1} s  {}", notice.text)?;
        }
        if news > 0 {
            out.flush()?;
        }
        let summary = snapshot.summary();
        if let Some(line) = status.ready_line().filter(|_| !self.ready) {
            self.ready = true;
            self.last = summary;
            writeln!(out, "{line}")?;
            return out.flush();
        }
        if summary != self.last && self.next_line.is_none_or(|at| now >= at) {
            self.next_line = Some(now + PAUSE);
            writeln!(out, "{seconds:>5.1} s  {summary}")?;
            out.flush()?;
            self.last = summary;
        }
        Ok(())
    }
}

fn greet(out: &mut impl Write, snapshot: &Snapshot, status: &Status) -> io::Result<()> {
    let agents = counted(snapshot.agents.len(), "agent");
    let instances = counted(snapshot.instances.len(), "server");
    writeln!(out, "{agents} and {instances} run here; Ctrl-C stops them.")?;
    writeln!(out, "In another terminal:")?;
    for hint in &status.hints.commands {
        writeln!(out, "  {hint}")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::display::hints::Hints;
    use crate::dev::sights::snapshot::tests::complete;

    struct Log {
        plain: Plain,
        status: Status,
        text: Vec<u8>,
    }

    impl Log {
        fn new() -> Self {
            let commands = vec!["hobnob members".to_owned()];
            let status = Status::new(Instant::now(), Hints { commands, ..Hints::default() });
            Self { plain: Plain::new(), status, text: vec![] }
        }

        fn show(&mut self, snapshot: &Snapshot, at_ms: u64) {
            let now = self.status.started + Duration::from_millis(at_ms);
            self.plain.write(&mut self.text, snapshot, &self.status, now).unwrap();
        }

        fn lines(&self) -> Vec<String> {
            String::from_utf8_lossy(&self.text).lines().skip(3).map(str::to_owned).collect()
        }
    }

    fn silent(agents: usize) -> Snapshot {
        let mut snapshot = complete(2);
        snapshot.agents.iter_mut().take(agents).for_each(|agent| agent.sight = None);
        snapshot
    }

    #[test]
    fn only_changes_are_told_and_not_too_often() {
        let mut log = Log::new();
        for at_ms in 0..500 {
            log.show(&silent(2), at_ms);
        }
        log.show(&silent(1), 500);
        log.show(&silent(1), 900);
        assert_eq!(
            log.lines(),
            ["  0.4 s  a1 does not answer; a2 does not answer", "  0.9 s  a1 does not answer"]
        );
    }

    #[test]
    fn each_message_is_told_once() {
        let mut log = Log::new();
        log.show(&complete(2), 0);
        for (at_ms, text) in [(100, "one"), (200, "two")] {
            log.status.notices.extend([text.to_owned()]);
            log.show(&complete(2), at_ms);
            log.show(&complete(2), at_ms + 50);
        }
        assert_eq!(log.lines()[..2], ["  0.1 s  one", "  0.2 s  two"]);
    }

    #[test]
    fn being_ready_is_told_at_once_and_once() {
        let mut log = Log::new();
        log.show(&silent(1), 0);
        log.show(&silent(1), 500);
        log.status.observe(&complete(2));
        log.show(&complete(2), 510);
        log.show(&complete(2), 900);
        let lines = log.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[1].starts_with("ready after 0.") && lines[1].contains("2 agents alive"));
    }
}
