//! The kinds of probes: one try of a check.

mod alias;
#[cfg(test)]
pub(crate) mod fake_server;
mod grpc;
mod http;
mod limited;
mod lookup;
mod script;
mod target;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
mod udp;

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hobnob_api::Probe;
use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::outcome::Outcome;
use super::watched::UnderWay;
use crate::descriptors::shares;

pub use alias::{Followed, Neighbours};
pub use http::{MAX_BODY_BYTES, MAX_HEAD_BYTES, MAX_HEAD_FIELDS};
pub use lookup::{MAX_RESOLUTIONS, MAX_SLOW_RESOLUTIONS};
pub use script::MAX_SCRIPTS;
pub(super) use target::Target;
pub use tcp::MAX_ADDRESSES;
pub use tls::MAX_CA_FILE_BYTES;

/// How much later than its timeout a probe may end. Timers are not exact on a busy host. The outcome of a probe that ends
/// later than that is void: this process stalled meanwhile, and what it then finds is old.
pub const LATE_AFTER: Duration = Duration::from_millis(100);

/// The errors of the system that tell of this host, and of no other.
const LOCAL: [Errno; 5] =
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];

/// One permit for each probe under way.
static PERMITS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(shares().probes));

static VOID: AtomicU64 = AtomicU64::new(0);

/// The probes of this process that were void, since its start.
#[must_use]
pub fn void_probes() -> u64 {
    VOID.load(Ordering::Relaxed)
}

/// The instance of a check, as scripts learn of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The id of the instance.
    pub instance: Arc<str>,
    /// The service that it belongs to.
    pub service: String,
    /// The name of the check.
    pub check: String,
    /// The address where it answers.
    pub address: String,
    /// The port where it answers.
    pub port: u16,
}

/// Makes the probes of this agent's checks.
#[derive(Clone, Debug, Default)]
pub struct Prober {
    /// What aliases follow; absent before the agent knows any status.
    pub neighbours: Option<Arc<dyn Neighbours>>,
    /// Whether scripts are run.
    pub script_checks: bool,
}

