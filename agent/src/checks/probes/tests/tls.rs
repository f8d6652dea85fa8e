//! Probes by HTTPS against a server with a certificate of a CA that no host trusts.

use hobnob_api::ProbeTls;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::*;

pub(super) const CA: &str = include_str!("certificates/ca.pem");

/// A server for `localhost`, `shop.test` and `127.0.0.1`.
pub(super) fn acceptor(alpn: &[u8]) -> TlsAcceptor {
    let certificate = include_bytes!("certificates/server.pem");
    let certificate = CertificateDer::from_pem_slice(certificate).expect("a certificate");
    let key = include_bytes!("certificates/server.key");
    let key = PrivateKeyDer::from_pem_slice(key).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth();
    let mut config =
        builder.with_single_cert(vec![certificate], key).expect("they belong together");
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn try_https(server: &FakeServer, tls: ProbeTls, timeout: Duration) -> Outcome {
    let http = HttpProbe { url: server.url(), tls, ..HttpProbe::default() };
    probe(&Probe::Http(Box::new(http)), timeout).await
}

fn trusting() -> ProbeTls {
    ProbeTls { ca_pem: Some(CA.to_owned()), ..ProbeTls::default() }
}

#[tokio::test]
async fn a_server_is_trusted_by_its_ca_and_its_name() {
    let server = FakeServer::start_tls(acceptor(b"http/1.1")).await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, CA).expect("written");
    let ca_file = Some(file.to_str().expect("text").to_owned());
    let named = |name: &str| ProbeTls { server_name: Some(name.to_owned()), ..trusting() };
    for (tls, failure) in [
        (trusting(), None),
        (ProbeTls { ca_file, ..ProbeTls::default() }, None),
        (named("shop.test"), None),
        (named("other.test"), Some("no TLS with the server")),
        (ProbeTls { skip_verify: true, ..named("other.test") }, None),
        (ProbeTls { skip_verify: true, ..ProbeTls::default() }, None),
        (ProbeTls::default(), Some("no TLS with the server")),
        (
            ProbeTls { ca_file: Some("/nowhere.pem".to_owned()), ..ProbeTls::default() },
            Some("/nowhere.pem"),
        ),
        (
            ProbeTls { ca_pem: Some("none".to_owned()), ..ProbeTls::default() },
            Some("no CA certificate"),
        ),
    ] {
        let outcome = try_https(&server, tls.clone(), PATIENT).await;
        assert_eq!(outcome.is_success(), failure.is_none(), "{tls:?}: {}", outcome.output());
        assert!(outcome.output().contains(failure.unwrap_or("HTTP 200")), "{}", outcome.output());
        assert!(!outcome.is_void(), "{}", outcome.output());
    }
}

#[tokio::test]
async fn a_server_misbehaves_over_tls_as_it_does_without() {
    use Meaning::{Failure, Success, Warning};
    let server = FakeServer::start_tls(acceptor(b"http/1.1")).await;
    for (behaviour, timeout, meaning) in [
        (Behaviour::Status(429), PATIENT, Warning),
        (Behaviour::Status(500), PATIENT, Failure),
        (Behaviour::Status(302), PATIENT, Failure),
        (Behaviour::Huge, PATIENT, Success),
        (Behaviour::Close, PATIENT, Failure),
        (Behaviour::Reset, PATIENT, Failure),
        (Behaviour::Hang, Duration::from_millis(500), Failure),
        (Behaviour::Drip(Duration::from_millis(1)), Duration::from_millis(500), Failure),
    ] {
        server.behave(behaviour.clone());
        let outcome = try_https(&server, trusting(), timeout).await;
        assert_eq!(outcome.meaning(), meaning, "{behaviour:?}: {}", outcome.output());
    }
}

/// A server that takes connections and speaks no TLS, or nothing.
#[tokio::test]
async fn a_server_without_tls_fails() {
    let server = FakeServer::start().await;
    let url = server.url().replace("http:", "https:");
    let http = || {
        Probe::Http(Box::new(HttpProbe {
            url: url.clone(),
            tls: trusting(),
            ..HttpProbe::default()
        }))
    };
    server.behave(Behaviour::Close);
    let outcome = probe(&http(), PATIENT).await;
    assert!(outcome.output().contains("no TLS with the server"), "{}", outcome.output());
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("https://{}/", silent.local_addr().expect("an address"));
    let http = HttpProbe { url, tls: trusting(), ..HttpProbe::default() };
    let outcome = probe(&Probe::Http(Box::new(http)), Duration::from_millis(200)).await;
    assert!(outcome.output().contains("within 200ms"), "{}", outcome.output());
}
