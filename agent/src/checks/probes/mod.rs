//! The kinds of probes: one try of a check over the network.

#[cfg(test)]
pub(crate) mod fake_server;
mod http;
mod lookup;
mod target;
mod tcp;

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

pub use http::{MAX_BODY_BYTES, MAX_HEAD_BYTES, MAX_HEAD_FIELDS};
pub use lookup::{MAX_RESOLUTIONS, MAX_SLOW_RESOLUTIONS};
pub(super) use target::Target;
pub use tcp::MAX_ADDRESSES;

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

/// Probes once. `timeout` covers everything: looking up the name, connecting, asking and reading the answer.
///
/// An HTTP probe is a `GET` over a fresh connection; any 2xx status is a success. The body is read, but neither more than
/// [`MAX_BODY_BYTES`] of it nor for longer than a second. Redirects are not followed. A TCP probe succeeds when the
/// connection opens. Of a name with several addresses, the first [`MAX_ADDRESSES`] are tried.
///
/// As many probes are made at a time as the limit of open files allows. Further ones wait, and their time begins
/// afterwards. The outcome is void when this agent could not make the probe, or stalled meanwhile.
pub async fn probe(probe: &Probe, timeout: Duration) -> Outcome {
    let target = match Target::parse(probe) {
        Ok(target) => target,
        Err(error) => return Outcome::failure(error.to_string()),
    };
    // The permits are never closed.
    let _permit = PERMITS.acquire().await.ok();
    let _under_way = UnderWay::begin(timeout);
    let began = Instant::now();
    let attempted = attempt(&target, began + timeout).await;
    let outcome = match attempted {
        _ if began.elapsed() > timeout + LATE_AFTER => {
            Outcome::void("this agent stalled during the probe")
        }
        Ok(outcome) => outcome,
        Err(ProbeError::NoAnswer) => Outcome::failure(format!(
            "no answer from {}:{} within {timeout:?}",
            target.host, target.port
        )),
        Err(error) if error.is_local() => Outcome::void(error.to_string()),
        Err(error) if error.is_refusal() => Outcome::refusal(error.to_string()),
        Err(error) => Outcome::failure(error.to_string()),
    };
    if outcome.is_void() {
        VOID.fetch_add(1, Ordering::Relaxed);
    }
    outcome
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
    #[error("no valid HTTP answer: {}", with_cause(.0))]
    Http(#[from] hyper::Error),
    #[error("no valid HTTP request: {0}")]
    Request(#[from] hyper::http::Error),
}

impl ProbeError {
    fn connect(target: &Target, source: io::Error) -> Self {
        Self::Connect { host: target.host.clone(), port: target.port, source }
    }

    /// Whether it tells of this agent and its host alone.
    fn is_local(&self) -> bool {
        match self {
            Self::NoLookup { .. } => true,
            Self::Lookup { source, .. } => is_local(source),
            Self::Connect { source, .. } => is_local(source),
            Self::Http(error) => {
                let cause = std::error::Error::source(error);
                cause.and_then(|cause| cause.downcast_ref()).is_some_and(is_local)
            }
            Self::Unresolved { .. } | Self::NoAnswer | Self::Request(_) => false,
        }
    }

    /// Whether the host of the service tells that nobody listens there.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused)
    }
}

/// Whether an error of the system tells of a shortage on this host.
fn is_local(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| LOCAL.contains(&errno))
}

