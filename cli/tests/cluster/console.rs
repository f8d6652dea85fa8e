//! The console in a real browser, which Playwright drives. A host without them is skipped.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::agent::{ANSWER_TIMEOUT, ANY_PORT, Agent};
use crate::consul::answering;
use crate::dns::Backends;

/// Drives the browser.
const DRIVER: &str = include_str!("console.py");
/// Whether a host has what the driver needs.
const CHECK: &str = "import shutil, sys, playwright.sync_api; \
                     sys.exit(not any(map(shutil.which, ['chromium', 'chromium-browser', 'google-chrome'])))";

/// The driver, until it is dropped.
struct Driver {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Driver {
    /// Starts it; `None` where it cannot run.
    fn start(port: &str) -> Option<Self> {
        let mut check = Command::new("python3");
        check.args(["-c", CHECK]).stdout(Stdio::null()).stderr(Stdio::null());
        if !check.status().is_ok_and(|status| status.success()) {
            println!(
                "skipped: this host has no chromium, or no python3 with playwright (`pip install playwright`)"
            );
            return None;
        }
        let mut command = Command::new("python3");
        command.args(["-c", DRIVER, port]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (said, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        // It ends with the driver, or with this test.
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| said.send(line))
        });
        Some(Self { stdin: child.stdin.take().unwrap(), child, lines })
    }

    /// Reads until it says a line that begins so. What it says by the way is printed.
    fn comes_to(&mut self, expected: &str) {
        let since = Instant::now();
        loop {
            let left = (2 * ANSWER_TIMEOUT).saturating_sub(since.elapsed());
            let said = self.lines.recv_timeout(left);
            let said = said.unwrap_or_else(|_| panic!("the browser did not come to `{expected}`"));
            println!("{said}");
            if said.starts_with(expected) {
                return;
            }
        }
    }

    fn answer(&mut self, text: &str) {
        writeln!(self.stdin, "{text}").unwrap();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended. Its browser ends with it.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

#[test]
fn a_browser_shows_a_kill_filters_and_obeys_the_keyboard() {
    let home = tempfile::tempdir().unwrap();
    let (mut agent, port) = answering(home.path());
    let mut backends = Backends::start(3);
    backends.register(&agent, 1);
    let Some(mut browser) = Driver::start(&port) else { return };
    for step in ["all is well", "the keyboard alone suffices", "the filter works", "kill web-2"] {
        browser.comes_to(step);
    }
    let killed_at = now_ms();
    backends.kill(2);
    browser.answer(&killed_at.to_string());
    for step in ["red", "the service is not red", "kill the agent"] {
        browser.comes_to(step);
    }
    agent.kill();
    browser.answer("killed");
    browser.comes_to("stale");
    browser.comes_to("restart the agent");
    let _agent =
        Agent::start_with(home.path(), "a1", ANY_PORT, &[format!("--http=127.0.0.1:{port}")]);
    browser.answer("restarted");
    browser.comes_to("live again");
}
