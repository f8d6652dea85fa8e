//! The processor time of an agent with many checks.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{RegistryBenchError, RegistryEffort};
use crate::bench::calls::Calls;
use crate::bench::row::{Goal, Row};
use crate::processes::{Fleet, Usage};

/// Servers that the checks are spread over.
const SERVERS: usize = 10;
/// Registrations that are on their way at once.
const PIPELINED: usize = 100;
/// The share of a core that the checks may take, in percent.
const GOAL_PERCENT: f64 = 25.0;
/// The largest part of a request that a server reads.
const REQUEST_BYTES: usize = 4 << 10;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

/// Measures an agent whose checks all pass: TCP, then HTTP.
pub(super) fn measure(
    hobnob: &Path,
    effort: &RegistryEffort,
    rows: &mut Vec<Row>,
    told: &mut impl FnMut(&str),
) -> Result<(), RegistryBenchError> {
    if effort.checks == 0 {
        return Ok(());
    }
    let tcp = |address: SocketAddr| json!({ "tcp": { "address": address.to_string() } });
    let http = |address: SocketAddr| json!({ "http": { "url": format!("http://{address}/") } });
    let kinds: [(&str, &dyn Fn(SocketAddr) -> Value); 2] = [("TCP", &tcp), ("HTTP", &http)];
    for (kind, probe) in kinds {
        told(&format!("{} {kind} checks", effort.checks));
        let percent = share(hobnob, effort, probe)?;
        let what = format!("processor, {} {kind} checks of {:?}", effort.checks, effort.interval);
        rows.push(Row::new(what, percent, "%").goal(Goal::AtMost(GOAL_PERCENT)));
    }
    Ok(())
}

/// Percent of a core that the agent uses.
fn share(
    hobnob: &Path,
    effort: &RegistryEffort,
    probe: &dyn Fn(SocketAddr) -> Value,
) -> Result<f64, RegistryBenchError> {
    let servers = servers().map_err(RegistryBenchError::Setting)?;
    let mut fleet = Fleet::new(hobnob)?;
    fleet.start(None)?;
    drop(fleet.connect(0)?);
    let mut calls = Calls::connect(&fleet.socket(0))?;
    let numbers: Vec<usize> = (0..effort.checks).collect();
    for numbers in numbers.chunks(PIPELINED) {
        let requests: Vec<Value> = numbers
            .iter()
            .map(|number| {
                let address = servers[number % SERVERS];
                let check = json!({
                    "probe": probe(address), "interval_ms": effort.interval.as_millis() as u64,
                });
                json!({ "register": {
                    "service": "checked", "id": format!("checked-{number}"),
                    "port": address.port(), "checks": [check],
                } })
            })
            .collect();
        calls.pipelined(&requests, "\"registered\"")?;
    }
    // Each check has run, and its result has spread.
    thread::sleep(effort.interval * 2);
    let pid = fleet.pid(0);
    let (before, since) = (Usage::of(pid)?.cpu, Instant::now());
    thread::sleep(effort.lasts);
    let used = Usage::of(pid)?.cpu.saturating_sub(before);
    let share = used.as_secs_f64() / since.elapsed().as_secs_f64() * 100.0;
    calls.call(&json!({ "pick": { "service": "checked", "strict": true } }), "\"picks\":[{")?;
    Ok(share)
}

/// Servers on loopback that answer every connection as HTTP and close it, for as long as this process lives.
fn servers() -> std::io::Result<Vec<SocketAddr>> {
    let server = |_| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        thread::Builder::new().spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // A TCP check sends nothing and closes; what it does with the answer is nothing to us.
                let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
                let read = stream.read(&mut [0; REQUEST_BYTES]);
                if read.is_ok_and(|bytes| bytes > 0) {
                    let _ = stream.write_all(ANSWER);
                }
            }
        })?;
        Ok(address)
    };
    (0..SERVERS).map(server).collect()
}
