//! `hobnob proxy` beside HAProxy, nginx and Envoy, and alone when servers are slow, fail, die and are deployed.
//!
//! Every proxy has one thread, keeps its connections on both sides, logs no access, and shares one processor with the others.
//! The load generator (h2load), the servers and the agent have the other processors. Rounds of one proxy and of the next
//! alternate, so that a busy machine slows all alike.

mod cost;
mod deploy;
mod faults;
mod h2load;
mod idle;
mod kind;
mod machine;
mod peers;
mod rounds;
mod stage;
mod upstream;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use kind::{ProxyKind, ProxyPart};
pub use upstream::{UpstreamSetting, serve};

use super::rolling::RollingError;
use super::row::Row;
use crate::processes::{Fleet, ProcessError};
use stage::Stage;

/// Servers behind the proxies.
const UPSTREAMS: usize = 10;

/// The extent of the measurements.
#[derive(Clone, Debug)]
pub struct ProxyEffort {
    /// The proxies that are compared.
    pub proxies: Vec<ProxyKind>,
    /// The parts that are measured.
    pub parts: Vec<ProxyPart>,
    /// Calls a second at which processor times are compared; without it, half of the rate that all proxies bear.
    pub rate: Option<u32>,
    /// Connections of the load generator at a fixed rate; without it, as many as keep each from waiting for its answers.
    pub clients: Option<u32>,
    /// Rounds of each proxy.
    pub rounds: usize,
    /// The time for which a round is measured.
    pub lasts: Duration,
    /// Idle connections to each proxy.
    pub idle: usize,
}

/// The binaries that are measured and measure.
#[derive(Clone, Debug)]
pub struct ProxyBinaries {
    /// The agent and the proxy.
    pub hobnob: PathBuf,
    /// The binary whose arguments `bench upstream` start a server.
    pub program: PathBuf,
    /// Envoy; without it, `envoy` on the PATH.
    pub envoy: Option<PathBuf>,
}

/// Why the proxies could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyBenchError {
    /// An agent or another process failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A deploy failed.
    #[error(transparent)]
    Deploy(#[from] RollingError),
    /// The load generator is missing.
    #[error("h2load is not installed, which makes the calls: apt-get install nghttp2-client")]
    NoLoadGenerator,
    /// There is one processor.
    #[error(
        "the proxies have a processor of their own: this process may use {0}, and 2 are needed"
    )]
    TooFewProcessors(usize),
    /// The number of descriptors is limited.
    #[error(
        "{0} idle connections need as many descriptors, and {1} are allowed: raise `ulimit -Hn`, or lower --idle"
    )]
    TooFewDescriptors(usize, u64),
    /// A proxy does not serve.
    #[error("{name} does not answer as it should; the end of its log:\n{log}")]
    NotServing {
        /// The proxy.
        name: String,
        /// The end of what it wrote.
        log: String,
    },
    /// The load generator failed.
    #[error("h2load failed: {0}")]
    Load(String),
    /// The load ended before what was to happen under it.
    #[error("the deploy took longer than the {0:?} for which calls are made")]
    LoadTooShort(Duration),
    /// A file, a socket or a processor cannot be used.
    #[error("cannot {what}: {cause}")]
    Setting {
        /// What was tried.
        what: String,
        /// The system's error.
        cause: io::Error,
    },
}

impl ProxyBenchError {
    /// Names what failed, for `map_err`.
    fn at(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Setting { what, cause }
    }
}

/// Measures the proxies. `told` hears how far it is, and which proxies are left out.
///
/// # Errors
/// The agent, a server, a proxy or the load generator cannot be started, or does not work.
pub fn measure(
    binaries: &ProxyBinaries,
    effort: &ProxyEffort,
    mut told: impl FnMut(&str),
) -> Result<Vec<Row>, ProxyBenchError> {
    let mut rows = Vec::new();
    let stage = Stage::set(binaries, effort.clients)?;
    let is_asked = |part| effort.parts.contains(&part);
    if effort.parts.iter().any(|part| *part != ProxyPart::Deploy) {
        let mut fleet = Fleet::new(&binaries.hobnob)?;
        fleet.start(None)?;
        if is_asked(ProxyPart::Cost) {
            cost::measure(&stage, &fleet, effort, &mut rows, &mut told)?;
        }
        if is_asked(ProxyPart::Idle) {
            idle::measure(&stage, &fleet, effort, &mut rows, &mut told)?;
        }
        if is_asked(ProxyPart::Slow) {
            faults::slow(&stage, &fleet, effort, &mut rows, &mut told)?;
        }
        if is_asked(ProxyPart::Failing) {
            faults::failing(&stage, &fleet, &mut rows, &mut told)?;
        }
        if is_asked(ProxyPart::Killed) {
            faults::killed(&stage, &fleet, &mut rows, &mut told)?;
        }
    }
    if is_asked(ProxyPart::Deploy) {
        deploy::measure(&stage, &mut rows, &mut told)?;
    }
    Ok(rows)
}

/// A binary on the PATH, or where the system's servers are.
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([Path::new("/usr/sbin").to_owned()]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}
