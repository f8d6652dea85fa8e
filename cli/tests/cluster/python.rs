//! Programs in Python that the tests talk with: what one sees is a line on its stdout, and a line on its stdin lets it go on.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use crate::agent::ANSWER_TIMEOUT;

/// A program, until it is dropped.
pub(crate) struct Python {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Python {
    /// Starts a program. `None` on a host where the program `check` fails, and which so has no `needed`.
    pub(crate) fn start(check: &str, needed: &str, text: &str, args: &[&str]) -> Option<Self> {
        let mut checking = Command::new("python3");
        checking.args(["-c", check]).stdout(Stdio::null()).stderr(Stdio::null());
        if !checking.status().is_ok_and(|status| status.success()) {
            println!("skipped: this host has no {needed}");
            return None;
        }
        let mut command = Command::new("python3");
        command.args(["-c", text]).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (said, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        // It ends with the program, or with this test.
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| said.send(line))
        });
        Some(Self { stdin: child.stdin.take().unwrap(), child, lines })
    }

    /// Expects this as its next line.
    pub(crate) fn says(&mut self, expected: &str) {
        let said = self.lines.recv_timeout(ANSWER_TIMEOUT);
        assert_eq!(said.as_deref(), Ok(expected));
    }

    /// Reads until it says a line that begins so, and prints what it says.
    pub(crate) fn comes_to(&mut self, expected: &str) {
        let since = Instant::now();
        loop {
            // It may have several steps to take.
            let left = (2 * ANSWER_TIMEOUT).saturating_sub(since.elapsed());
            let said = self.lines.recv_timeout(left);
            let said = said.unwrap_or_else(|_| panic!("the program did not come to `{expected}`"));
            println!("{said} (after {} ms)", since.elapsed().as_millis());
            if said.starts_with(expected) {
                return;
            }
        }
    }

    /// Hands it a line.
    pub(crate) fn answer(&mut self, text: &str) {
        writeln!(self.stdin, "{text}").unwrap();
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
