//! An outsider who has captured everything, and sends it again, changed, cut, and mixed with junk and with the datagrams of another
//! cluster and of a revoked member, at full speed to an agent that hears nobody else.

use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};

use super::SealedBenchError;
use super::capture::{Capture, Datagram};
use super::picking::Picking;
use crate::bench::row::{Goal, Row};
use crate::processes::{Fleet, ProcessError, Usage, join};

/// Agents of the cluster. All but the first are killed before the flood, one of them after it was revoked.
const AGENTS: usize = 4;
/// Agents of another cluster.
const FOREIGNERS: usize = 2;
/// The time of each capture.
const CAPTURED_FOR: Duration = Duration::from_secs(5);
/// The time of the picks before the flood, and the least time of the flood.
const CALM: Duration = Duration::from_secs(3);
/// The time after which killed agents send nothing, and are down.
const QUIET: Duration = Duration::from_secs(5);
/// The forms of datagrams: clear, sealed, ping, pong, digest.
const FORMS: [u8; 5] = [0x01, 0x02, 0x42, 0x52, 0x62];
/// Sockets from which the outsider sends, and at which it would get answers.
const SOCKETS: usize = 4;
/// The largest junk.
const MAX_JUNK: usize = 1_400;

pub(super) fn measure(
    hobnob: &Path,
    count: usize,
    told: &mut dyn FnMut(&str),
    rows: &mut Vec<Row>,
) -> Result<(), SealedBenchError> {
    let capture = Capture::open().map_err(SealedBenchError::Capture)?;
    told("capturing a cluster, another one, and a revoked member");
    let mut fleet = Fleet::sealed(hobnob)?;
    let (mut agents, addresses, _) = join(&mut fleet, AGENTS)?;
    agents[0].register("standing-0")?;
    let target: SocketAddr = addresses[0]
        .parse()
        .map_err(|_| ProcessError::Answer { agent: 0, answer: addresses[0].clone() })?;
    let mut captured = capture.datagrams(CAPTURED_FOR).map_err(SealedBenchError::Capture)?;
    let (socket, credential) = (fleet.socket(0), fleet.credential());
    let operator = ["--socket", &socket.display().to_string()].map(str::to_owned);
    let credential = credential.display().to_string();
    fleet.run(&[
        "revoke",
        "agent-3",
        "--yes",
        &operator[0],
        &operator[1],
        "--credential",
        &credential,
    ])?;
    captured.extend(capture.datagrams(CAPTURED_FOR).map_err(SealedBenchError::Capture)?);
    captured.retain(|datagram| datagram.to_port == target.port());
    let mut foreign = Fleet::sealed(hobnob)?;
    join(&mut foreign, FOREIGNERS)?;
    let foreign = capture.datagrams(CAPTURED_FOR).map_err(SealedBenchError::Capture)?;
    for agent in 1..AGENTS {
        fleet.kill(agent);
    }
    drop(capture);
    thread::sleep(QUIET);

    told(&format!("{count} hostile datagrams"));
    let calm = Picking::start(&fleet, 0..1)?;
    thread::sleep(CALM);
    let calm = calm.stop();
    let outsider = Outsider::new(target, captured, foreign).map_err(SealedBenchError::Outsider)?;
    let dropped = kernel_drops(target.port()).map_err(SealedBenchError::Outsider)?;
    let (before, used) = (agents[0].info()?, Usage::of(fleet.pid(0))?);
    let picking = Picking::start(&fleet, 0..1)?;
    let began = Instant::now();
    let sent = outsider.send(count).map_err(SealedBenchError::Outsider)?;
    let took = began.elapsed();
    // The agent reads the rest of its socket within this time.
    thread::sleep(CALM);
    let picks = picking.stop();
    let (after, using) = (agents[0].info()?, Usage::of(fleet.pid(0))?);
    let dropped = kernel_drops(target.port()).map_err(SealedBenchError::Outsider)? - dropped;
    let received = after.datagrams_received() - before.datagrams_received();
    let refused = after.datagrams_refused() - before.datagrams_refused();
    let answers = outsider.answers().map_err(SealedBenchError::Outsider)?;

    let rate = sent as f64 / took.as_secs_f64();
    let note = format!("{received} reached the agent, {dropped} found its buffer full");
    rows.push(Row::new("hostile datagrams", rate, "/s").note(&note));
    let accepted = received.saturating_sub(refused);
    rows.push(Row::new("of these, accepted", accepted as f64, "").goal(Goal::AtMost(0.0)));
    rows.push(Row::new("of these, answered", answers as f64, "").goal(Goal::AtMost(0.0)));
    const MIB: f64 = 1024.0 * 1024.0;
    let grown = (using.resident_bytes as f64 - used.resident_bytes as f64) / MIB;
    rows.push(Row::new("memory that it grew by", grown, "MiB").goal(Goal::AtMost(1.0)));
    let each = (using.cpu - used.cpu).as_secs_f64() * 1e6 / received.max(1) as f64;
    let note = "with the receive call and the picks";
    rows.push(Row::new("processor time, a datagram", each, "us").note(note));
    let (calm, flooded) = (calm.quantile_us(0.99), picks.quantile_us(0.99));
    rows.push(Row::new("pick before, p99", calm, "us"));
    rows.push(Row::new("pick meanwhile, p99", flooded, "us"));
    rows.push(
        Row::new("pick meanwhile over before, p99", flooded / calm, "x").goal(Goal::AtMost(3.0)),
    );
    rows.push(
        Row::new("picks that failed meanwhile", picks.failed as f64, "").goal(Goal::AtMost(0.0)),
    );
    Ok(())
}

