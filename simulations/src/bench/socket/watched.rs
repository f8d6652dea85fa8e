//! The cost of watches that changes concern: processor time and memory of the agent.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::SocketBenchError;
use super::load::{open_watches, repeat_until};
use crate::bench::row::{Goal, Row};
use crate::processes::{Api, Fleet, Usage};

/// Watches.
const WATCHES: usize = 3_000;
/// Services that change, one after the other, while the watches are spread over them.
const SERVICES: usize = 300;
/// Changes a second, of all services together.
const CHANGES_PER_SECOND: u32 = 50;

/// What the watches follow.
#[derive(Clone, Copy)]
enum Follow {
    /// The services in turn.
    Spread,
    /// The first service, which alone changes.
    One,
    /// All services, by as many watches.
    All(usize),
}

impl Follow {
    fn watches(self) -> usize {
        match self {
            Self::Spread | Self::One => WATCHES,
            Self::All(watches) => watches,
        }
    }

    fn request(self, number: usize) -> Value {
        match self {
            Self::Spread => json!({ "watch": { "service": name(number % SERVICES) } }),
            Self::One => json!({ "watch": { "service": name(0) } }),
            Self::All(_) => json!({ "watch_all": {} }),
        }
    }
}

fn name(service: usize) -> String {
    format!("followed-{service}")
}

/// The usage of the agent's process while services change that many watches follow.
pub(super) fn watched(
    fleet: &Fleet,
    lasts: Duration,
    rows: &mut Vec<Row>,
) -> Result<(), SocketBenchError> {
    let mut api = fleet.connect(0)?;
    for service in 0..SERVICES {
        register(&mut api, service, 80)?;
    }
    for (follow, what) in [
        (Follow::Spread, format!("{WATCHES} watches of {SERVICES} services")),
        (Follow::All(100), "100 watches of all services".to_owned()),
        (Follow::One, format!("{WATCHES} watches of one service")),
    ] {
        let measured = measure(fleet, &mut api, follow, lasts)?;
        let row = Row::new(
            format!("processor, {CHANGES_PER_SECOND} changes/s, {what}"),
            measured.share,
            "%",
        );
        let note = format!("{:.0} changes/s, {:.0} events/s", measured.changes, measured.events);
        let row = row.note(&note);
        let has_goal = matches!(follow, Follow::Spread);
        rows.push(if has_goal { row.goal(Goal::AtMost(20.0)) } else { row });
        rows.push(Row::new(format!("memory of each of {what}"), measured.kib, "KiB"));
    }
    Ok(())
}

struct Measured {
    /// Percent of a core.
    share: f64,
    changes: f64,
    events: f64,
    /// Resident memory of each watch.
    kib: f64,
}

fn measure(
    fleet: &Fleet,
    api: &mut Api,
    follow: Follow,
    lasts: Duration,
) -> Result<Measured, SocketBenchError> {
    let pid = fleet.pid(0);
    let empty = Usage::of(pid)?.resident_bytes;
    let connections = open(fleet, follow)?;
    let full = Usage::of(pid)?.resident_bytes;
    let events = AtomicUsize::new(0);
    let ends = AtomicBool::new(false);
    let (before, since) = (Usage::of(pid)?, Instant::now());
    let changes = thread::scope(|scope| {
        let counted = &events;
        for connection in &connections {
            scope.spawn(move || count_lines(connection, counted));
        }
        let changing = scope.spawn(|| {
            let mut changes = 0;
            repeat_until(&ends, CHANGES_PER_SECOND, |n| {
                let service = if matches!(follow, Follow::One) { 0 } else { n % SERVICES };
                changes = n + 1;
                register(api, service, 1_000 + n % 1_000)
            })
            .map(|()| changes)
        });
        thread::sleep(lasts);
        ends.store(true, Ordering::Relaxed);
        let changes = changing.join().expect("changes do not panic");
        for connection in &connections {
            // The readers end with it. It fails only if the agent closed it before.
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
        changes
    })?;
    let seconds = since.elapsed().as_secs_f64();
    let used = Usage::of(pid)?.cpu.saturating_sub(before.cpu);
    Ok(Measured {
        share: used.as_secs_f64() / seconds * 100.0,
        changes: changes as f64 / seconds,
        events: events.load(Ordering::Relaxed) as f64 / seconds,
        kib: full.saturating_sub(empty) as f64 / 1_024.0 / follow.watches() as f64,
    })
}

fn register(api: &mut Api, service: usize, port: usize) -> Result<(), SocketBenchError> {
    let service = name(service);
    let register = json!({ "register": { "service": service, "port": port, "tags": ["a", "b"] } });
    Ok(api.done("registered", &register)?)
}

/// Opens the watches, each of which has told its instances when this returns.
fn open(fleet: &Fleet, follow: Follow) -> Result<Vec<UnixStream>, SocketBenchError> {
    open_watches(&fleet.socket(0), follow.watches(), |number| follow.request(number))
}

/// Reads until the connection ends, and counts the lines.
fn count_lines(mut stream: &UnixStream, lines: &AtomicUsize) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        let told = buffer.get(..read).unwrap_or_default();
        lines.fetch_add(told.iter().filter(|byte| **byte == b'\n').count(), Ordering::Relaxed);
    }
}
