//! The cost of changes of other instances: scoped picks while registrations storm, and watchers that nothing concerns.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::calls::{Calls, Latencies};
use super::wire::Wire;
use super::{SERVICE, SocketBenchError};
use crate::bench::row::{Goal, Row};
use crate::processes::{Api, Fleet, ProcessError, Usage};

/// Instances of the service with many scopes.
const SCOPED_INSTANCES: usize = STORMERS * INSTANCES_PER_STORMER;
/// Clients that change them. A registration waits for the disk, and one client waits for its registration.
const STORMERS: usize = 4;
const INSTANCES_PER_STORMER: usize = 50;
/// Scopes that are picked from in turn, as many as an agent keeps for a service.
const SCOPES: usize = 64;
/// Changes of that service a second.
const STORM_PER_SECOND: u32 = 200;
/// Parts of a measurement in calm, each followed by one in a storm.
const ALTERNATIONS: u32 = 4;
/// Watchers that no change concerns.
const WATCHERS: usize = 2_000;
/// Services that they watch.
const WATCHED_SERVICES: usize = 20;
/// Watches that a connection may have.
const WATCHES_PER_CONNECTION: usize = 64;
/// Changes a second of a service that none of them watches.
pub(in crate::bench) const CHANGES_PER_SECOND: u32 = 50;
/// A watch that has no first answer within this time has none.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Picks with a selector, in calm and while the same service changes all the time.
pub(super) fn scoped(
    fleet: &Fleet,
    lasts: Duration,
    rows: &mut Vec<Row>,
) -> Result<(), SocketBenchError> {
    let mut stormers = Vec::new();
    for number in 0..STORMERS {
        let mut stormer = Stormer { api: fleet.connect(0)?, number, changes: 0 };
        for _ in 0..INSTANCES_PER_STORMER {
            stormer.change()?;
        }
        stormers.push(stormer);
    }
    let requests: Vec<Vec<u8>> = (0..SCOPES)
        .map(|scope| Wire::Json.request("bench-scoped", Some(&format!("shard={scope}"))))
        .collect();
    let mut calls = Calls::connect("the agent", &fleet.socket(0), Wire::Json)?;
    for request in &requests {
        calls.first(request)?;
    }
    let (mut calm, mut stormy) = (Latencies::default(), Latencies::default());
    let part = lasts / ALTERNATIONS;
    for _ in 0..ALTERNATIONS {
        pick_for(&mut calls, &requests, part, &mut calm)?;
        let ends = &AtomicBool::new(false);
        thread::scope(|scope| {
            let storm = |stormer: &'_ mut Stormer| {
                repeat_until(ends, STORM_PER_SECOND / STORMERS as u32, |_| stormer.change())
            };
            let storms: Vec<_> =
                stormers.iter_mut().map(|stormer| scope.spawn(move || storm(stormer))).collect();
            let picked = pick_for(&mut calls, &requests, part, &mut stormy);
            ends.store(true, Ordering::Relaxed);
            picked?;
            for storm in storms {
                storm.join().expect("a storm does not panic")?;
            }
            Ok::<_, SocketBenchError>(())
        })?;
    }
    let changes: usize = stormers.iter().map(|stormer| stormer.changes).sum();
    let changes = changes - SCOPED_INSTANCES;
    let rate = changes as f64 / lasts.as_secs_f64();
    let sizes = format!("{SCOPES} selectors in turn over {SCOPED_INSTANCES} instances");
    for (what, share) in [("p50", 0.5), ("p99", 0.99)] {
        let (calm, stormy) = (calm.quantile_us(share), stormy.quantile_us(share));
        rows.push(Row::new(format!("scoped pick, calm, {what}"), calm, "us").note(&sizes));
        let note = format!("{rate:.0} changes/s of that service");
        rows.push(Row::new(format!("scoped pick, storm, {what}"), stormy, "us").note(&note));
        let ratio = Row::new(format!("scoped pick, storm over calm, {what}"), stormy / calm, "x");
        rows.push(if what == "p99" { ratio.goal(Goal::AtMost(3.0)) } else { ratio });
    }
    Ok(())
}

/// A client that changes its share of the instances of the service with many scopes, again and again.
struct Stormer {
    api: Api,
    number: usize,
    /// Changes so far.
    changes: usize,
}

impl Stormer {
    /// Registers the next instance, with another weight than the last time.
    fn change(&mut self) -> Result<(), ProcessError> {
        let instance = self.number * INSTANCES_PER_STORMER + self.changes % INSTANCES_PER_STORMER;
        let request = json!({ "register": {
            "service": "bench-scoped",
            "id": format!("bench-scoped-{instance}"),
            "port": 9_000,
            "weight": 1 + self.changes / INSTANCES_PER_STORMER % 2,
            "meta": { "shard": (instance % SCOPES).to_string() },
        } });
        self.changes += 1;
        self.api.done("registered", &request)
    }
}

