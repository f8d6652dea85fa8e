//! Servers and proxies as processes, each on its processor.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::kind::ProxyKind;
use super::machine::{Processors, raise_descriptors};
use super::upstream::{ANSWER, UpstreamSetting};
use super::{ProxyBenchError, ProxyBinaries, installed, peers};
use crate::bench::row::Row;
use crate::processes::{Beside, Fleet, ProcessError};

/// A proxy must answer within this time of its start.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// Between two tries to reach it.
const RETRY: Duration = Duration::from_millis(20);
/// The longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections of clients that a proxy may have, and descriptors that it needs besides.
const MAX_CONNECTIONS: u64 = 19_000;
pub(super) const SPARE_DESCRIPTORS: u64 = 1_000;
/// Lines of a log that an error shows.
const LOG_LINES: usize = 5;

/// What all measurements share.
pub(super) struct Stage {
    pub(super) binaries: ProxyBinaries,
    pub(super) h2load: PathBuf,
    /// Connections of the load generator at a fixed rate, unless they follow from the rate.
    pub(super) clients: Option<u32>,
    /// Descriptors that each process may have.
    pub(super) descriptors: u64,
    processors: Processors,
}

/// Servers in a process of their own.
pub(super) struct Upstreams {
    pub(super) process: Beside,
    pub(super) addresses: Vec<SocketAddr>,
}

/// A proxy that serves.
pub(super) struct Proxy {
    pub(super) kind: ProxyKind,
    pub(super) address: SocketAddr,
    pub(super) process: Beside,
}

impl Stage {
    pub(super) fn set(
        binaries: &ProxyBinaries,
        clients: Option<u32>,
    ) -> Result<Self, ProxyBenchError> {
        Ok(Self {
            binaries: binaries.clone(),
            h2load: installed("h2load").ok_or(ProxyBenchError::NoLoadGenerator)?,
            clients,
            descriptors: raise_descriptors()?,
            processors: Processors::split()?,
        })
    }

    /// Where the binary of a proxy is.
    pub(super) fn binary(&self, kind: ProxyKind) -> Option<PathBuf> {
        match (kind, &self.binaries.envoy) {
            (ProxyKind::Hobnob, _) => Some(self.binaries.hobnob.clone()),
            (ProxyKind::Envoy, Some(path)) => Some(path.clone()),
            (kind, _) => installed(kind.name()),
        }
    }

    /// Starts servers.
    pub(super) fn upstreams(
        &self,
        fleet: &Fleet,
        setting: UpstreamSetting,
    ) -> Result<Upstreams, ProxyBenchError> {
        Ok(Upstreams::start(&self.binaries.program, fleet, setting)?)
    }

    /// Starts all proxies that are asked for and installed. A row says which are not.
    pub(super) fn proxies(
        &self,
        fleet: &Fleet,
        kinds: &[ProxyKind],
        service: &str,
        upstreams: &[SocketAddr],
        rows: &mut Vec<Row>,
    ) -> Result<Vec<Proxy>, ProxyBenchError> {
        let mut proxies = Vec::new();
        for kind in kinds {
            if self.binary(*kind).is_some() {
                proxies.push(self.proxy(fleet, *kind, service, upstreams, &[])?);
            } else {
                let note = format!("{kind} is not installed: {}", kind.install());
                let row = Row::new(format!("{service}: {kind} is not measured"), f64::NAN, "");
                rows.push(row.note(&note));
            }
        }
        Ok(proxies)
    }

    /// Registers the servers as instances of a service with the first agent, without checks.
    pub(super) fn register(
        &self,
        fleet: &Fleet,
        service: &str,
        addresses: &[SocketAddr],
    ) -> Result<(), ProxyBenchError> {
        let mut api = fleet.connect(0)?;
        for (number, address) in addresses.iter().enumerate() {
            let instance = json!({
                "service": service, "id": format!("{service}-{number}"),
                "address": address.ip().to_string(), "port": address.port(),
            });
            api.done("registered", &json!({ "register": instance }))?;
        }
        Ok(())
    }

