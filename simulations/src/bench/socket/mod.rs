//! A pick over the unix socket of a real agent, beside a bare echo over one.
//!
//! The agent and the echo are processes of their own. The client, the bytes of a request and the bytes of an answer are the
//! same for both, and short rounds of one and the other alternate, so that a busy machine slows both alike.

mod calls;
mod echo;
pub(super) mod load;
mod watched;
mod wire;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::goals::quantile;
use super::row::{Goal, Row};
use crate::processes::{Api, Fleet, ProcessError};
use calls::{Calls, Latencies};
pub use echo::{EchoError, EchoSetting, serve as serve_echo};
use wire::Wire;

/// The service that is picked from.
const SERVICE: &str = "bench";
/// Instances of it.
const INSTANCES: usize = 10;
/// One-at-a-time calls of a round.
const CALLS_PER_ROUND: usize = 500;
/// Pipelined calls of a round.
const PIPELINED_PER_ROUND: usize = 10_000;
/// The echo must listen within this time.
const ECHO_STARTS_WITHIN: Duration = Duration::from_secs(10);
/// Between two tries to reach it.
const RETRY: Duration = Duration::from_millis(2);

/// The extent of the measurements.
#[derive(Clone, Copy, Debug)]
pub struct SocketEffort {
    /// Rounds of the agent and as many of the echo, for each encoding, one at a time and pipelined.
    pub rounds: usize,
    /// The duration of each part of the measurements under load.
    pub load: Duration,
}

