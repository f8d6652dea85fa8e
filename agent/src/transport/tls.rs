//! The TLS of the transport: TLS 1.3, and raw ed25519 keys (RFC 7250) on both sides instead of certificates.
//!
//! TLS proves which key each side holds, and nothing else. Nothing in it has a date, so nothing expires. The owner of the
//! transport learns the key of each peer ([`Proven`]) and decides whether it is a member. In a cluster that is not sealed
//! nobody decides that: an attacker who can send packets to an agent can open streams to it, and an attacker on the path
//! between two agents can impersonate each to the other. Therefore an agent of such a cluster refuses to listen on an address
//! other than loopback without `--insecure`.

use std::sync::Arc;

use hobnob_keys::{NodeKey, PublicKey};
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, ServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_eddsa_type};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, PeerIncompatible, SignatureScheme,
};
use zeroize::Zeroizing;

use super::limits;

/// The name that TLS asks for. It identifies nobody: agents connect to IP addresses, and the protocol checks which node
/// answers.
pub(super) const NODE_NAME: &str = "node.hobnob";

pub(super) const ALPN: &[u8] = b"hobnob/2";
/// The label and the context with which both sides export the binding of a connection (RFC 8446, section 7.5).
const BINDING_LABEL: &[u8] = b"EXPORTER-hobnob-2";
const BINDING_CONTEXT: &[u8] = b"stream";

/// The DER of an ed25519 public key (RFC 8410) before its 32 bytes.
const PUBLIC_KEY_HEAD: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
/// The DER of an ed25519 private key (RFC 8410) before its 32 bytes.
const PRIVATE_KEY_HEAD: [u8; 16] =
    *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// The key of a node as its identity in TLS, for the streams that it accepts and for those that it opens.
#[derive(Clone, Debug)]
pub(super) struct Identity(pub(super) Arc<CertifiedKey>);

impl Identity {
    /// # Errors
    /// The library does not take the key. It takes every ed25519 key.
    pub(super) fn of(key: &NodeKey) -> Result<Self, rustls::Error> {
        let der = Zeroizing::new([&PRIVATE_KEY_HEAD[..], key.seed()].concat());
        let signer = any_eddsa_type(&PrivatePkcs8KeyDer::from(&der[..]))?;
        let public_key = CertificateDer::from(der_of(&key.public_key()));
        Ok(Self(Arc::new(CertifiedKey::new(vec![public_key], signer))))
    }

    /// The QUIC configuration for accepting connections.
    pub(super) fn server_config(&self) -> Result<ServerConfig, rustls::Error> {
        let mut tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(AnyNodeKey(provider())))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(self.0.clone())));
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

    /// The QUIC configuration for opening connections.
    pub(super) fn client_config(&self) -> Result<ClientConfig, rustls::Error> {
        let key = AlwaysResolvesClientRawPublicKeys::new(self.0.clone());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyNodeKey(provider())))
            .with_client_cert_resolver(Arc::new(key));
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.resumption = Resumption::disabled();
        let crypto = QuicClientConfig::try_from(tls).map_err(|error| no_cipher_suite(&error))?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(limits::dialling());
        Ok(config)
    }
}

/// The key that TLS proved of the peer of a connection, and the binding of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proven {
    pub(super) peer: PublicKey,
    /// Bytes that both sides export from the session, and that no other session has.
    pub(super) binding: [u8; 32],
}

impl Proven {
    /// `None` before the handshake is done.
    pub(super) fn of(connection: &Connection) -> Option<Self> {
        let shown = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
        let peer = key_in(shown.first()?)?;
        let mut binding = [0; 32];
        connection.export_keying_material(&mut binding, BINDING_LABEL, BINDING_CONTEXT).ok()?;
        Some(Self { peer, binding })
    }
}

fn der_of(key: &PublicKey) -> Vec<u8> {
    [&PUBLIC_KEY_HEAD[..], &key.0].concat()
}

/// The key in a DER, if it is an ed25519 key. There is one DER of each key.
fn key_in(der: &[u8]) -> Option<PublicKey> {
    let key = der.strip_prefix(&PUBLIC_KEY_HEAD)?;
    key.try_into().ok().map(PublicKey)
}

/// The one provider of cryptography. It is passed to each configuration, and not installed for the whole process.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

fn no_cipher_suite(error: &NoInitialCipherSuite) -> rustls::Error {
    rustls::Error::General(error.to_string())
}

/// Takes every ed25519 key of a peer that proves by the signature of the handshake that it holds the key.
#[derive(Debug)]
pub(super) struct AnyNodeKey(pub(super) Arc<CryptoProvider>);

impl AnyNodeKey {
    fn check(&self, shown: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        match key_in(shown) {
            Some(_) => Ok(()),
            None => Err(CertificateError::BadEncoding.into()),
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let key = SubjectPublicKeyInfoDer::from(shown.as_ref());
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
    }
}

/// No configuration of ours offers TLS 1.2.
fn no_tls12() -> Result<HandshakeSignatureValid, rustls::Error> {
    Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
}

impl ServerCertVerifier for AnyNodeKey {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(shown).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _shown: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for AnyNodeKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(shown).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _shown: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