    /// Starts a proxy to the instances of a service, which are the same as `upstreams`. `options` are further ones of
    /// `hobnob proxy`. It answers when this returns.
    pub(super) fn proxy(
        &self,
        fleet: &Fleet,
        kind: ProxyKind,
        service: &str,
        upstreams: &[SocketAddr],
        options: &[&str],
    ) -> Result<Proxy, ProxyBenchError> {
        let address = free_port().map_err(ProxyBenchError::at("find a free port"))?;
        let name = format!("{kind}-{}", address.port());
        let log = fleet.folder().join(format!("{name}.log"));
        let mut command = match kind {
            ProxyKind::Hobnob => {
                let mut command = fleet.command();
                command.arg("proxy").arg(format!("{service}={address}"));
                command.arg("--max-connections").arg(self.max_connections().to_string());
                command.arg("--socket").arg(fleet.socket(0)).args(options);
                command
            }
            _ => self.peer(fleet.folder(), &name, kind, address, upstreams)?,
        };
        let stderr = File::create(&log).map_err(ProxyBenchError::at("create a log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let process = self
            .processors
            .on_the_proxies(|| fleet.start_beside(&mut command).map_err(ProxyBenchError::from))?;
        let proxy = Proxy { kind, address, process };
        proxy.until_it_answers(&log)?;
        Ok(proxy)
    }

    /// Connections of clients that a proxy may have. Few connections to servers are enough for all of them.
    fn max_connections(&self) -> u64 {
        self.descriptors.saturating_sub(SPARE_DESCRIPTORS).min(MAX_CONNECTIONS)
    }

    fn peer(
        &self,
        folder: &Path,
        name: &str,
        kind: ProxyKind,
        listen: SocketAddr,
        upstreams: &[SocketAddr],
    ) -> Result<Command, ProxyBenchError> {
        let connections = self.max_connections();
        let text = match kind {
            ProxyKind::Haproxy => peers::haproxy(listen, upstreams, connections),
            ProxyKind::Nginx => {
                peers::nginx(listen, upstreams, connections, &folder.display().to_string())
            }
            ProxyKind::Envoy | ProxyKind::Hobnob => peers::envoy(listen, upstreams),
        };
        let suffix = if kind == ProxyKind::Envoy { "yaml" } else { "conf" };
        let file = folder.join(format!("{name}.{suffix}"));
        fs::write(&file, text).map_err(ProxyBenchError::at("write a configuration"))?;
        let mut command = Command::new(self.binary(kind).unwrap_or_else(|| kind.name().into()));
        match kind {
            ProxyKind::Haproxy => command.arg("-db").arg("-f").arg(file),
            ProxyKind::Nginx => command.arg("-e").arg("stderr").arg("-c").arg(file),
            ProxyKind::Envoy | ProxyKind::Hobnob => command.arg("-c").arg(file).args([
                "--concurrency",
                "1",
                "--disable-hot-restart",
                "--log-level",
                "error",
            ]),
        };
        Ok(command)
    }
}

impl Upstreams {
    /// Starts servers by the arguments `bench upstream` of a binary.
    pub(super) fn start(
        program: &Path,
        fleet: &Fleet,
        setting: UpstreamSetting,
    ) -> Result<Self, ProcessError> {
        let mut command = Command::new(program);
        command.args(["bench", "upstream", "--count", &setting.count.to_string()]);
        command.args(["--delay", &format!("{}us", setting.delay.as_micros())]);
        command.args(["--status", setting.status.as_str()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let process = fleet.start_beside(&mut command)?;
        let closed = || ProcessError::Server(io::ErrorKind::UnexpectedEof.into());
        let stdout = process.stdout().ok_or_else(closed)?;
        let lines = BufReader::new(stdout).lines().take(setting.count);
        let parse = |line: io::Result<String>| line?.parse().map_err(io::Error::other);
        let addresses = lines.map(parse).collect::<io::Result<Vec<SocketAddr>>>();
        let addresses = addresses.map_err(ProcessError::Server)?;
        if addresses.len() < setting.count {
            return Err(closed());
        }
        Ok(Self { process, addresses })
    }
}

impl Proxy {
    fn until_it_answers(&self, log: &Path) -> Result<(), ProxyBenchError> {
        let since = Instant::now();
        loop {
            if TcpStream::connect(self.address).and_then(|mut stream| ask(&mut stream)).is_ok() {
                return Ok(());
            }
            let is_over = !matches!(self.process.exit_status(), Ok(None));
            if is_over || since.elapsed() > STARTS_WITHIN {
                let text = fs::read_to_string(log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let log = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
                return Err(ProxyBenchError::NotServing { name: self.kind.to_string(), log });
            }
            thread::sleep(RETRY);
        }
    }
}

/// Makes one call over a connection, which stays open. An answer other than that of a server is an error.
pub(super) fn ask(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    let (mut answer, mut length) = ([0; 4096], 0);
    while !answer[..length].ends_with(ANSWER.as_bytes()) {
        let read = stream.read(&mut answer[length..])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += read;
    }
    if answer.starts_with(b"HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
