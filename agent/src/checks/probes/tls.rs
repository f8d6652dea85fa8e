//! TLS around the connection of a probe: whom it trusts, and the name that the server has to prove.
//!
//! Without a CA of its own, a check trusts what its host trusts. Operators install their CAs there, and a host that trusts a
//! CA no longer stops its checks from doing so.

use std::io;
use std::sync::{Arc, LazyLock};

use hobnob_api::ProbeTls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ProbeError;

/// Bytes of a file with the certificates of CAs.
pub const MAX_CA_FILE_BYTES: u64 = 1 << 20;

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
    let mut config = config(tls).await?;
    config.alpn_protocols = vec![alpn.to_vec()];
    let name = tls.server_name.as_deref().unwrap_or(host);
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| ProbeError::Trust(format!("`{name}` is no name that a server can prove")))?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let connected = timeout_at(deadline, connecting).await.map_err(|_| ProbeError::NoAnswer)?;
    connected.map_err(ProbeError::Tls)
}

async fn config(tls: &ProbeTls) -> Result<ClientConfig, ProbeError> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| ProbeError::Trust(error.to_string()))?;
    Ok(if tls.skip_verify {
        let verifier = Arc::new(AnyCertificate(provider));
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
    } else {
        builder.with_root_certificates(roots(tls).await?).with_no_client_auth()
    })
}

async fn roots(tls: &ProbeTls) -> Result<Arc<RootCertStore>, ProbeError> {
    let mut pem = tls.ca_pem.clone().unwrap_or_default().into_bytes();
    match &tls.ca_file {
        None if tls.ca_pem.is_none() => {
            // The first call reads the files of the host.
            let roots = tokio::task::spawn_blocking(|| HOST_ROOTS.clone()).await;
            return roots.map_err(|error| ProbeError::Trust(error.to_string()));
        }
        None => {}
        Some(file) => {
            let path = file.clone();
            let read = tokio::task::spawn_blocking(move || read_limited(&path)).await;
            let read = read.unwrap_or_else(|ended| Err(io::Error::other(ended)));
            let read = read.map_err(|error| {
                ProbeError::Trust(format!("the CA file {file} cannot be read: {error}"))
            })?;
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

fn read_limited(path: &str) -> io::Result<Vec<u8>> {
    use io::Read;
    let mut content = Vec::new();
    std::fs::File::open(path)?.take(MAX_CA_FILE_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_CA_FILE_BYTES {
        return Err(io::Error::other(format!("it is longer than {MAX_CA_FILE_BYTES} bytes")));
    }
    Ok(content)
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
