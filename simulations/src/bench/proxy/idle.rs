//! Memory of all proxies with idle connections, over each of which one call was made.

use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use hyper::StatusCode;

use super::kind::ProxyKind;
use super::machine::Memory;
use super::stage::{Proxy, SPARE_DESCRIPTORS, Stage, ask};
use super::upstream::UpstreamSetting;
use super::{ProxyBenchError, ProxyEffort, UPSTREAMS};
use crate::bench::row::{Goal, Row};
use crate::processes::Fleet;

const SERVICE: &str = "idle";
const SETTING: UpstreamSetting =
    UpstreamSetting { count: UPSTREAMS, delay: Duration::ZERO, status: StatusCode::OK };
/// The time from the last call to the look at the memory.
const SETTLE: Duration = Duration::from_secs(3);
const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn measure(
    stage: &Stage,
    fleet: &Fleet,
    effort: &ProxyEffort,
    rows: &mut Vec<Row>,
    told: &mut impl FnMut(&str),
) -> Result<(), ProxyBenchError> {
    let count = effort.idle;
    if count as u64 + SPARE_DESCRIPTORS > stage.descriptors {
        return Err(ProxyBenchError::TooFewDescriptors(count, stage.descriptors));
    }
    let servers = stage.upstreams(fleet, SETTING)?;
    stage.register(fleet, SERVICE, &servers.addresses)?;
    let proxies = stage.proxies(fleet, &effort.proxies, SERVICE, &servers.addresses, rows)?;
    let mut held = Vec::new();
    for proxy in &proxies {
        told(&format!("{count} idle connections to {}", proxy.kind));
        let resident = idle(proxy, count, rows)?;
        held.push((proxy.kind, resident));
    }
    let of = |kind| held.iter().find(|(one, _)| *one == kind).map(|(_, resident)| *resident);
    let Some(hobnob) = of(ProxyKind::Hobnob) else { return Ok(()) };
    for (peer, goal) in
        [(ProxyKind::Haproxy, Some(2.0)), (ProxyKind::Nginx, None), (ProxyKind::Envoy, Some(1.0))]
    {
        let Some(theirs) = of(peer) else { continue };
        let what = format!("resident, {count} idle connections, hobnob over {peer}");
        let row = Row::new(what, hobnob / theirs, "x");
        rows.push(match goal {
            Some(goal) => row.goal(Goal::AtMost(goal)),
            None => row,
        });
    }
    Ok(())
}

/// Returns the resident memory, in bytes.
fn idle(proxy: &Proxy, count: usize, rows: &mut Vec<Row>) -> Result<f64, ProxyBenchError> {
    let before = Memory::of(proxy.process.pid())?;
    let mut connections = Vec::with_capacity(count);
    for number in 0..count {
        let connected = TcpStream::connect(proxy.address).and_then(|mut stream| {
            ask(&mut stream)?;
            Ok(stream)
        });
        let what = format!("make call {number} to {}", proxy.kind);
        connections.push(connected.map_err(ProxyBenchError::at(what))?);
    }
    thread::sleep(SETTLE);
    let held = Memory::of(proxy.process.pid())?;
    let each = (held.resident as f64 - before.resident as f64) / 1024.0 / count as f64;
    let note = format!(
        "{:.1} MiB before, {each:.1} KiB for each connection, {:.1} MiB proportional",
        before.resident as f64 / MIB,
        held.proportional as f64 / MIB,
    );
    let what = format!("{}: resident, {count} idle connections", proxy.kind);
    rows.push(Row::new(what, held.resident as f64 / MIB, "MiB").note(&note));
    Ok(held.resident as f64)
}
