//! Every kind of probe against servers that misbehave.

mod grpc;
mod tls;
mod udp;

use super::fake_server::{Behaviour, FakeServer};
use super::http::USER_AGENT;
use super::*;
use crate::checks::outcome::Meaning;
use hobnob_api::{Alias, HttpProbe};
use hobnob_membership::record::Health;
use std::collections::BTreeMap;
use std::pin::Pin;

const PATIENT: Duration = Duration::from_secs(30);
const IMPATIENT: Duration = Duration::from_millis(50);

async fn probe(probe: &Probe, timeout: Duration) -> Outcome {
    Prober::default().probe(&Subject::default(), probe, timeout).await
}

async fn try_http(server: &FakeServer, timeout: Duration) -> Outcome {
    probe(&Probe::http(server.url()), timeout).await
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
    let outcome = probe(&Probe::http(format!("http://localhost:{port}/")), PATIENT).await;
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
    for behaviour in [Behaviour::Hang, Behaviour::RawThenHang(b"HTTP/1.1 200 OK\r\n".to_vec())] {
        server.behave(behaviour.clone());
        let outcome = try_http(&server, IMPATIENT).await;
        assert!(!outcome.is_success(), "{behaviour:?}");
        assert!(outcome.output().contains("within 50ms"), "{behaviour:?}: {}", outcome.output());
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
    let fields: String = (0..1_000).map(|at| format!("x-{at}: {}\r\n", "y".repeat(50))).collect();
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
    let probing = tokio::spawn(async move { probe(&Probe::http(url), PATIENT).await });
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
    let outcome = probe(&Probe::http("ftp://localhost/"), PATIENT).await;
    assert!(outcome.output().contains("does not begin with http://"), "{}", outcome.output());
}

#[tokio::test]
async fn a_request_is_what_the_check_asks_for() {
    let server = FakeServer::start().await;
    let http = HttpProbe {
        url: server.url(),
        method: Some("POST".to_owned()),
        headers: BTreeMap::from([
            ("Host".to_owned(), "shop.test".to_owned()),
            ("x-token".to_owned(), "secret".to_owned()),
        ]),
        body: Some("{\"deep\":true}".to_owned()),
        ..HttpProbe::default()
    };
    let outcome = probe(&Probe::Http(Box::new(http)), PATIENT).await;
    assert!(outcome.is_success(), "{}", outcome.output());
    let request = server.requests().remove(0);
    assert!(request.starts_with("POST /health HTTP/1.1\r\n"), "{request}");
    for field in ["host: shop.test\r\n", "x-token: secret\r\n", "content-length: 13\r\n"] {
        assert!(request.contains(field), "no {field} in {request}");
    }
}

#[tokio::test]
async fn expected_codes_pass_and_429_warns_unless_it_is_expected() {
    use Meaning::{Failure, Success, Warning};
    let server = FakeServer::start().await;
    for (expect, status, meaning) in [
        (&[][..], 429, Warning),
        (&[], 503, Failure),
        (&["301"], 301, Success),
        (&["301"], 200, Failure),
        (&["2xx", "429"], 429, Success),
        (&["200-299"], 429, Warning),
    ] {
        server.behave(Behaviour::Status(status));
        let expect = expect.iter().map(|range| range.parse().expect("a range")).collect();
        let http = HttpProbe { url: server.url(), expect, ..HttpProbe::default() };
        let outcome = probe(&Probe::Http(Box::new(http)), PATIENT).await;
        assert_eq!(outcome.meaning(), meaning, "{status}: {}", outcome.output());
    }
}

#[tokio::test]
async fn the_beginning_of_the_body_says_what_is_wrong() {
    let server = FakeServer::start().await;
    server.behave(raw("HTTP/1.1 503 X\r\ncontent-length: 17\r\n\r\ndb: down\r\nq: full"));
    let outcome = try_http(&server, PATIENT).await;
    let expected = "HTTP 503 Service Unavailable: db: down q: full";
    assert_eq!(outcome.output(), expected);
}

#[tokio::test]
async fn a_server_that_drips_runs_out_of_time_and_one_that_resets_fails() {
    let server = FakeServer::start().await;
    server.behave(Behaviour::Drip(Duration::from_millis(1)));
    let outcome = try_http(&server, Duration::from_millis(200)).await;
    assert!(outcome.output().contains("within 200ms"), "{}", outcome.output());
    server.behave(Behaviour::Reset);
    let outcome = try_http(&server, PATIENT).await;
    assert_eq!(outcome.meaning(), Meaning::Failure, "{}", outcome.output());
}

#[tokio::test]
async fn interim_answers_without_an_end_are_no_answer() {
    let server = FakeServer::start().await;
    server.behave(Behaviour::RawThenHang(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(40_000)));
    let outcome = try_http(&server, Duration::from_secs(60)).await;
    assert_eq!(outcome.meaning(), Meaning::Failure);
    assert!(outcome.output().contains("more than 524288 bytes"), "{}", outcome.output());
}

#[tokio::test]
async fn of_a_gigabyte_only_the_beginning_is_read() {
    let server = FakeServer::start().await;
    server.behave(Behaviour::Huge);
    let outcome = try_http(&server, PATIENT).await;
    assert!(outcome.is_success(), "{}", outcome.output());
}

#[tokio::test]
async fn kinds_that_probe_nothing_are_void() {
    for (kind, says) in [
        (Probe::Ttl { ttl_ms: 1_000 }, "no report"),
        (Probe::Script { args: vec!["true".to_owned()] }, "--enable-script-checks"),
        (Probe::Alias(Alias::Instance("db".to_owned())), "not known yet"),
    ] {
        let outcome = probe(&kind, PATIENT).await;
        assert!(outcome.is_void() && outcome.output().contains(says), "{}", outcome.output());
    }
}

/// Says the same of everything.
#[derive(Debug)]
struct Always(Health);

impl Neighbours for Always {
    fn health_of(
        &self,
        alias: Alias,
        _: Arc<str>,
    ) -> Pin<Box<dyn Future<Output = Option<Followed>> + Send>> {
        let followed = Followed { health: self.0, output: format!("{alias:?}") };
        Box::pin(async { Some(followed) })
    }
}

#[tokio::test]
async fn an_alias_has_the_health_of_what_it_follows() {
    use Meaning::{Failure, Success, Void, Warning};
    for (health, meaning) in [
        (Health::Passing, Success),
        (Health::Warning, Warning),
        (Health::Failing, Failure),
        (Health::Unknown, Void),
    ] {
        let prober = Prober { neighbours: Some(Arc::new(Always(health))), script_checks: false };
        let alias = Probe::Alias(Alias::Member("host-3".to_owned()));
        let outcome = prober.probe(&Subject::default(), &alias, PATIENT).await;
        assert_eq!(outcome.meaning(), meaning);
        assert!(outcome.output().contains("host-3"), "{}", outcome.output());
    }
}

#[tokio::test]
async fn a_script_runs_where_it_may() {
    let prober = Prober { neighbours: None, script_checks: true };
    let args = ["sh", "-c", "echo $HOBNOB_INSTANCE; exit 1"].map(str::to_owned).to_vec();
    let subject = Subject { instance: "web-1".into(), ..Subject::default() };
    let outcome = prober.probe(&subject, &Probe::Script { args }, PATIENT).await;
    assert_eq!((outcome.meaning(), outcome.output()), (Meaning::Warning, "exit code 1: web-1"));
}
