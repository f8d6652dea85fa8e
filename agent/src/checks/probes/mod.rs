//! The kinds of probes: one try of a check over the network.

#[cfg(test)]
pub(crate) mod fake_server;
mod http;
mod target;
mod tcp;

use std::io;
use std::time::Duration;

use hobnob_api::Probe;
use tokio::time;

use super::outcome::Outcome;

pub use http::MAX_BODY_BYTES;
pub(super) use target::Target;
pub use tcp::MAX_RESOLUTIONS;

/// Probes once. `timeout` covers everything: looking up the name, connecting, asking and reading the answer.
///
/// An HTTP probe is a `GET` over a fresh connection; any 2xx status is a success once the body, or the first
/// [`MAX_BODY_BYTES`] of it, has come. Redirects are not followed. A TCP probe succeeds when the connection opens.
pub async fn probe(probe: &Probe, timeout: Duration) -> Outcome {
    let target = match Target::parse(probe) {
        Ok(target) => target,
        Err(error) => return Outcome::failure(error.to_string()),
    };
    match time::timeout(timeout, attempt(&target)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::failure(error.to_string()),
        Err(_) => Outcome::failure(format!(
            "no answer from {}:{} within {timeout:?}",
            target.host, target.port
        )),
    }
}

/// A step of a probe that failed.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error("cannot look up `{host}`: {source}")]
    Lookup { host: String, source: io::Error },
    #[error("cannot connect to {host}:{port}: {source}")]
    Connect { host: String, port: u16, source: io::Error },
    #[error("no valid HTTP answer: {}", with_cause(.0))]
    Http(#[from] hyper::Error),
    #[error("no valid HTTP request: {0}")]
    Request(#[from] hyper::http::Error),
}

/// hyper's own message names the step, its source the reason.
fn with_cause(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

async fn attempt(target: &Target) -> Result<Outcome, ProbeError> {
    let stream = tcp::connect(target).await?;
    match &target.http {
        None => Ok(Outcome::success(format!("connected to {}:{}", target.host, target.port))),
        Some(http) => http::get(stream, http).await,
    }
}

#[cfg(test)]
mod tests {
    use super::fake_server::{Behaviour, FakeServer};
    use super::http::USER_AGENT;
    use super::*;

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
            raw(&format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100_000))),
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
    async fn the_timeout_covers_the_whole_answer() {
        let server = FakeServer::start().await;
        for behaviour in [
            Behaviour::Hang,
            Behaviour::RawThenHang(b"HTTP/1.1 200 OK\r\n".to_vec()),
            Behaviour::RawThenHang(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec()),
        ] {
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
        let outcome = try_http(&server, PATIENT).await;
        assert!(outcome.output().contains("cannot connect"), "{}", outcome.output());
    }

    #[tokio::test]
    async fn a_probe_that_was_never_valid_fails_with_a_reason() {
        let outcome = probe(&Probe::Http { url: "https://localhost/".into() }, PATIENT).await;
        assert!(outcome.output().contains("only http is spoken"), "{}", outcome.output());
    }
}
