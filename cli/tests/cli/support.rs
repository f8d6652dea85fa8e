//! An agent that answers from a script, so that the command line can be tested by itself.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread::{self, JoinHandle};

use futures_util::{SinkExt, StreamExt};
use hobnob_api::codec::BinaryCodec;
use hobnob_api::{Reply, Request, Response};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::codec::Framed;

/// Answers one connection: the n-th request gets the n-th list of responses. Then the connection ends.
pub(crate) struct ScriptedAgent {
    folder: TempDir,
    thread: JoinHandle<Vec<Request>>,
}

impl ScriptedAgent {
    /// Listens when this returns.
    pub(crate) fn start(script: Vec<Vec<Response>>) -> Self {
        let told = |responses: Vec<Response>| {
            responses.into_iter().map(|response| Reply::new(0, response)).collect()
        };
        Self::start_telling(script.into_iter().map(told).collect())
    }

    /// Listens when this returns. It answers with these replies, each with the number of its call.
    pub(crate) fn start_telling(script: Vec<Vec<Reply>>) -> Self {
        Self::start_telling_each(vec![script])
    }

    /// Listens when this returns. It answers one connection after the other, each by a script of its own.
    pub(crate) fn start_each(scripts: Vec<Vec<Vec<Response>>>) -> Self {
        let told = |responses: Vec<Response>| -> Vec<Reply> {
            responses.into_iter().map(|response| Reply::new(0, response)).collect()
        };
        let told = |script: Vec<Vec<Response>>| script.into_iter().map(told).collect();
        Self::start_telling_each(scripts.into_iter().map(told).collect())
    }

    fn start_telling_each(scripts: Vec<Vec<Vec<Reply>>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener =
            std::os::unix::net::UnixListener::bind(folder.path().join("a.sock")).unwrap();
        listener.set_nonblocking(true).unwrap();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(serve_each(listener, scripts))
        });
        Self { folder, thread }
    }

    /// The socket at which it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("a.sock")
    }

    /// Runs `hobnob` against it, and gives what that printed and what it asked.
    pub(crate) fn run(self, args: &[&str]) -> (Output, Vec<Request>) {
        let output = hobnob(args).env("HOBNOB_SOCKET", self.socket()).output().unwrap();
        (output, self.thread.join().unwrap())
    }
}

async fn serve_each(
    listener: std::os::unix::net::UnixListener,
    scripts: Vec<Vec<Vec<Reply>>>,
) -> Vec<Request> {
    let listener = UnixListener::from_std(listener).unwrap();
    let mut requests = vec![];
    for script in scripts {
        let (stream, _) = listener.accept().await.unwrap();
        requests.extend(serve(stream, script).await);
    }
    requests
}

async fn serve(stream: UnixStream, script: Vec<Vec<Reply>>) -> Vec<Request> {
    let mut connection = Framed::new(stream, BinaryCodec::server());
    let mut requests = vec![];
    for replies in script {
        let Some(call) = connection.next().await else { break };
        let call = call.unwrap().unwrap();
        requests.push(call.request);
        for reply in replies {
            // A command that ended before the script does is the point of some tests.
            let _ = connection.send(&Reply { id: call.id, ..reply }).await;
        }
    }
    requests
}

/// The binary, without what the environment of the tests would tell it.
pub(crate) fn hobnob(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hobnob"));
    let variables = std::env::vars_os().map(|(name, _)| name);
    for name in variables.filter(|name| name.to_string_lossy().starts_with("HOBNOB_")) {
        command.env_remove(name);
    }
    command.args(args);
    command
}

/// The text that a command wrote to stdout.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The text that a command wrote to stderr.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
