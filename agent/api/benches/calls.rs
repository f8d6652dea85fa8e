//! Calls beside a bare hyper client and beside round robin, and calls that meet failures.
//!
//! `cargo bench -p hobnob-api --features call --bench calls` takes about a minute and a half. Everything is on loopback;
//! the servers whose time would count run in processes of their own. Only ratios of one run mean anything.

#![expect(clippy::unwrap_used, reason = "what cannot be set up ends the benchmark")]

#[path = "../tests/calls/support.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod support;

use std::env;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hobnob_api::Strategy;
use hobnob_api::calls::Protocol;
use hobnob_api::calls::http::{Method, Request};
use hobnob_api::discovery::{Discovery, DiscoveryConfig};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::time::{ClockId, clock_gettime};
use support::{Behaviour, Server, Web, instance, web};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// The word with which the benchmark starts itself as a server.
const SERVE: &str = "serve-for-the-benchmark";
const ROUNDS: usize = 30;
const CALLS_A_ROUND: u32 = 2_000;
/// The rate of calls that meet servers that fail and die.
const RATE: u64 = 1_000;
/// The rate of calls that meet a slow server: low, so that no queue of this process shows in the times.
const SLOW_RATE: u64 = 200;

fn main() {
    if env::args().any(|arg| arg == SERVE) {
        serve();
    }
    cost();
    slow();
    failing();
    for method in [Method::GET, Method::POST] {
        killed(&method);
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Serves until it is killed.
fn serve() -> ! {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let server = Server::start(Behaviour::Answer(200)).await;
        println!("{}", server.address);
        loop {
            sleep(Duration::from_secs(3_600)).await;
        }
    })
}

