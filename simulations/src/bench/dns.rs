//! DNS queries to a real agent, over UDP.

use std::io;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::goals::quantile;
use super::row::{Goal, Row};
use crate::processes::{Fleet, ProcessError, Usage};

/// The service that is asked for, and its instances.
const SERVICE: &str = "bench";
const INSTANCES: usize = 10;
/// Queries that are on their way at once, when the agent is to answer as many as it can.
const WINDOW: u16 = 64;
/// Queries a second, when it is to answer a given number.
const RATE: u64 = 10_000;
/// Queries that are sent together then.
const BURST: u64 = 10;
/// An answer that takes longer is lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Times that the first query is sent, since the agent may be busy with its start.
const TRIES: usize = 10;
/// Types of records, by number (RFC 1035, RFC 2782).
const TYPES: [(&str, u16); 2] = [("A", 1), ("SRV", 33)];
/// The longest answer: what the query allows.
const MAX_BYTES: usize = 1_232;

/// Why DNS could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DnsBenchError {
    /// The agent failed.
    #[error(transparent)]
    Agent(#[from] ProcessError),
    /// The socket failed.
    #[error("the socket of the queries failed: {0}")]
    Socket(#[from] io::Error),
    /// An answer is not what was asked for.
    #[error("the agent answered without a record: {0:02x?}")]
    Refused(Vec<u8>),
}

/// Measures an agent of the binary `hobnob`, for so long in each part. `told` hears how far it is.
///
/// # Errors
/// The agent cannot be started or asked.
pub fn measure(
    hobnob: &Path,
    lasts: Duration,
    mut told: impl FnMut(&str),
) -> Result<Vec<Row>, DnsBenchError> {
    let mut fleet = Fleet::new(hobnob)?.with("HOBNOB_DNS", "127.0.0.1:0");
    fleet.start(None)?;
    let at = fleet.door(0, "dns")?;
    let mut api = fleet.connect(0)?;
    for instance in 0..INSTANCES {
        let (id, address) = (format!("{SERVICE}-{instance}"), format!("127.0.0.{}", instance + 1));
        let register = json!({ "service": SERVICE, "id": id, "address": address, "port": 8_000 });
        api.done("registered", &json!({ "register": register }))?;
    }
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(at)?;
    socket.set_read_timeout(Some(ANSWER_WITHIN))?;
    let mut rows = Vec::new();
    for (name, rtype) in TYPES {
        let query = query(rtype);
        let bytes = first(&socket, &query)?;
        let sizes = format!("{} B asked, {bytes} B answered, {INSTANCES} instances", query.len());
        told(&format!("as many {name} queries as it answers"));
        most(&fleet, &socket, &query, (name, lasts), &sizes, &mut rows)?;
        told(&format!("{RATE} {name} queries a second"));
        paced(&fleet, &socket, &query, (name, lasts), &mut rows)?;
    }
    Ok(rows)
}

/// A query for the service, of a client that takes [`MAX_BYTES`]. Its first two bytes are its id.
fn query(rtype: u16) -> Vec<u8> {
    let mut bytes = [0_u16, 0x0100, 1, 0, 0, 1].map(u16::to_be_bytes).concat();
    for label in [SERVICE, "service", "consul"] {
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend([rtype, 1].map(u16::to_be_bytes).concat());
    // The root, EDNS, the bytes that it takes, and no options.
    bytes.push(0);
    bytes.extend([41, MAX_BYTES as u16, 0, 0, 0].map(u16::to_be_bytes).concat());
    bytes
}

/// The length of the answer to one query, which has to have a record for each instance.
fn first(socket: &UdpSocket, query: &[u8]) -> Result<usize, DnsBenchError> {
    let mut buffer = [0; MAX_BYTES];
    let mut ask = || socket.send(query).and_then(|_| socket.recv(&mut buffer));
    let mut asked = ask();
    for _ in 1..TRIES {
        if asked.is_err() {
            asked = ask();
        }
    }
    let length = asked?;
    let answer = &buffer[..length];
    if answer.get(6..8) != Some(&(INSTANCES as u16).to_be_bytes()[..]) {
        return Err(DnsBenchError::Refused(answer.to_vec()));
    }
    Ok(length)
}

/// Keeps a number of queries on their way.
fn most(
    fleet: &Fleet,
    socket: &UdpSocket,
    query: &[u8],
    (name, lasts): (&str, Duration),
    sizes: &str,
    rows: &mut Vec<Row>,
) -> Result<(), DnsBenchError> {
    let pid = fleet.pid(0);
    let (before, since) = (Usage::of(pid)?.cpu, Instant::now());
    let (mut query, mut buffer) = (query.to_vec(), [0; MAX_BYTES]);
    let mut send = |id: u16| {
        query[..2].copy_from_slice(&id.to_be_bytes());
        socket.send(&query)
    };
    for id in 0..WINDOW {
        send(id)?;
    }
    let (mut answered, mut next) = (0_u64, WINDOW);
    while since.elapsed() < lasts {
        // Another one takes the place of a query that is lost.
        answered += u64::from(receive_one(socket, &mut buffer)?);
        send(next)?;
        next = next.wrapping_add(1);
    }
    while receive_one(socket, &mut buffer)? {
        answered += 1;
    }
    let answered = answered as f64;
    // The last answers are waited for in vain for a while, which is no part of the rate.
    let (took, cpu) = (lasts, Usage::of(pid)?.cpu.saturating_sub(before));
    let rate = answered / took.as_secs_f64();
    rows.push(Row::new(format!("{name} queries, {WINDOW} on their way"), rate, "1/s").note(sizes));
    let per_core = answered / cpu.as_secs_f64();
    let row = Row::new(format!("{name} queries per second of processor time"), per_core, "1/s");
    rows.push(row.goal(Goal::AtLeast(RATE as f64)));
    Ok(())
}

/// Takes an answer, and says whether there was one in time.
fn receive_one(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<bool> {
    match socket.recv(buffer) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sends queries at a given rate, whether or not answers come.
fn paced(
    fleet: &Fleet,
    socket: &UdpSocket,
    query: &[u8],
    (name, lasts): (&str, Duration),
    rows: &mut Vec<Row>,
) -> Result<(), DnsBenchError> {
    let pid = fleet.pid(0);
    let (before, since) = (Usage::of(pid)?.cpu, Instant::now());
    // When each query was sent, by its id, in nanoseconds.
    let sent_at: Vec<AtomicU64> = (0..=u16::MAX).map(|_| AtomicU64::new(0)).collect();
    let now = || since.elapsed().as_nanos() as u64;
    let ended = AtomicBool::new(false);
    let (sent, latencies) = thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(socket, &sent_at, now, &ended));
        let sent = send_paced(socket, query, lasts, &sent_at, now);
        ended.store(true, Ordering::Relaxed);
        let latencies = receiving.join().expect("it does not panic");
        (sent, latencies)
    });
    let (sent, latencies) = (sent?, latencies?);
    let took = since.elapsed();
    let cpu = Usage::of(pid)?.cpu.saturating_sub(before);
    let what = |what: &str| format!("{RATE} {name} queries/s: {what}");
    let lost = (sent - latencies.len() as u64) as f64 / sent as f64 * 100.0;
    let share = cpu.as_secs_f64() / took.as_secs_f64() * 100.0;
    rows.push(Row::new(what("processor"), share, "%").goal(Goal::AtMost(100.0)));
    rows.push(Row::new(what("lost"), lost, "%").goal(Goal::AtMost(0.1)));
    for (percentile, share) in [("p50", 0.5), ("p99", 0.99)] {
        let latency = quantile(&latencies, share).unwrap_or(f64::NAN);
        rows.push(Row::new(what(percentile), latency, "us"));
    }
    Ok(())
}

fn send_paced(
    socket: &UdpSocket,
    query: &[u8],
    lasts: Duration,
    sent_at: &[AtomicU64],
    now: impl Fn() -> u64,
) -> io::Result<u64> {
    let (mut query, since) = (query.to_vec(), Instant::now());
    let mut sent = 0_u64;
    while since.elapsed() < lasts {
        for _ in 0..BURST {
            let id = sent as u16;
            query[..2].copy_from_slice(&id.to_be_bytes());
            sent_at[usize::from(id)].store(now(), Ordering::Relaxed);
            socket.send(&query)?;
            sent += 1;
        }
        let due = Duration::from_nanos(sent * 1_000_000_000 / RATE);
        thread::sleep(due.saturating_sub(since.elapsed()));
    }
    Ok(sent)
}

/// The times from each query to its answer, in microseconds.
fn receive(
    socket: &UdpSocket,
    sent_at: &[AtomicU64],
    now: impl Fn() -> u64,
    ended: &AtomicBool,
) -> io::Result<Vec<f64>> {
    let (mut buffer, mut latencies) = ([0; MAX_BYTES], Vec::new());
    loop {
        if receive_one(socket, &mut buffer)? {
            let id = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
            let sent = sent_at[id].load(Ordering::Relaxed);
            latencies.push(now().saturating_sub(sent) as f64 / 1e3);
        } else if ended.load(Ordering::Relaxed) {
            // What has not come now is lost.
            return Ok(latencies);
        }
    }
}
