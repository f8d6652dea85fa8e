//! TLS for connections from beyond this host.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

use super::stream::Impatient;
use crate::config::HttpTls;
use crate::regular_file;

/// The most bytes of each file.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The files are read again so often, since certificates are renewed.
const READ_EVERY: Duration = Duration::from_secs(60);

/// A certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no {what} in PEM", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// They do not belong together, or are of a kind that is not known.
    #[error("the certificate {} and its key {} cannot be used: {source}", .certificate.display(), .key.display())]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// The reason.
        source: rustls::Error,
    },
}

/// The certificate by which the door proves who it is.
pub(super) struct Tls {
    files: HttpTls,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the files. It waits for a disk.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub(super) fn read(files: HttpTls) -> Result<Self, TlsError> {
        let config = ArcSwap::from_pointee(read(&files)?);
        Ok(Self { files, config })
    }

    /// Agrees on keys with a client.
    ///
    /// # Errors
    /// The client speaks no TLS, or other versions of it.
    pub(super) async fn accept(
        &self,
        stream: Impatient<TcpStream>,
    ) -> io::Result<TlsStream<Impatient<TcpStream>>> {
        TlsAcceptor::from(self.config.load_full()).accept(stream).await
    }

    /// Reads the files again and again, so that a renewed certificate is used. What cannot be used is told once, and the earlier
    /// certificate stays.
    pub(super) async fn follow(self: Arc<Self>) {
        let mut is_failing = false;
        loop {
            tokio::time::sleep(READ_EVERY).await;
            let files = self.files.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || read(&files)).await else { return };
            match read {
                Ok(config) => {
                    is_failing = false;
                    self.config.store(Arc::new(config));
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::error!(%error, "the certificate of the HTTP door cannot be renewed; the earlier one stays");
                    }
                }
            }
        }
    }
}

fn read(files: &HttpTls) -> Result<ServerConfig, TlsError> {
    let HttpTls { certificate, key } = files;
    let pem = |path: &Path, what| TlsError::Pem { path: path.to_owned(), what };
    let bytes = bytes_of(certificate)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| pem(certificate, "certificate"))?;
    let bytes = bytes_of(key)?;
    let private = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| pem(key, "private key"))?;
    let unusable = |source| {
        let (certificate, key) = (certificate.clone(), key.clone());
        TlsError::Unusable { certificate, key, source }
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(unusable)?;
    let config = builder.with_no_client_auth().with_single_cert(chain, private);
    let mut config = config.map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn bytes_of(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let read = regular_file::read(path, MAX_FILE_BYTES).map(Zeroizing::new);
    read.map_err(|source| TlsError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_or_no_key_is_told_by_its_name() {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("src/checks/probes/tests/certificates");
        let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
        let of = |certificate: &Path, key: &Path| {
            read(&HttpTls { certificate: certificate.to_owned(), key: key.to_owned() })
        };
        assert!(of(&certificate, &key).is_ok());
        let told =
            |certificate: &Path, key: &Path| of(certificate, key).expect_err("bad").to_string();
        assert!(told(&folder.join("none"), &key).contains("none: "));
        assert!(told(&key, &key).contains("server.key holds no certificate"));
        assert!(told(&certificate, &certificate).contains("server.pem holds no private key"));
        assert!(told(&folder.join("ca.pem"), &key).contains("cannot be used"));
    }
}