/// A server in a process of its own. It is killed when dropped.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start() -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        let mut child = command.arg(SERVE).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().parse().unwrap() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The time and the processor time of each call of a round, in microseconds.
async fn measured<F: AsyncFnMut()>(mut call: F) -> [f64; 2] {
    let processor = || Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap();
    let (begun, used) = (Instant::now(), processor());
    for _ in 0..CALLS_A_ROUND {
        call().await;
    }
    [begun.elapsed(), processor() - used]
        .map(|time| time.as_secs_f64() * 1e6 / f64::from(CALLS_A_ROUND))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One call after the other over one connection, with a bare hyper client and with the library in turn.
fn cost() {
    let server = Process::start();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let rounds = runtime.block_on(async {
        let stream = TcpStream::connect(server.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut bare, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let library = web(vec![instance("web-1", server.address)], |_| {}).await;
        let request = || Request::get("/").header("host", "web");
        let mut rounds = Vec::new();
        for round in 0..ROUNDS {
            let of_bare = measured(async || {
                bare.ready().await.unwrap();
                let request = request().body(Empty::<Bytes>::new()).unwrap();
                let answer = bare.send_request(request).await.unwrap();
                answer.into_body().collect().await.unwrap();
            })
            .await;
            let of_library = measured(async || {
                let answer = library.call(request().body(()).unwrap()).await.unwrap();
                answer.discard().await.unwrap();
            })
            .await;
            // The first round warms up.
            if round > 0 {
                rounds.push((of_bare, of_library));
            }
        }
        rounds
    });
    println!("a call over one connection, {} rounds in turn, medians:", rounds.len());
    for (at, what) in ["time", "processor time of the client"].into_iter().enumerate() {
        let bare = median(rounds.iter().map(|(bare, _)| bare[at]).collect());
        let library = median(rounds.iter().map(|(_, library)| library[at]).collect());
        let ratio = median(rounds.iter().map(|(bare, library)| library[at] / bare[at]).collect());
        println!("  {what}: bare hyper {bare:.2} us, library {library:.2} us, ratio {ratio:.3}");
    }
}

/// How calls at a steady rate went, whether or not earlier ones have ended.
#[derive(Default)]
struct Went {
    latencies: Vec<Duration>,
    failed: u64,
}

impl Went {
    fn quantile(&mut self, share: f64) -> f64 {
        self.latencies.sort_unstable();
        let rank = (share * self.latencies.len() as f64).ceil() as usize;
        self.latencies[rank - 1].as_secs_f64() * 1e3
    }
}

/// Calls at a steady rate for a time.
async fn at_rate(discovery: &Arc<Discovery>, method: &Method, rate: u64, time: Duration) -> Went {
    let mut ticks = interval(Duration::from_micros(1_000_000 / rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (begun, failed) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let mut calls = Vec::new();
    while begun.elapsed() < time {
        let due = ticks.tick().await.into_std();
        let (discovery, failed) = (discovery.clone(), failed.clone());
        let request = Request::builder().method(method).uri("/").body(()).unwrap();
        calls.push(tokio::spawn(async move {
            let is_failure = match discovery.call(request).await {
                Ok(answer) if answer.status().is_server_error() => true,
                Ok(answer) => answer.discard().await.is_err(),
                Err(_) => true,
            };
            failed.fetch_add(u64::from(is_failure), Relaxed);
            due.elapsed()
        }));
    }
    let mut went = Went::default();
    for call in calls {
        went.latencies.push(call.await.unwrap());
    }
    went.failed = failed.load(Relaxed);
    went
}

async fn ten(
    first: Behaviour,
    other: Behaviour,
    change: impl FnOnce(&mut DiscoveryConfig),
) -> (Web, Server) {
    let odd = Server::start(first).await;
    let mut instances = vec![instance("odd", odd.address)];
    for n in 1..10 {
        instances.push(instance(&format!("web-{n}"), Server::start(other).await.address));
    }
    let web = web(instances, |config| {
        config.calls.protocol = Protocol::Http1;
        change(config);
    })
    .await;
    web.ready().await;
    (web, odd)
}

/// One of ten servers takes ten times as long.
fn slow() {
    println!(
        "one of 10 servers takes 20 ms and the others 2 ms, {SLOW_RATE} calls a second for 8 s:"
    );
    let measure = |what: &str, change: fn(&mut DiscoveryConfig)| {
        let mut went = runtime().block_on(async {
            let [slow, fast] = [20, 2].map(|ms| Behaviour::Slow(Duration::from_millis(ms)));
            let (web, _odd) = ten(slow, fast, change).await;
            // Connections come about, and averages.
            at_rate(&web, &Method::GET, SLOW_RATE, Duration::from_secs(1)).await;
            at_rate(&web, &Method::GET, SLOW_RATE, Duration::from_secs(8)).await
        });
        let (p50, p99) = (went.quantile(0.5), went.quantile(0.99));
        println!("  {what}: p50 {p50:.2} ms, p99 {p99:.2} ms, {} failed", went.failed);
        p99
    };
    let turns = measure("round robin", |config| config.strategy = Strategy::RoundRobin);
    let ewma = measure("peak EWMA, the default of calls", |_| {});
    let least = measure("least connections", |config| config.strategy = Strategy::LeastConnections);
    let hedged = measure("round robin, hedged after the p95", |config| {
        config.strategy = Strategy::RoundRobin;
        config.calls.hedge_quantile = Some(0.95);
    });
    let [ewma, least, hedged] = [ewma, least, hedged].map(|p99| p99 / turns);
    println!("  p99 over that of round robin: {ewma:.3}, {least:.3}, hedged {hedged:.3}");
}

/// One of ten servers fails every call from one moment on.
fn failing() {
    let (went, stats) = runtime().block_on(async {
        let well = Behaviour::Answer(200);
        let (web, odd) = ten(well, well, |_| {}).await;
        let fails = tokio::spawn(async move {
            sleep(Duration::from_secs(2)).await;
            odd.becomes(Behaviour::Answer(500));
            odd
        });
        let went = at_rate(&web, &Method::GET, RATE, Duration::from_secs(10)).await;
        fails.await.unwrap();
        (went, web.call_stats())
    });
    println!("one of 10 servers fails every call after 2 s, {RATE} calls a second for 10 s, GET:");
    let share = 100.0 * went.failed as f64 / stats.calls as f64;
    println!(
        "  {} calls, {} failed ({share:.3} %), {} retries",
        stats.calls, went.failed, stats.retries
    );
}

/// One of three servers is killed.
fn killed(method: &Method) {
    let [killed, other, third] = [(); 3].map(|()| Process::start());
    let addresses = [killed.address, other.address, third.address];
    let (went, stats, in_flight) = runtime().block_on(async {
        let named = |(n, address): (usize, &SocketAddr)| instance(&format!("web-{n}"), *address);
        let instances = addresses.iter().enumerate().map(named).collect();
        let web = web(instances, |_| {}).await;
        web.ready().await;
        let (discovery, mut killed) = (Arc::clone(&web), killed);
        let kill = tokio::spawn(async move {
            sleep(Duration::from_secs(2)).await;
            // A process that stands still has calls in flight when it is killed.
            let pid = rustix::process::Pid::from_child(&killed.child);
            rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
            sleep(Duration::from_millis(20)).await;
            let standings = discovery.standings();
            let in_flight =
                standings.iter().find(|one| one.instance.id == "web-0").unwrap().in_flight;
            killed.child.kill().unwrap();
            (in_flight, killed)
        });
        let went = at_rate(&web, method, RATE, Duration::from_secs(5)).await;
        let (in_flight, _killed) = kill.await.unwrap();
        (went, web.call_stats(), in_flight)
    });
    println!("one of 3 servers is killed after 2 s, {RATE} calls a second for 5 s, {method}:");
    println!(
        "  {} calls, {} failed, {in_flight} were in flight there, {} retries",
        stats.calls, went.failed, stats.retries
    );
}