struct Outsider {
    sockets: Vec<UdpSocket>,
    captured: Vec<Datagram>,
    foreign: Vec<Datagram>,
}

impl Outsider {
    fn new(
        target: SocketAddr,
        captured: Vec<Datagram>,
        foreign: Vec<Datagram>,
    ) -> io::Result<Self> {
        let socket = |_| {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(target)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let sockets = (0..SOCKETS).map(socket).collect::<io::Result<_>>()?;
        if captured.is_empty() || foreign.is_empty() {
            return Err(io::Error::other("nothing was captured"));
        }
        Ok(Self { sockets, captured, foreign })
    }

    /// Sends so many as fast as the kernel takes them.
    fn send(&self, count: usize) -> io::Result<usize> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        for number in 0..count {
            let bytes = self.hostile(number, &mut rng);
            while let Err(error) = self.sockets[number % SOCKETS].send(&bytes) {
                if error.kind() != io::ErrorKind::WouldBlock {
                    return Err(error);
                }
                thread::yield_now();
            }
        }
        Ok(count)
    }

    fn hostile(&self, number: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<u8> {
        let captured = |rng: &mut _| self.captured.choose(rng).map(|one| one.bytes.clone());
        let mut bytes = captured(rng).unwrap_or_default();
        match number % 5 {
            0 => bytes = junk(rng),
            1 => {
                let bit = rng.random_range(0..8 * bytes.len().max(1));
                bytes.iter_mut().skip(bit / 8).take(1).for_each(|byte| *byte ^= 1 << (bit % 8));
            }
            2 => bytes.truncate(rng.random_range(0..=bytes.len())),
            3 => bytes = self.foreign.choose(rng).map(|one| one.bytes.clone()).unwrap_or_default(),
            _ => {}
        }
        bytes
    }

    /// The datagrams that came back.
    fn answers(&self) -> io::Result<usize> {
        let (mut answers, mut buffer) = (0, [0; 2_048]);
        for socket in &self.sockets {
            loop {
                match socket.recv(&mut buffer) {
                    Ok(_) => answers += 1,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(answers)
    }
}

/// Random bytes, most of them behind the first byte of a form.
fn junk(rng: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(1..MAX_JUNK)];
    rng.fill_bytes(&mut bytes);
    if rng.random_ratio(4, 5) {
        bytes[0] = FORMS[rng.random_range(0..FORMS.len())];
    }
    bytes
}

/// Datagrams that the kernel dropped at a port of IPv4 because the buffer of its socket was full.
fn kernel_drops(port: u16) -> io::Result<u64> {
    let sockets = fs::read_to_string("/proc/net/udp")?;
    let of = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = u16::from_str_radix(fields.get(1)?.split_once(':')?.1, 16).ok()?;
        (local == port).then(|| fields.last()?.parse::<u64>().ok()).flatten()
    };
    Ok(sockets.lines().skip(1).filter_map(of).sum())
}