/// hyper's own message names the step, its source the reason.
fn with_cause(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

async fn attempt(target: &Target, deadline: Instant) -> Result<Outcome, ProbeError> {
    let stream = tcp::connect(target, deadline).await?;
    match &target.http {
        None => Ok(Outcome::success(format!("connected to {}:{}", target.host, target.port))),
        Some(http) => {
            let stream = TcpStream::from_std(stream);
            let stream = stream.map_err(|source| ProbeError::connect(target, source))?;
            http::get(stream, http, deadline).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake_server::{Behaviour, FakeServer};
    use super::http::USER_AGENT;
    use super::*;
    use crate::checks::outcome::Meaning;

    const PATIENT: Duration = Duration::from_secs(30);
    const IMPATIENT: Duration = Duration::from_millis(50);

    async fn try_http(server: &FakeServer, timeout: Duration) -> Outcome {
        probe(&Probe::Http { url: server.url() }, timeout).await
    }

    fn raw(text: &str) -> Behaviour {
        Behaviour::Raw(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn a_2xx_status_is_a_success_and_no_other() {
        let server = FakeServer::start().await;
        for (status, success) in
            [(200, true), (204, true), (299, true), (301, false), (404, false), (503, false)]
        {
            server.behave(Behaviour::Status(status));
            let outcome = try_http(&server, PATIENT).await;
            assert_eq!(outcome.is_success(), success, "{status}: {}", outcome.output());
            assert!(outcome.output().contains(&status.to_string()), "{}", outcome.output());
        }
        assert_eq!(server.requests().len(), 6, "redirects are not followed");
    }

    #[tokio::test]
    async fn the_request_names_its_path_host_and_client() {
        let server = FakeServer::start().await;
        try_http(&server, PATIENT).await;
        let request = server.requests().remove(0);
        assert!(request.starts_with("GET /health HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("host: {}\r\n", server.addr())), "{request}");
        assert!(request.contains(&format!("user-agent: {USER_AGENT}\r\n")), "{request}");
    }

    #[tokio::test]
    async fn a_host_name_is_looked_up() {
        let server = FakeServer::start().await;
        let port = server.addr().port();
        let outcome =
            probe(&Probe::Http { url: format!("http://localhost:{port}/") }, PATIENT).await;
        assert!(outcome.is_success(), "{}", outcome.output());
        let outcome = probe(&Probe::Tcp { address: format!("localhost:{port}") }, PATIENT).await;
        assert!(outcome.is_success(), "{}", outcome.output());
    }

    #[tokio::test]
    async fn an_invalid_answer_is_a_failure() {
        let server = FakeServer::start().await;
        for behaviour in [
            Behaviour::Close,
            raw(""),
            raw("HTTP/1.1 200"),
            raw("not HTTP at all\r\n\r\n"),
            Behaviour::Raw(vec![0xff; 100_000]),
            raw(&format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(2 * MAX_HEAD_BYTES))),
            raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ncut short"),
            raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
        ] {
            server.behave(behaviour.clone());
            let outcome = try_http(&server, PATIENT).await;
            assert!(!outcome.is_success(), "{behaviour:?}");
            assert!(
                outcome.output().contains("no valid HTTP answer"),
                "{behaviour:?}: {}",
                outcome.output()
            );
        }
    }

    #[tokio::test]
    async fn the_timeout_covers_the_whole_head_of_the_answer() {
        let server = FakeServer::start().await;
        for behaviour in [Behaviour::Hang, Behaviour::RawThenHang(b"HTTP/1.1 200 OK\r\n".to_vec())]
        {
            server.behave(behaviour.clone());
            let outcome = try_http(&server, IMPATIENT).await;
            assert!(!outcome.is_success(), "{behaviour:?}");
            assert!(
                outcome.output().contains("within 50ms"),
                "{behaviour:?}: {}",
                outcome.output()
            );
        }
    }

    #[tokio::test]
    async fn the_status_decides_although_the_body_is_held_open() {
        let server = FakeServer::start().await;
        for (status, success) in [("200 OK", true), ("503 X", false)] {
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 100\r\n\r\nhalf");
            server.behave(Behaviour::RawThenHang(answer.into_bytes()));
            for timeout in [Duration::from_millis(500), PATIENT] {
                let outcome = try_http(&server, timeout).await;
                assert_eq!(outcome.is_success(), success, "{status}: {}", outcome.output());
                assert!(outcome.output().contains(&status[..3]), "{}", outcome.output());
            }
        }
    }

    #[tokio::test]
    async fn a_long_head_is_as_good_as_a_short_one() {
        let server = FakeServer::start().await;
        let fields: String =
            (0..1_000).map(|at| format!("x-{at}: {}\r\n", "y".repeat(50))).collect();
        server.behave(raw(&format!("HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n")));
        let outcome = try_http(&server, PATIENT).await;
        assert!(outcome.is_success(), "{}", outcome.output());
    }

    /// A timer that fires late tells of this process, not of the server.
    #[tokio::test(start_paused = true)]
    async fn a_probe_that_ends_late_is_void() {
        let server = FakeServer::start().await;
        server.behave(Behaviour::Hang);
        let (void, url) = (void_probes(), server.url());
        let probing = tokio::spawn(async move { probe(&Probe::Http { url }, PATIENT).await });
        while server.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(PATIENT + 2 * LATE_AFTER).await;
        let outcome = probing.await.expect("no panic");
        assert!(outcome.is_void() && !outcome.is_success(), "{}", outcome.output());
        assert!(void_probes() > void);
    }

    #[test]
    fn a_shortage_on_this_host_is_no_news_about_another() {
        let connect = |errno: Errno| {
            let (host, source) = ("h".to_owned(), errno.into());
            ProbeError::Connect { host, port: 1, source }.is_local()
        };
        assert!(connect(Errno::MFILE) && connect(Errno::NFILE) && connect(Errno::ADDRNOTAVAIL));
        assert!(!connect(Errno::CONNREFUSED) && !connect(Errno::HOSTUNREACH));
    }

    #[tokio::test]
    async fn of_an_endless_body_only_the_beginning_is_read() {
        let server = FakeServer::start().await;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{}",
            "x".repeat(2 * MAX_BODY_BYTES)
        );
        server.behave(Behaviour::RawThenHang(head.into_bytes()));
        let outcome = try_http(&server, PATIENT).await;
        assert!(outcome.is_success(), "{}", outcome.output());
    }

    #[tokio::test]
    async fn a_port_that_is_open_and_one_that_is_not() {
        let mut server = FakeServer::start().await;
        let tcp = Probe::Tcp { address: server.addr().to_string() };
        assert!(probe(&tcp, PATIENT).await.is_success());
        server.stop().await;
        let outcome = probe(&tcp, PATIENT).await;
        assert!(!outcome.is_success());
        assert!(
            outcome.output().contains(&format!("cannot connect to {}", server.addr())),
            "{}",
            outcome.output()
        );
        assert_eq!(outcome.meaning(), Meaning::Refusal);
        let outcome = try_http(&server, PATIENT).await;
        assert!(outcome.output().contains("cannot connect"), "{}", outcome.output());
    }

    #[tokio::test]
    async fn a_probe_that_was_never_valid_fails_with_a_reason() {
        let outcome = probe(&Probe::Http { url: "https://localhost/".into() }, PATIENT).await;
        assert!(outcome.output().contains("only http is spoken"), "{}", outcome.output());
    }
}