fn pick_for(
    calls: &mut Calls,
    requests: &[Vec<u8>],
    lasts: Duration,
    latencies: &mut Latencies,
) -> Result<(), SocketBenchError> {
    let since = Instant::now();
    for request in requests.iter().cycle() {
        if since.elapsed() >= lasts {
            break;
        }
        calls.one_at_a_time(request, 1, latencies)?;
    }
    Ok(())
}

/// The usage of the agent's process while a service changes that none of many watchers watches.
pub(super) fn watchers(
    fleet: &Fleet,
    lasts: Duration,
    rows: &mut Vec<Row>,
) -> Result<(), SocketBenchError> {
    let mut api = fleet.connect(0)?;
    for service in 0..WATCHED_SERVICES {
        let service = format!("watched-{service}");
        api.done("registered", &json!({ "register": { "service": service, "port": 80 } }))?;
    }
    let alone = share_while(fleet.pid(0), &mut api, change, lasts)?;
    let watches = watch(&fleet.socket(0))?;
    let watched = share_while(fleet.pid(0), &mut api, change, lasts)?;
    drop(watches);
    let what = |watchers: usize| {
        format!("processor, {CHANGES_PER_SECOND} changes/s, {watchers} watchers of other services")
    };
    rows.push(Row::new(what(0), alone, "%"));
    rows.push(Row::new(what(WATCHERS), watched, "%").goal(Goal::AtMost(5.0)));
    Ok(())
}

/// A change of one instance, which no bench watches.
pub(in crate::bench) fn change(number: usize) -> Value {
    json!({ "register": { "service": SERVICE, "id": "changing", "port": 10_000 + number % 2 } })
}

/// Percent of a core that a process uses while changes are made by this connection.
pub(in crate::bench) fn share_while(
    pid: u32,
    api: &mut Api,
    change: impl Fn(usize) -> Value + Sync,
    lasts: Duration,
) -> Result<f64, SocketBenchError> {
    let (before, since) = (Usage::of(pid)?, Instant::now());
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        let changing = scope.spawn(|| {
            repeat_until(&ends, CHANGES_PER_SECOND, |n| api.done("registered", &change(n)))
        });
        thread::sleep(lasts);
        ends.store(true, Ordering::Relaxed);
        changing.join().expect("changes do not panic")
    })?;
    let used = Usage::of(pid)?.cpu.saturating_sub(before.cpu);
    Ok(used.as_secs_f64() / since.elapsed().as_secs_f64() * 100.0)
}

/// Opens watches of services that do not change.
fn watch(socket: &Path) -> Result<Vec<UnixStream>, SocketBenchError> {
    open_watches(socket, WATCHERS, |number| {
        let service = format!("watched-{}", number % WATCHED_SERVICES);
        json!({ "watch": { "service": service } })
    })
}

/// Opens watches, each of which has told its instances when this returns. They end with what is returned.
pub(super) fn open_watches(
    socket: &Path,
    watches: usize,
    request: impl Fn(usize) -> Value,
) -> Result<Vec<UnixStream>, SocketBenchError> {
    let failed = |cause| SocketBenchError::Connection { peer: "the agent", cause };
    let numbers: Vec<usize> = (0..watches).collect();
    let mut connections = Vec::new();
    for numbers in numbers.chunks(WATCHES_PER_CONNECTION) {
        let calls = numbers.iter().map(|n| json!({ "id": n, "request": request(*n) }));
        let requests: String = calls.map(|call| format!("{call}\n")).collect();
        let stream = UnixStream::connect(socket).map_err(failed)?;
        stream.set_read_timeout(Some(FIRST_ANSWER_TIMEOUT)).map_err(failed)?;
        (&stream).write_all(requests.as_bytes()).map_err(failed)?;
        let mut answers = BufReader::new(&stream);
        for _ in numbers {
            let mut line = String::new();
            answers.read_line(&mut line).map_err(failed)?;
            if !line.contains("\"instances\"") {
                return Err(SocketBenchError::Refused(line));
            }
        }
        connections.push(stream);
    }
    Ok(connections)
}

/// Does something at a steady rate, as far as it is fast enough.
pub(in crate::bench) fn repeat_until<E>(
    ends: &AtomicBool,
    per_second: u32,
    mut once: impl FnMut(usize) -> Result<(), E>,
) -> Result<(), E> {
    let (since, mut done) = (Instant::now(), 0);
    while !ends.load(Ordering::Relaxed) {
        once(done)?;
        done += 1;
        let due = Duration::from_secs_f64(done as f64 / f64::from(per_second));
        thread::sleep(due.saturating_sub(since.elapsed()));
    }
    Ok(())
}
