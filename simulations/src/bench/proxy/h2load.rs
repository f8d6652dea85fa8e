//! The load: h2load of the nghttp2 project.
//!
//! At a fixed rate each of many connections makes its calls by a clock. A call whose answer is late delays the next one of its
//! connection, and no other. There are so many connections that an answer is late after 40 ms or more. h2load makes up for
//! delayed calls, so that the rate holds. Latencies count from the moment at which a call is sent, not from that at which it was
//! due: the answers that were late are counted instead.

use std::fs;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::ProxyBenchError;
use super::stage::Stage;
use crate::processes::{Beside, Fleet};

/// The fewest connections at a fixed rate.
const MIN_CLIENTS: u32 = 200;
/// The most calls a second of one connection: the clocks of h2load strike each 10 ms at most.
const MOST_OF_A_CLIENT: u32 = 25;
/// The time in which the connections are made, one after the other. All clocks would strike at once if all began at once.
const STARTING: Duration = Duration::from_millis(1_400);
/// The smallest step of h2load between the starts of two connections.
const STEP: Duration = Duration::from_millis(1);
/// Connections without pauses, with which the highest rate is found.
const EAGER_CLIENTS: &str = "64";
/// The time for which the highest rate is measured, and that of its warming up.
const EAGER: Duration = Duration::from_secs(4);
const WARM_UP: Duration = Duration::from_secs(1);
/// h2load must end within this time of the last call that is due.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// A call that was answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) began: SystemTime,
    pub(super) took: Duration,
    /// `None` for one that was broken off.
    pub(super) status: Option<u16>,
}

impl Call {
    /// Whether a server answered it well.
    pub(super) fn is_success(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// The moment of its answer.
    pub(super) fn ended(&self) -> SystemTime {
        self.began + self.took
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Calls a second.
    pub(super) rate: u32,
    /// For how long, from the moment at which all connections stand.
    pub(super) lasts: Duration,
    /// Whether calls are POST, which is not idempotent, instead of GET.
    pub(super) is_post: bool,
}

/// Calls at a fixed rate. They end with this.
pub(super) struct Load {
    pub(super) process: Beside,
    log: PathBuf,
    /// Calls of all connections.
    pub(super) asked: u64,
    /// The time between two calls of one connection.
    pub(super) interval: Duration,
    lasts: Duration,
}

impl Load {
    /// Starts calls. All connections stand when this returns.
    pub(super) fn start(
        stage: &Stage,
        fleet: &Fleet,
        address: SocketAddr,
        asked: Asked,
    ) -> Result<Self, ProxyBenchError> {
        let clients =
            stage.clients.unwrap_or(MIN_CLIENTS.max(asked.rate.div_ceil(MOST_OF_A_CLIENT)));
        let between = Duration::from_millis((STARTING / clients).as_millis() as u64).max(STEP);
        let starting = between * clients;
        let rate = f64::from(asked.rate) / f64::from(clients);
        let each = (rate * (starting + asked.lasts).as_secs_f64()).ceil() as u64;
        let log = fleet.folder().join("h2load.log");
        // An earlier log has been read.
        if let Err(cause) = fs::remove_file(&log)
            && cause.kind() != io::ErrorKind::NotFound
        {
            return Err(ProxyBenchError::at("remove an earlier log of h2load")(cause));
        }
        let mut command = Command::new(&stage.h2load);
        command.args(["--h1", "-t", "1", "-r", "1"]);
        command.args(["--rate-period", &format!("{}ms", between.as_millis())]);
        command.args(["-c", &clients.to_string(), "-n", &(each * u64::from(clients)).to_string()]);
        command.args(["--rps", &rate.to_string()]).arg("--log-file").arg(&log);
        if asked.is_post {
            let body = fleet.folder().join("h2load.body");
            fs::write(&body, "name=value").map_err(ProxyBenchError::at("write a body to post"))?;
            command.arg("-d").arg(body);
        }
        command.arg(format!("http://{address}/"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = fleet.start_beside(&mut command)?;
        thread::sleep(starting);
        let interval = Duration::from_secs(clients.into()) / asked.rate;
        let asked_for = each * u64::from(clients);
        Ok(Self { process, log, asked: asked_for, interval, lasts: asked.lasts })
    }

    /// Waits until the last call, and returns all that were answered.
    pub(super) fn end(self) -> Result<Vec<Call>, ProxyBenchError> {
        let status = self.process.wait(self.lasts + ENDS_WITHIN)?;
        if !status.success() {
            return Err(ProxyBenchError::Load(status.to_string()));
        }
        let text = fs::read_to_string(&self.log);
        let text = text.map_err(ProxyBenchError::at("read the log of h2load"))?;
        let unknown = |line: &str| ProxyBenchError::Load(format!("its log has the line {line:?}"));
        text.lines().map(|line| call(line).ok_or_else(|| unknown(line))).collect()
    }
}

/// A line of the log: microseconds since the epoch, the status or -1, microseconds until the end of the answer.
fn call(line: &str) -> Option<Call> {
    let mut fields = line.split('\t');
    let began = UNIX_EPOCH + Duration::from_micros(fields.next()?.parse().ok()?);
    let status: i32 = fields.next()?.parse().ok()?;
    let took = Duration::from_micros(fields.next()?.parse().ok()?);
    Some(Call { began, took, status: u16::try_from(status).ok() })
}

/// The highest rate of an address, in calls a second: each connection calls again as soon as it is answered.
pub(super) fn highest_rate(
    stage: &Stage,
    fleet: &Fleet,
    address: SocketAddr,
) -> Result<f64, ProxyBenchError> {
    let mut command = Command::new(&stage.h2load);
    command.args(["--h1", "-t", "1", "-c", EAGER_CLIENTS]);
    command.args(["-D", &EAGER.as_secs().to_string()]);
    command.args(["--warm-up-time", &WARM_UP.as_secs().to_string()]);
    command.arg(format!("http://{address}/"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let process = fleet.start_beside(&mut command)?;
    let mut told = String::new();
    if let Some(mut stdout) = process.stdout() {
        let read = stdout.read_to_string(&mut told);
        read.map_err(ProxyBenchError::at("read what h2load prints"))?;
    }
    process.wait(ENDS_WITHIN)?;
    rate(&told).ok_or_else(|| ProxyBenchError::Load(format!("it printed {told:?}")))
}

/// The number in `finished in 5.00s, 3000.00 req/s, 439.45KB/s`.
fn rate(told: &str) -> Option<f64> {
    let line = told.lines().find(|line| line.starts_with("finished in "))?;
    line.split(", ").find_map(|part| part.strip_suffix(" req/s")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_is_a_call() {
        let read = call("1764494400000250\t200\t1500").unwrap();
        assert_eq!(read.began, UNIX_EPOCH + Duration::from_micros(1_764_494_400_000_250));
        assert_eq!((read.took, read.status), (Duration::from_micros(1_500), Some(200)));
        assert!(read.is_success());
        let broken = call("1764494400000250\t-1\t7").unwrap();
        assert_eq!((broken.status, broken.is_success()), (None, false));
        assert!(!call("1\t503\t7").unwrap().is_success());
        assert_eq!(call("1764494400000250\t200"), None);
    }

    #[test]
    fn the_rate_is_read_from_what_is_printed() {
        let told =
            "starting benchmark...\n\nfinished in 4.00s, 18716.67 req/s, 2.25MB/s\nrequests: 1\n";
        assert_eq!(rate(told), Some(18_716.67));
        assert_eq!(rate("nothing"), None);
    }
}