/// Why the socket could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketBenchError {
    /// The agent failed.
    #[error(transparent)]
    Agent(#[from] ProcessError),
    /// The echo cannot be started.
    #[error("cannot start the echo, {}: {cause}", path.display())]
    Echo {
        /// The binary.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// A connection broke.
    #[error("the connection to {peer} failed: {cause}")]
    Connection {
        /// The agent or the echo.
        peer: &'static str,
        /// The cause.
        cause: io::Error,
    },
    /// An answer is not what was asked for.
    #[error("the agent refused a pick: {0}")]
    Refused(String),
}

/// Measures an agent of the binary `hobnob`. `echo` is the binary whose arguments `bench echo` start the echo; `told` hears
/// how far it is.
///
/// # Errors
/// The agent or the echo cannot be started or asked.
pub fn measure(
    hobnob: &Path,
    echo: &Path,
    effort: SocketEffort,
    mut told: impl FnMut(&str),
) -> Result<Vec<Row>, SocketBenchError> {
    let mut fleet = Fleet::new(hobnob)?;
    fleet.start(None)?;
    let mut api = fleet.connect(0)?;
    register(&mut api)?;
    let mut rows = Vec::new();
    for wire in [Wire::Json, Wire::Binary] {
        told(&format!("picks in {}", wire.name()));
        beside_echoes(wire, &fleet, echo, effort.rounds, &mut rows)?;
    }
    told("scoped picks under a storm of registrations");
    load::scoped(&fleet, effort.load, &mut rows)?;
    told("idle watchers");
    load::watchers(&fleet, effort.load, &mut rows)?;
    told("watches of what changes");
    watched::watched(&fleet, effort.load, &mut rows)?;
    Ok(rows)
}

fn register(api: &mut Api) -> Result<(), ProcessError> {
    for instance in 0..INSTANCES {
        api.done(
            "registered",
            &json!({ "register": {
            "service": SERVICE,
            "id": format!("{SERVICE}-{instance}"),
            "port": 8_000 + instance,
            "tags": ["http", "v1"],
            "meta": { "version": "1.2.3", "tier": "front" },
        } }),
        )?;
    }
    Ok(())
}

/// Measures one encoding beside echoes with the same bytes.
fn beside_echoes(
    wire: Wire,
    fleet: &Fleet,
    echo: &Path,
    rounds: usize,
    rows: &mut Vec<Row>,
) -> Result<(), SocketBenchError> {
    let (name, request) = (wire.name(), wire.request(SERVICE, None));
    let mut agent = Calls::connect("the agent", &fleet.socket(0), wire)?;
    let reply = agent.first(&request)?;
    let sizes = format!("{} B asked, {} B answered", request.len(), reply.len());
    let socket = |kind: &str| fleet.folder().join(format!("echo-{name}-{kind}.sock"));
    let bare = Echo::start(echo, &socket("bare"), request.len(), &reply, false)?;
    let mut bare = bare.connect(wire)?;
    let batching = Echo::start(echo, &socket("batching"), request.len(), &reply, true)?;
    let mut batching = batching.connect(wire)?;

    let mut latencies = [Latencies::default(), Latencies::default()];
    // The first round warms up.
    for round in 0..=rounds {
        for (calls, latencies) in [&mut bare.calls, &mut agent].into_iter().zip(&mut latencies) {
            let mut ignored = Latencies::default();
            let into = if round > 0 { latencies } else { &mut ignored };
            calls.one_at_a_time(&request, CALLS_PER_ROUND, into)?;
        }
    }
    for (what, share) in [("p50", 0.5), ("p99", 0.99)] {
        let [floor, measured] = latencies.each_ref().map(|one| one.quantile_us(share));
        rows.push(Row::new(format!("{name}, one at a time, {what}"), measured, "us").note(&sizes));
        rows.push(Row::new(format!("{name}, bare echo, {what}"), floor, "us"));
        let ratio = Row::new(format!("{name}, {what} over the bare echo's"), measured / floor, "x");
        rows.push(if what == "p50" { ratio.goal(Goal::AtMost(1.5)) } else { ratio });
    }

    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..=rounds {
        let all = [&mut bare.calls, &mut batching.calls, &mut agent];
        for (calls, rates) in all.into_iter().zip(&mut rates) {
            let rate = calls.pipelined(&request, PIPELINED_PER_ROUND)?;
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let [bare, batching, agent] = rates.map(|rates| quantile(&rates, 0.5).unwrap_or(f64::NAN));
    rows.push(Row::new(format!("{name}, pipelined"), agent, "/s"));
    rows.push(Row::new(format!("{name}, bare echo, pipelined"), bare, "/s"));
    rows.push(Row::new(format!("{name}, batching echo, pipelined"), batching, "/s"));
    let over_bare = Row::new(format!("{name}, pipelined over the bare echo's"), agent / bare, "x");
    rows.push(over_bare.goal(Goal::AtLeast(0.6)));
    let what = format!("{name}, pipelined over the batching echo's");
    rows.push(Row::new(what, agent / batching, "x"));
    Ok(())
}

/// The process of an echo; it ends with this.
struct Echo {
    process: Child,
    socket: PathBuf,
}

/// A connection to an echo, with its process.
struct ConnectedEcho {
    calls: Calls,
    _process: Echo,
}

impl Echo {
    /// Starts an echo that answers every `request_bytes` bytes with `reply`.
    fn start(
        binary: &Path,
        socket: &Path,
        request_bytes: usize,
        reply: &[u8],
        batching: bool,
    ) -> Result<Self, SocketBenchError> {
        let failed = |cause| SocketBenchError::Echo { path: binary.to_owned(), cause };
        let reply_file = socket.with_extension("reply");
        fs::write(&reply_file, reply).map_err(failed)?;
        let mut command = Command::new(binary);
        command.args(["bench", "echo", "--socket"]).arg(socket);
        command.args(["--request-bytes", &request_bytes.to_string(), "--reply"]).arg(reply_file);
        command.args(batching.then_some("--batching"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.spawn().map_err(failed)?;
        Ok(Self { process, socket: socket.to_owned() })
    }

    /// Connects as soon as it listens.
    fn connect(self, wire: Wire) -> Result<ConnectedEcho, SocketBenchError> {
        let since = Instant::now();
        loop {
            match Calls::connect("the echo", &self.socket, wire) {
                Ok(calls) => return Ok(ConnectedEcho { calls, _process: self }),
                Err(error) if since.elapsed() > ECHO_STARTS_WITHIN => return Err(error),
                Err(_) => thread::sleep(RETRY),
            }
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // Both fail only for a process that has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
