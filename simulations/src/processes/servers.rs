//! Servers as processes of their own, which are killed and come back while agents check them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::ProcessError;
use super::api::Api;
use super::report::Noticed;
use super::watch::{CHECKED, SeenStatus, Watches};

/// A server is killed after a random part of this, so that kills fall on any moment of the agents' looks.
const BEFORE_KILL: Duration = Duration::from_millis(200);

/// Kills as many servers, one after the other, and starts each again. Each has an instance of its own, since one that comes
/// and goes is held down.
pub(super) fn kill_servers(
    program: &Path,
    watches: &mut Watches,
    agents: &mut [Api],
    servers: usize,
    progress: &mut dyn FnMut(&str),
) -> Result<Noticed, ProcessError> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
    let mut noticed = Noticed::default();
    for number in 0..servers {
        progress(&format!("server {} of {servers}", number + 1));
        let agent = rng.random_range(0..agents.len());
        let everybody = 0..agents.len();
        let id = [format!("{CHECKED}{number}")];
        let mut server = Server::start(program, None)?;
        agents[agent].register_checked(&id[0], server.address)?;
        let incomplete = |agent| ProcessError::Incomplete { agent, what: id[0].clone() };
        watches.all_say(everybody.clone(), &id, SeenStatus::Healthy).map_err(incomplete)?;
        thread::sleep(BEFORE_KILL.mul_f64(rng.random_range(0.5..1.0)));
        let began = Instant::now();
        server.kill();
        if let Ok(last) = watches.all_say(everybody.clone(), &id, SeenStatus::Unhealthy) {
            noticed.killed.push(last.saturating_duration_since(began));
        }
        thread::sleep(BEFORE_KILL.mul_f64(rng.random_range(0.5..1.0)));
        let address = server.address;
        let _server = Server::start(program, Some(address))?;
        let began = Instant::now();
        if let Ok(last) = watches.all_say(everybody.clone(), &id, SeenStatus::Healthy) {
            noticed.back.push(last.saturating_duration_since(began));
        }
        agents[agent].deregister(&id[0])?;
        watches.all_say(everybody, &id, SeenStatus::Gone).map_err(incomplete)?;
    }
    Ok(noticed)
}

/// A process that takes connections and closes them. It ends with this, and with the process that started it.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts a server at an address, or at a free port of loopback. It listens when this returns.
    fn start(program: &Path, address: Option<SocketAddr>) -> Result<Self, ProcessError> {
        let failed = |cause| ProcessError::Start { path: program.to_owned(), cause };
        let address = address.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut command = Command::new(program);
        command.args(["bench", "server", &address.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut this = Self { child: command.spawn().map_err(failed)?, address };
        let mut line = String::new();
        let told = this.child.stdout.take().ok_or(io::ErrorKind::BrokenPipe.into());
        told.and_then(|told| BufReader::new(told).read_line(&mut line)).map_err(failed)?;
        this.address = line.trim().parse().map_err(|_| failed(io::ErrorKind::AddrInUse.into()))?;
        Ok(this)
    }

    /// Kills it as `kill -9` does. Its process is gone when this returns.
    fn kill(&mut self) {
        // Both calls fail only if it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Listens at this address, tells it by a line, takes connections and closes them, until the standard input ends.
///
/// # Errors
/// The address cannot be listened at, or the standard input or output fails.
pub fn serve(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", listener.local_addr()?)?;
    out.flush()?;
    thread::spawn(move || listener.incoming().for_each(drop));
    io::stdin().lock().read_to_end(&mut Vec::new()).map(drop)
}
