//! Questions over HTTP to a real agent, beside the same ones over its unix socket.

mod calls;
mod waits;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::goals::quantile;
use super::row::{Goal, Row};
use super::socket::SocketBenchError;
use super::socket::load::repeat_until;
use crate::processes::{Fleet, ProcessError, Usage};
use calls::{AskError, Asker};

/// The service that is asked for, and its instances.
const SERVICE: &str = "bench";
const INSTANCES: usize = 10;
/// Questions a second.
const RATE: u32 = 5_000;
/// Connections that share them.
const CONNECTIONS: u32 = 10;
/// Parts of a measurement. One over HTTP and one over the unix socket take turns, so that a busy machine slows both alike.
const PARTS: u32 = 5;

/// Why HTTP could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpBenchError {
    /// The agent failed.
    #[error(transparent)]
    Agent(#[from] ProcessError),
    /// Changes of a service could not be made.
    #[error(transparent)]
    Changes(#[from] SocketBenchError),
    /// A question got no answer.
    #[error(transparent)]
    Asked(#[from] AskError),
    /// A port or a socket cannot be had.
    #[error("the system gives no socket: {0}")]
    Socket(#[from] io::Error),
}

/// Measures an agent of the binary `hobnob`, for so long in each part. `told` hears how far it is.
///
/// # Errors
/// The agent cannot be started or asked.
pub fn measure(
    hobnob: &Path,
    lasts: Duration,
    mut told: impl FnMut(&str),
) -> Result<Vec<Row>, HttpBenchError> {
    let mut fleet = Fleet::new(hobnob)?.with("HOBNOB_HTTP", "127.0.0.1:0");
    fleet.start(None)?;
    let at = fleet.door(0, "http")?;
    let mut api = fleet.connect(0)?;
    for instance in 0..INSTANCES {
        let id = format!("{SERVICE}-{instance}");
        let register = json!({ "service": SERVICE, "id": id, "address": "127.0.0.1", "port": 8_000 + instance });
        api.done("registered", &json!({ "register": register }))?;
    }
    let mut rows = Vec::new();
    for (name, path) in [
        ("resolve", format!("/v1/hobnob/resolve?service={SERVICE}")),
        ("health/service", format!("/v1/health/service/{SERVICE}?passing")),
    ] {
        told(&format!("{RATE} questions a second, {name}"));
        beside_the_socket(&fleet, at, (name, &path), lasts, &mut rows)?;
    }
    told("questions that wait");
    waits::waits(&fleet, at, lasts, &mut rows)?;
    Ok(rows)
}

/// The times of the questions of one part, in microseconds, and the processor time that the agent took for them.
#[derive(Default)]
struct Part {
    latencies: Vec<f64>,
    cpu: Duration,
    took: Duration,
}

impl Part {
    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.cpu += other.cpu;
        self.took += other.took;
    }

    fn quantile_us(&self, share: f64) -> f64 {
        quantile(&self.latencies, share).unwrap_or(f64::NAN)
    }
}

/// Asks at a given rate over HTTP, and resolves the same service over the unix socket at the same rate.
fn beside_the_socket(
    fleet: &Fleet,
    at: SocketAddr,
    (name, path): (&str, &str),
    lasts: Duration,
    rows: &mut Vec<Row>,
) -> Result<(), HttpBenchError> {
    let http =
        || -> Result<Asker, HttpBenchError> { Ok(Asker::http(TcpStream::connect(at)?, path)?) };
    let unix = || -> Result<Asker, HttpBenchError> {
        let request = json!({ "id": 1, "request": { "resolve": { "service": SERVICE } } });
        Ok(Asker::lines(UnixStream::connect(fleet.socket(0))?, &request)?)
    };
    let bytes = http()?.ask()?.len();
    let (mut of_http, mut of_unix) = (Part::default(), Part::default());
    for _ in 0..PARTS {
        of_http.add(paced(fleet, http, lasts / PARTS)?);
        of_unix.add(paced(fleet, unix, lasts / PARTS)?);
    }
    let what = |what: &str| format!("{RATE} {name}/s over HTTP: {what}");
    let rate = of_http.latencies.len() as f64 / of_http.took.as_secs_f64();
    let sizes = format!("{bytes} B answered, {INSTANCES} instances, {CONNECTIONS} connections");
    let asked = Row::new(what("answered"), rate, "/s").note(&sizes);
    rows.push(asked.goal(Goal::AtLeast(f64::from(RATE) * 0.99)));
    let share = |part: &Part| part.cpu.as_secs_f64() / part.took.as_secs_f64() * 100.0;
    rows.push(Row::new(what("processor"), share(&of_http), "%").goal(Goal::AtMost(100.0)));
    rows.push(Row::new(what("processor, over the unix socket"), share(&of_unix), "%"));
    for (percentile, share) in [("p50", 0.5), ("p99", 0.99)] {
        let (http, unix) = (of_http.quantile_us(share), of_unix.quantile_us(share));
        rows.push(Row::new(what(percentile), http, "us"));
        rows.push(Row::new(what(&format!("{percentile} over the unix socket")), unix, "us"));
        let ratio =
            Row::new(what(&format!("{percentile} over the unix socket's")), http / unix, "x");
        rows.push(if percentile == "p99" { ratio.goal(Goal::AtMost(2.0)) } else { ratio });
    }
    Ok(())
}

/// Asks on several connections at [`RATE`] together.
fn paced(
    fleet: &Fleet,
    connect: impl Fn() -> Result<Asker, HttpBenchError>,
    lasts: Duration,
) -> Result<Part, HttpBenchError> {
    let askers = (0..CONNECTIONS).map(|_| connect()).collect::<Result<Vec<_>, _>>()?;
    let ends = AtomicBool::new(false);
    let (pid, since) = (fleet.pid(0), Instant::now());
    let before = Usage::of(pid)?.cpu;
    let asked: Result<Vec<Vec<f64>>, AskError> = thread::scope(|scope| {
        let ends = &ends;
        let asking: Vec<_> =
            askers.into_iter().map(|asker| scope.spawn(move || ask(asker, ends))).collect();
        thread::sleep(lasts);
        ends.store(true, Ordering::Relaxed);
        asking.into_iter().map(|asking| asking.join().expect("it does not panic")).collect()
    });
    let took = since.elapsed();
    let cpu = Usage::of(pid)?.cpu.saturating_sub(before);
    Ok(Part { latencies: asked?.concat(), cpu, took })
}

/// The times from each question to its answer.
fn ask(mut asker: Asker, ends: &AtomicBool) -> Result<Vec<f64>, AskError> {
    let mut latencies = Vec::new();
    repeat_until(ends, RATE / CONNECTIONS, |_| {
        let since = Instant::now();
        asker.ask()?;
        latencies.push(since.elapsed().as_secs_f64() * 1e6);
        Ok::<_, AskError>(())
    })?;
    Ok(latencies)
}
