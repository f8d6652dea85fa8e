//! A template with its folder, and `hobnob template` at work on it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::agent::{Agent, hobnob, text};

/// The ids of the instances of `web`, between a first and a last line.
pub(super) const IDS: &str =
    "begin\n{% for web in service('web') %}\n{{ web.id }}\n{% endfor %}\nend\n";

/// A folder with a template.
pub(super) struct Folder {
    pub(super) home: tempfile::TempDir,
}

impl Folder {
    pub(super) fn new(template: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("a.tmpl"), template).unwrap();
        Self { home }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// `TEMPLATE:DESTINATION`, with a command behind it if there is one. In a command `@` is the folder.
    pub(super) fn spec(&self, command: &str) -> String {
        let (template, out) = (self.path("a.tmpl"), self.path("out"));
        let command = command.replace('@', &self.home.path().display().to_string());
        let colon = if command.is_empty() { "" } else { ":" };
        format!("{}:{}{colon}{command}", template.display(), out.display())
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

/// A running `hobnob template --json`, ended when dropped.
pub(super) struct Keeping {
    pub(super) child: Child,
    pub(super) events: Arc<Mutex<Vec<Value>>>,
    pub(super) told: Arc<Mutex<Vec<String>>>,
}

impl Keeping {
    pub(super) fn start(socket: &Path, args: &[&str]) -> Self {
        let mut command = hobnob(&[&["template", "--json"], args].concat());
        Self::run(command.env("HOBNOB_SOCKET", socket))
    }

    pub(super) fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (events, told) = (Arc::default(), Arc::default());
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let kept: Arc<Mutex<Vec<Value>>> = Arc::clone(&events);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        let kept: Arc<Mutex<Vec<String>>> = Arc::clone(&told);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                println!("template: {line}");
                kept.lock().unwrap().push(line);
            }
        });
        Self { child, events, told }
    }

    /// The outcomes so far.
    pub(super) fn outcomes(&self) -> Vec<String> {
        self.events.lock().unwrap().iter().map(|event| text(event, "outcome")).collect()
    }

    /// How many lines on stderr contain this text.
    pub(super) fn told(&self, text: &str) -> usize {
        self.told.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Asks it to end. Returns its exit code.
    pub(super) fn terminate(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn register(agent: &Agent, id: &str) {
    agent.ok(&["register", "web", "--id", id, "--port", "80"]);
}

/// The text of [`IDS`] for these.
pub(super) fn listed(ids: &[&str]) -> String {
    let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
    format!("begin\n{lines}end\n")
}

pub(super) fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
