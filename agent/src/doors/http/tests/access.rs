//! Access beyond this host: TLS, keys, and the cookie of a browser.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::{Served, is};
use crate::access_keys::{self, AccessRights};
use crate::config::HttpTls;
use crate::doors::http::access::Reach;

/// The files of a server for `localhost`, and its CA.
fn certificate() -> (HttpTls, Vec<u8>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/checks/probes/tests/certificates");
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    (HttpTls { certificate, key }, std::fs::read(folder.join("ca.pem")).expect("read"))
}

#[tokio::test]
async fn beyond_this_host_a_door_in_clear_answers_no_question() {
    let served = Served::reaching(Reach::Clear, None, Path::new("/nowhere")).await;
    assert!(is(&served.get("/healthz").await, 200));
    assert!(is(&served.get("/metrics").await, 503), "answered, and the agent is starting");
    for path in ["/v1/hobnob/info", "/v1/health/service/web", "/v1/sd/prometheus", "/v1/none"] {
        let refused = served.get(path).await;
        assert!(is(&refused, 403) && refused.contains("--http-cert"), "{path}: {refused}");
    }
}

#[tokio::test]
async fn beyond_this_host_an_encrypted_door_asks_for_a_key() {
    let home = tempfile::tempdir().expect("a directory");
    let (_, key) = access_keys::create(home.path(), "", AccessRights::Read, 0).expect("made");
    let (tls, ca) = certificate();
    let served =
        Served::reaching(Reach::Encrypted { has_open_metrics: false }, Some(tls), home.path())
            .await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&ca).expect("a certificate")).expect("a CA");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let get = async |path: &str, field: &str| {
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = connector.connect(name, served.connect().await).await;
        let mut stream = stream.expect("the CA is known");
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: far.example\r\n{field}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("answered");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let (with, without) = (format!("X-Consul-Token: {}\r\n", *key), String::new());
    let wrong = "Authorization: Bearer hobnobkey_wrong\r\n".to_owned();
    for (path, field, status) in [
        ("/healthz", &without, 200),
        ("/readyz", &without, 503),
        ("/metrics", &without, 403),
        ("/metrics", &with, 503),
        ("/v1/hobnob/info", &without, 403),
        ("/v1/hobnob/info", &wrong, 403),
        ("/v1/hobnob/info", &with, 503),
        ("/v1/health/service/web", &with, 503),
    ] {
        let answer = get(path, field).await;
        assert!(is(&answer, status), "{path} {field}: {answer}");
    }
    assert_eq!(served.counters.keys_refused.load(Ordering::Relaxed), 3);
    assert!(!served.get("/healthz").await.contains("HTTP"), "this is no TLS");
}

#[tokio::test]
async fn a_browser_trades_its_key_for_a_cookie() {
    let home = tempfile::tempdir().expect("a directory");
    let key = access_keys::create(home.path(), "", AccessRights::Write, 0).expect("made").1;
    let served =
        Served::reaching(Reach::Encrypted { has_open_metrics: false }, None, home.path()).await;
    let ask = async |what: &str, field: &str| {
        let rest = "Content-Length: 0\r\nConnection: close\r\n\r\n";
        served.send(&format!("{what} HTTP/1.1\r\nHost: far.example\r\n{field}{rest}")).await
    };
    let page = ask("GET /ui", "").await;
    assert!(is(&page, 200), "{page}");
    assert!(page.contains("content-security-policy: default-src 'none'"), "{page}");
    let bearer = format!("Authorization: Bearer {}\r\n", *key);
    let traded = ask("POST /ui/session", &bearer).await;
    assert!(is(&traded, 204), "{traded}");
    let (_, cookie) = traded.split_once("set-cookie: ").expect("a cookie");
    let (cookie, attributes) = cookie.split_once(';').expect("attributes");
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(attributes.contains(attribute), "{attributes}");
    }
    let with = format!("Cookie: a=b; {cookie}\r\n");
    let wrong = "Authorization: Bearer hobnobkey_wrong\r\n";
    // The agent is starting, so that what is allowed is answered with 503.
    for (what, field, status) in [
        ("POST /ui/session", "", 403),
        ("POST /ui/session", wrong, 403),
        ("POST /ui/session", &with, 400),
        ("GET /ui/events", "", 403),
        ("GET /ui/events", &with, 503),
        ("GET /v1/hobnob/info", &with, 503),
        ("DELETE /ui/session", &with, 204),
    ] {
        let answer = ask(what, field).await;
        assert!(is(&answer, status), "{what} {field}: {answer}");
    }
}
