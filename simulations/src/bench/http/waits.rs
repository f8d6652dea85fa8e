//! Questions that wait for services which do not change, while another one does.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use super::HttpBenchError;
use super::calls::{AskError, field, get, whole_of_http};
use crate::bench::row::{Goal, Row};
use crate::bench::socket::load::{CHANGES_PER_SECOND, change, share_while};
use crate::processes::{Api, Fleet};

/// Questions that wait.
const WAITS: usize = 2_000;
/// Services that they wait for.
const QUIET_SERVICES: usize = 20;
/// All of them have to wait within this time.
const WAIT_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at how many do.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The usage of the agent's process while a service changes that none of many questions waits for.
pub(super) fn waits(
    fleet: &Fleet,
    at: SocketAddr,
    lasts: Duration,
    rows: &mut Vec<Row>,
) -> Result<(), HttpBenchError> {
    let mut api = fleet.connect(0)?;
    for service in 0..QUIET_SERVICES {
        let service = format!("quiet-{service}");
        api.done("registered", &json!({ "register": { "service": service, "port": 80 } }))?;
    }
    let alone = share_while(fleet.pid(0), &mut api, change, lasts)?;
    let indexes = (0..QUIET_SERVICES).map(|service| index(at, service));
    let indexes = indexes.collect::<Result<Vec<_>, _>>()?;
    let mut waiting = Vec::new();
    for number in 0..WAITS {
        let service = number % QUIET_SERVICES;
        let path =
            format!("/v1/health/service/quiet-{service}?index={}&wait=10m", indexes[service]);
        let mut stream = TcpStream::connect(at)?;
        stream.write_all(&get(&path))?;
        waiting.push(stream);
    }
    until_waiting(&mut api)?;
    let waited = share_while(fleet.pid(0), &mut api, change, lasts)?;
    let mut woken = 0;
    for stream in &mut waiting {
        woken += usize::from(has_answer(stream)?);
    }
    let what = |waits: usize| {
        format!(
            "processor, {CHANGES_PER_SECOND} changes/s, {waits} questions wait for other services"
        )
    };
    rows.push(Row::new(what(0), alone, "%"));
    rows.push(Row::new(what(WAITS), waited, "%").goal(Goal::AtMost(10.0)));
    rows.push(Row::new("those that were woken", woken as f64, "").goal(Goal::AtMost(0.0)));
    Ok(())
}

/// The index of a service.
fn index(at: SocketAddr, service: usize) -> Result<u64, HttpBenchError> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(WAIT_WITHIN))?;
    stream.write_all(&get(&format!("/v1/health/service/quiet-{service}")))?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4_096]);
    while whole_of_http(&answer).is_none() {
        match stream.read(&mut buffer)? {
            0 => return Err(AskError::from(io::Error::from(io::ErrorKind::UnexpectedEof)).into()),
            read => answer.extend_from_slice(&buffer[..read]),
        }
    }
    let text = String::from_utf8_lossy(&answer);
    let index = field(&text, "x-consul-index").and_then(|index| index.parse().ok());
    Ok(index.ok_or_else(|| AskError::Refused(text.into_owned()))?)
}

/// Returns when all questions wait.
fn until_waiting(api: &mut Api) -> Result<(), HttpBenchError> {
    let since = Instant::now();
    loop {
        let waiting = api.info()?.http_waiting();
        if waiting == WAITS as u64 {
            return Ok(());
        }
        if since.elapsed() > WAIT_WITHIN {
            let told = format!("{waiting} questions wait, and not {WAITS}");
            return Err(AskError::Refused(told).into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Whether there is something to read, be it an answer or the end.
fn has_answer(stream: &mut TcpStream) -> io::Result<bool> {
    stream.set_nonblocking(true)?;
    match stream.read(&mut [0]) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}