impl Prober {
    /// Probes once. `timeout` covers everything: looking up the name, connecting, asking and reading the answer.
    ///
    /// An HTTP probe is one request over a fresh connection; any 2xx status is a success unless the check expects others, and
    /// 429 is a success with a warning. The body is read, but neither more than [`MAX_BODY_BYTES`] of it nor for longer than a
    /// second. Redirects are not followed. A TCP probe succeeds when the connection opens, a UDP probe when anything answers,
    /// a gRPC probe when the service is `SERVING`, a script when its exit code is 0. Of a name with several addresses, the
    /// first [`MAX_ADDRESSES`] are tried. An alias has the health of what it follows. A check by reports has no probe, and its
    /// outcome is void.
    ///
    /// As many probes are made at a time as the limit of open files allows, and [`MAX_SCRIPTS`] scripts. Further ones wait,
    /// and their time begins afterwards. The outcome is void when this agent could not make the probe, or stalled meanwhile.
    pub async fn probe(&self, subject: &Subject, probe: &Probe, timeout: Duration) -> Outcome {
        let target = match Target::parse(probe) {
            Ok(target) => target,
            Err(error) => return Outcome::failure(error.to_string()),
        };
        let permits = match probe {
            Probe::Alias(alias) => {
                let neighbours = self.neighbours.as_deref();
                return alias::follow(neighbours, alias, &subject.instance).await;
            }
            Probe::Ttl { .. } => return Outcome::void("no report yet"),
            Probe::Script { .. } if !self.script_checks => {
                return Outcome::void("this agent runs without --enable-script-checks");
            }
            Probe::Script { .. } => &script::PERMITS,
            _ => &*PERMITS,
        };
        // The permits are never closed.
        let _permit = permits.acquire().await.ok();
        let _under_way = UnderWay::begin(timeout);
        let began = Instant::now();
        let attempted = match &target {
            Some(target) => attempt(target, probe, began + timeout).await,
            None => attempt_here(subject, probe, timeout).await,
        };
        let outcome = match attempted {
            _ if began.elapsed() > timeout + LATE_AFTER => {
                Outcome::void("this agent stalled during the probe")
            }
            Ok(outcome) => outcome,
            Err(ProbeError::NoAnswer) => {
                let of =
                    target.map_or_else(|| probe.kind().to_owned(), |target| target.to_string());
                Outcome::failure(format!("no answer from {of} within {timeout:?}"))
            }
            Err(error) if error.is_local() => Outcome::void(error.to_string()),
            Err(error) if error.is_refusal() && !matches!(probe, Probe::Udp(_)) => {
                Outcome::refusal(error.to_string())
            }
            Err(error) => Outcome::failure(error.to_string()),
        };
        if outcome.is_void() {
            VOID.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }
}

/// Drives a connection while something is asked over it: here, not by a task, so that no part of the connection outlives the timeout.
/// The end of the connection decides nothing, since an answer may still be on its way through the queues of its library.
async fn driving<T>(connection: impl Future, exchange: impl Future<Output = T>) -> T {
    let connection = async {
        connection.await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        outcome = exchange => outcome,
        never = connection => match never {},
    }
}

/// A step of a probe that failed.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error("cannot look up `{host}`: {source}")]
    Lookup { host: String, source: Arc<io::Error> },
    #[error("cannot look up `{host}`: no resolver answers in time")]
    Unresolved { host: String },
    #[error("cannot look up `{host}`: too many other names wait for a resolver")]
    NoLookup { host: String },
    #[error("cannot connect to {host}:{port}: {source}")]
    Connect { host: String, port: u16, source: io::Error },
    #[error("no answer in time")]
    NoAnswer,
    #[error("no TLS with the server: {0}")]
    Tls(io::Error),
    #[error("{0}")]
    Trust(String),
    #[error("{0} cannot be read in time")]
    Unread(String),
    #[error("no valid HTTP answer: {}", with_cause(.0))]
    Http(#[from] hyper::Error),
    #[error("no valid HTTP request: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("no valid HTTP request: {0}")]
    Field(#[from] hyper::header::InvalidHeaderValue),
    #[error("no valid answer of gRPC: {0}")]
    Grpc(#[from] h2::Error),
    #[error("cannot run {program}: {source}")]
    Script { program: String, source: io::Error },
}

impl ProbeError {
    fn connect(target: &Target, source: io::Error) -> Self {
        Self::Connect { host: target.host.clone(), port: target.port, source }
    }

    /// Whether it tells of this agent and its host alone.
    fn is_local(&self) -> bool {
        match self {
            Self::NoLookup { .. } | Self::Unread(_) => true,
            Self::Lookup { source, .. } => is_local(source),
            Self::Connect { source, .. } | Self::Tls(source) => is_local(source),
            // Besides, there may be as many processes as there may be.
            Self::Script { source, .. } => {
                is_local(source) || source.kind() == io::ErrorKind::WouldBlock
            }
            Self::Http(error) => {
                let cause = std::error::Error::source(error);
                cause.and_then(|cause| cause.downcast_ref()).is_some_and(is_local)
            }
            Self::Unresolved { .. }
            | Self::NoAnswer
            | Self::Request(_)
            | Self::Field(_)
            | Self::Grpc(_)
            | Self::Trust(_) => false,
        }
    }

    /// Whether the host of the service tells that nobody listens there.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused)
    }
}

/// Whether an error of the system tells of a shortage on this host.
pub(crate) fn is_local(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| LOCAL.contains(&errno))
}

/// hyper's own message names the step, its source the reason.
fn with_cause(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Tries over the network.
async fn attempt(target: &Target, probe: &Probe, deadline: Instant) -> Result<Outcome, ProbeError> {
    if let Probe::Udp(udp) = probe {
        return udp::ask(target, udp, deadline).await;
    }
    let stream = tcp::connect(target, deadline).await?;
    let stream = || {
        let stream = TcpStream::from_std(stream);
        stream.map_err(|source| ProbeError::connect(target, source))
    };
    match (probe, &target.http) {
        (Probe::Grpc(grpc), _) => {
            let (service, authority) = (grpc.service.as_deref(), target.to_string());
            let service = service.unwrap_or_default();
            match &grpc.tls {
                None => grpc::ask(stream()?, "http", &authority, service, deadline).await,
                Some(tls) => {
                    let stream =
                        tls::connect(stream()?, tls, &target.host, b"h2", deadline).await?;
                    grpc::ask(stream, "https", &authority, service, deadline).await
                }
            }
        }
        (_, Some(http)) => match &http.tls {
            None => http::ask(stream()?, http, deadline).await,
            Some(tls) => {
                let stream =
                    tls::connect(stream()?, tls, &target.host, b"http/1.1", deadline).await?;
                http::ask(stream, http, deadline).await
            }
        },
        _ => Ok(Outcome::success(format!("connected to {}:{}", target.host, target.port))),
    }
}

/// Tries on this host.
async fn attempt_here(
    subject: &Subject,
    probe: &Probe,
    timeout: Duration,
) -> Result<Outcome, ProbeError> {
    match probe {
        Probe::Script { args } => script::run(args, subject, timeout).await,
        _ => Ok(Outcome::void("nothing to probe")),
    }
}
