//! The console in a real browser, which Playwright drives. A host without them is skipped.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::agent::{ANY_PORT, Agent};
use crate::consul::answering;
use crate::dns::Backends;
use crate::python::Python;

/// Drives the browser.
const DRIVER: &str = include_str!("console.py");
/// Whether a host has what the driver needs.
const CHECK: &str = "import shutil, sys, playwright.sync_api; \
                     sys.exit(not any(map(shutil.which, ['chromium', 'chromium-browser', 'google-chrome'])))";
const NEEDED: &str = "chromium, or no python3 with playwright (`pip install playwright`)";

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

#[test]
fn a_browser_shows_a_kill_filters_and_obeys_the_keyboard() {
    let home = tempfile::tempdir().unwrap();
    let (mut agent, port) = answering(home.path());
    let mut backends = Backends::start(3);
    backends.register(&agent, 1);
    let Some(mut browser) = Python::start(CHECK, NEEDED, DRIVER, &[&port]) else { return };
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
