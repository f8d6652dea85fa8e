//! The TLS of the transport: streams are encrypted, but peers are not yet authenticated.
//!
//! Every agent makes a self-signed certificate when it starts, and accepts any certificate from its peers. A passive
//! listener cannot read a stream. But an attacker who can send packets to an agent can open streams to it, and an
//! attacker on the path between two agents can impersonate each to the other. Therefore an agent refuses to listen on
//! an address other than loopback without `--insecure`.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, ServerConfig};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use time::OffsetDateTime;

use super::limits;

/// The name in the certificate of every node. It does not identify the node: agents connect to IP addresses, and the
/// protocol checks which node answers.
pub(super) const NODE_NAME: &str = "node.hobnob";

const ALPN: &[u8] = b"hobnob/1";
/// The time by which the clock of a peer may be behind ours.
const CLOCK_TOLERANCE: Duration = Duration::from_hours(1);
/// The lifetime of a certificate. It exceeds the lifetime of any process, and each process makes a new certificate.
const LIFETIME: Duration = Duration::from_hours(10 * 365 * 24);

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The certificate could not be generated, most likely because the system provided no random numbers.
    #[error(
        "cannot make a certificate for this node: {0}; check that the system provides random numbers"
    )]
    Generate(#[from] rcgen::Error),
}

/// The TLS identity of a node: a certificate chain and its private key. A node uses it for the streams that it accepts
/// and for those that it opens.
pub struct NodeCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl NodeCertificate {
    /// Makes a key (ECDSA P-256) and a self-signed certificate. Neither is ever written to disk.
    ///
    /// # Errors
    /// The certificate cannot be generated, most likely because the system provides no random numbers.
    pub fn self_signed() -> Result<Self, CertificateError> {
        let now = OffsetDateTime::now_utc();
        let mut params = CertificateParams::new(vec![NODE_NAME.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, NODE_NAME);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = now - CLOCK_TOLERANCE;
        params.not_after = now + LIFETIME;
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok(Self { chain: vec![certificate.der().clone()], key: key.into() })
    }

    /// The QUIC configuration for accepting connections with this certificate.
    pub(super) fn server_config(&self) -> Result<ServerConfig, rustls::Error> {
        let mut tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.max_early_data_size = 0;
        tls.send_tls13_tickets = 0;
        let crypto = QuicServerConfig::try_from(tls).map_err(|error| no_cipher_suite(&error))?;
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        config
            .transport_config(limits::accepting())
            .migration(false)
            .max_incoming(limits::MAX_INCOMING)
            .incoming_buffer_size(limits::INCOMING_BUFFER_BYTES)
            .incoming_buffer_size_total(limits::INCOMING_BUFFER_TOTAL_BYTES)
            .retry_token_lifetime(limits::RETRY_TOKEN_LIFETIME);
        Ok(config)
    }

    /// The QUIC configuration for opening connections with this certificate.
    pub(super) fn client_config(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = provider();
        let mut tls = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(UnverifiedPeers(provider)))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())?;
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.resumption = Resumption::disabled();
        let crypto = QuicClientConfig::try_from(tls).map_err(|error| no_cipher_suite(&error))?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(limits::dialling());
        Ok(config)
    }
}

/// The provider of cryptography. It is passed to each configuration, and not installed for the whole process.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn no_cipher_suite(error: &NoInitialCipherSuite) -> rustls::Error {
    rustls::Error::General(error.to_string())
}

/// Accepts any certificate of a peer. The signature of the handshake is still verified: it proves that the peer holds
/// the key of the certificate that it shows, so the connection is encrypted between its two ends, whoever they are.
#[derive(Debug)]
struct UnverifiedPeers(Arc<CryptoProvider>);

impl ServerCertVerifier for UnverifiedPeers {
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
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
