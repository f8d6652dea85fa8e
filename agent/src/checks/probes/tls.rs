//! TLS around the connection of a probe: whom it trusts, and the name that the server has to prove.
//!
//! Without a CA of its own, a check trusts what its host trusts. Operators install their CAs there, and a host that trusts a
//! CA no longer stops its checks from doing so.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use hobnob_api::ProbeTls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ProbeError;
use crate::regular_file;

/// Bytes of a file with the certificates of CAs.
pub const MAX_CA_FILE_BYTES: u64 = 1 << 20;

/// The reads of certificates at a time. One on a file system that hangs keeps its thread for as long.
const MAX_READS: usize = 8;

static READS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MAX_READS)));

/// The CAs that the host trusts, as they were when the first check needed them.
static HOST_ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "some CAs of this host cannot be read; checks by https do not trust them");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    Arc::new(roots)
});

/// Makes a connection one of TLS.
pub(super) async fn connect(
    stream: TcpStream,
    tls: &ProbeTls,
    host: &str,
    alpn: &[u8],
    deadline: Instant,
) -> Result<TlsStream<TcpStream>, ProbeError> {
    let mut config = config(tls, deadline).await?;
    config.alpn_protocols = vec![alpn.to_vec()];
    let name = tls.server_name.as_deref().unwrap_or(host);
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| ProbeError::Trust(format!("`{name}` is no name that a server can prove")))?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let connected = timeout_at(deadline, connecting).await.map_err(|_| ProbeError::NoAnswer)?;
    connected.map_err(ProbeError::Tls)
}

async fn config(tls: &ProbeTls, deadline: Instant) -> Result<ClientConfig, ProbeError> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| ProbeError::Trust(error.to_string()))?;
    Ok(if tls.skip_verify {
        let verifier = Arc::new(AnyCertificate(provider));
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
    } else {
        builder.with_root_certificates(roots(tls, deadline).await?).with_no_client_auth()
    })
}

async fn roots(tls: &ProbeTls, deadline: Instant) -> Result<Arc<RootCertStore>, ProbeError> {
    let mut pem = tls.ca_pem.clone().unwrap_or_default().into_bytes();
    match &tls.ca_file {
        None if tls.ca_pem.is_none() => {
            // The first call reads the files of the host.
            return read_by(&READS, "the CAs of this host", deadline, || HOST_ROOTS.clone()).await;
        }
        None => {}
        Some(file) => {
            let (what, path) = (format!("the CA file {file}"), file.clone());
            let read = move || regular_file::read(Path::new(&path), MAX_CA_FILE_BYTES);
            let read = read_by(&READS, &what, deadline, read).await?;
            let read =
                read.map_err(|error| ProbeError::Trust(format!("{what} cannot be read: {error}")))?;
            pem.extend_from_slice(&read);
        }
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|error| {
            ProbeError::Trust(format!("a CA certificate is malformed: {error}"))
        })?;
    }
    if roots.is_empty() {
        return Err(ProbeError::Trust("there is no CA certificate in PEM form".to_owned()));
    }
    Ok(Arc::new(roots))
}

/// Reads on a thread of its own until a deadline. The thread may stay longer, and its permit with it.
async fn read_by<T: Send + 'static>(
    reads: &Arc<Semaphore>,
    what: &str,
    deadline: Instant,
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ProbeError> {
    let reading = async {
        let permit = reads.clone().acquire_owned().await;
        let read = move || {
            // The semaphore is never closed.
            let _permit = permit.ok();
            read()
        };
        tokio::task::spawn_blocking(read).await
    };
    let read = timeout_at(deadline, reading).await;
    let read = read.map_err(|_| ProbeError::Unread(what.to_owned()))?;
    read.map_err(|ended| ProbeError::Trust(format!("{what} cannot be read: {ended}")))
}

/// Takes any certificate, as `skip_verify` asks for. The server still has to hold its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_pipe_in_the_place_of_a_ca_file_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("ca.pem");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).expect("made");
        let ca_file = Some(pipe.to_str().expect("text").to_owned());
        let tls = ProbeTls { ca_file, ..ProbeTls::default() };
        let refused = roots(&tls, Instant::now() + Duration::from_secs(30)).await;
        let told = refused.map(drop).expect_err("refused").to_string();
        assert!(told.ends_with("ca.pem cannot be read: it is not a regular file"), "{told}");
    }

    #[tokio::test]
    async fn a_read_that_hangs_ends_with_its_deadline_and_keeps_its_permit() {
        let reads = Arc::new(Semaphore::new(1));
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let soon = || Instant::now() + Duration::from_millis(20);
        let hung = read_by(&reads, "a file", soon(), move || ended.recv().is_ok()).await;
        let error = hung.expect_err("too late");
        assert!(error.is_local(), "it says nothing of the service: {error}");
        read_by(&reads, "another", soon(), || ()).await.expect_err("no thread is free for it");
        end.send(()).expect("it still reads");
        let patient = Instant::now() + Duration::from_secs(30);
        read_by(&reads, "another", patient, || ()).await.expect("read");
    }
}
