//! The moments at which one agent with many checks begins its probes.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::ProcessError;
use super::fleet::Fleet;
use super::watch::CHECKED;

/// Probes that begin within this time count as one beat.
const SLOT: Duration = Duration::from_millis(100);
/// The time for which probes are counted.
const COUNTED_FOR: Duration = Duration::from_secs(5);
/// The time from the last registration to the count: every check has been probed twice.
const SETTLE: Duration = Duration::from_secs(5);

/// The largest number of probes in one slot, as a multiple of the mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beats {
    pub(super) largest_slot: f64,
    /// The same from the first probe after a restart of the agent.
    pub(super) largest_slot_restarted: f64,
}

/// Has one agent check a server as many times a second.
pub(super) fn beats(hobnob: &Path, checks: usize) -> Result<Beats, ProcessError> {
    let (server, connections) = server().map_err(ProcessError::Server)?;
    let mut fleet = Fleet::new(hobnob)?;
    fleet.start(None)?;
    let mut agent = fleet.connect(0)?;
    for number in 0..checks {
        agent.register_checked(&format!("{CHECKED}{number}"), server)?;
    }
    thread::sleep(SETTLE);
    connections.try_iter().for_each(drop);
    let steady = largest_slot(&count(&connections));
    let address = agent.info()?.gossip_address;
    fleet.kill(0);
    connections.try_iter().for_each(drop);
    fleet.restart(0, &address, &address)?;
    let restarted = largest_slot(&count(&connections));
    Ok(Beats { largest_slot: steady, largest_slot_restarted: restarted })
}

/// A server on loopback, and the time of each connection to it.
fn server() -> std::io::Result<(SocketAddr, Receiver<Instant>)> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let (sender, connections) = channel();
    thread::spawn(move || {
        for connection in listener.incoming() {
            if connection.is_ok() && sender.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    Ok((address, connections))
}

/// The times of connections since the first.
fn count(connections: &Receiver<Instant>) -> Vec<Duration> {
    let Ok(first) = connections.recv_timeout(super::ANSWER_TIMEOUT) else { return Vec::new() };
    let mut times = vec![Duration::ZERO];
    while let Some(left) = COUNTED_FOR.checked_sub(first.elapsed())
        && let Ok(at) = connections.recv_timeout(left)
    {
        times.push(at.duration_since(first));
    }
    times
}

/// The largest number of these times in one slot, as a multiple of the mean; infinite without times.
fn largest_slot(times: &[Duration]) -> f64 {
    let slots = (COUNTED_FOR.as_millis() / SLOT.as_millis()) as usize;
    let mut counts = vec![0_usize; slots];
    for time in times {
        let slot = (time.as_nanos() / SLOT.as_nanos()) as usize;
        counts[slot.min(slots - 1)] += 1;
    }
    let largest = counts.iter().max().copied().unwrap_or_default();
    match times.len() {
        0 => f64::INFINITY,
        count => largest as f64 * slots as f64 / count as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_beat_is_told_from_many() {
        let even: Vec<_> = (0..5_000).map(Duration::from_millis).collect();
        assert_eq!(largest_slot(&even), 1.0);
        let in_step: Vec<_> = (0..5_000).map(|n| Duration::from_secs(n % 5)).collect();
        assert_eq!(largest_slot(&in_step), 10.0);
        assert_eq!(largest_slot(&[]), f64::INFINITY);
    }
}
