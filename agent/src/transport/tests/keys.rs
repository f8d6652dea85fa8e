//! The keys that both sides of a stream prove, and peers that prove none.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, ResolvesClientCert};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;

use super::*;
use crate::transport::tls::{ALPN, AnyNodeKey, provider};

/// The bytes of a certificate. Nobody reads them: the kind of it is refused first.
const X509: &[u8] = b"\x30\x03\x02\x01\x07";

/// The key or the certificate that a side shows in TLS.
#[derive(Clone, Copy, Debug)]
enum Shown {
    Nothing,
    X509,
    /// The raw key of an ECDSA key pair.
    Ecdsa,
    Ed25519,
}

fn ecdsa() -> PrivateKeyDer<'static> {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
    PrivatePkcs8KeyDer::from(pkcs8.expect("a key").as_ref().to_vec()).into()
}

/// The key that is shown, and its bytes.
fn certified(shown: Shown) -> Arc<CertifiedKey> {
    let signer = any_supported_type(&ecdsa()).expect("a key");
    match shown {
        Shown::Ed25519 => Identity::of(&a_key()).expect("a key").0,
        Shown::X509 => Arc::new(CertifiedKey::new(vec![CertificateDer::from(X509)], signer)),
        Shown::Ecdsa | Shown::Nothing => {
            let key = signer.public_key().expect("it has one").to_vec();
            Arc::new(CertifiedKey::new(vec![CertificateDer::from(key)], signer))
        }
    }
}

fn client(shown: Shown, alpn: &[u8]) -> Endpoint {
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyNodeKey(provider())));
    let key = certified(shown);
    let resolver: Arc<dyn ResolvesClientCert> = match shown {
        Shown::X509 => Arc::new(SingleCertAndKey::from(key)),
        _ => Arc::new(AlwaysResolvesClientRawPublicKeys::new(key)),
    };
    let mut tls = match shown {
        Shown::Nothing => builder.with_no_client_auth(),
        _ => builder.with_client_cert_resolver(resolver),
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    let crypto = QuicClientConfig::try_from(tls).expect("a configuration");
    let mut endpoint = Endpoint::client(loopback()).expect("bound");
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    endpoint
}

fn server(shown: Shown) -> Endpoint {
    let builder = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_client_cert_verifier(Arc::new(AnyNodeKey(provider())));
    let key = certified(shown);
    let resolver: Arc<dyn ResolvesServerCert> = match shown {
        Shown::X509 => Arc::new(SingleCertAndKey::from(key)),
        _ => Arc::new(AlwaysResolvesServerRawPublicKeys::new(key)),
    };
    let mut tls = builder.with_cert_resolver(resolver);
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = QuicServerConfig::try_from(tls).expect("a configuration");
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    Endpoint::server(config, loopback()).expect("bound")
}

/// The stream, the key and the binding of the next event.
async fn secured(peer: &mut Peer) -> (StreamId, PublicKey, [u8; 32]) {
    match peer.next_of_all().await {
        StreamEvent::Secured { stream, peer, binding } => (stream, peer, binding),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn both_sides_learn_the_key_of_the_other_and_the_binding_before_any_frame() {
    let (mut a, mut b) = (Peer::start(), Peer::start());
    let mut bindings = Vec::new();
    for n in 0..2 {
        let (opened, accepted_as) = (StreamId(n), StreamId::accepted(n));
        a.quic.open(opened, b.quic.local_addr());
        a.quic.send(opened, b"hello".to_vec());
        let (stream, key, binding) = secured(&mut a).await;
        assert_eq!((stream, key), (opened, b.key));
        assert_eq!(a.next_of_all().await, StreamEvent::Written { stream });
        assert_eq!(b.next_of_all().await, accepted(accepted_as));
        assert_eq!(secured(&mut b).await, (accepted_as, a.key, binding));
        assert_eq!(b.next_of_all().await, frame(accepted_as, b"hello"));
        bindings.push(binding);
    }
    assert_ne!(bindings[0], bindings[1], "each connection has its own");
}

/// An opener that waits for the key before it sends its first frame.
#[tokio::test]
async fn a_stream_on_which_nothing_was_sent_is_secured() {
    let (mut a, mut b) = (Peer::start(), Peer::start());
    a.quic.open(STREAM, b.quic.local_addr());
    assert_eq!(secured(&mut a).await.1, b.key);
    a.quic.send(STREAM, b"after".to_vec());
    assert_eq!(b.next().await, accepted(FIRST_ACCEPTED));
    assert_eq!(b.next().await, frame(FIRST_ACCEPTED, b"after"));
}

#[tokio::test]
async fn a_dialler_that_proves_no_ed25519_key_is_refused() {
    let b = Peer::start();
    for (n, shown) in [Shown::Nothing, Shown::X509, Shown::Ecdsa].into_iter().enumerate() {
        let endpoint = client(shown, ALPN);
        let connecting = endpoint.connect(b.quic.local_addr(), NODE_NAME).expect("an address");
        // A client is connected before the server looks at what it shows.
        if let Ok(connection) = connecting.await {
            let end = timeout(TEST_TIMEOUT, connection.closed()).await.expect("in time");
            assert!(!closed_by_peer(&end, CloseCode::Violation), "{shown:?}: TLS refuses: {end}");
        }
        let refused = n as u64 + 1;
        assert_eq!(b.count("quic_handshakes_failed"), refused, "{shown:?}");
    }
    assert_eq!(b.count("quic_connections_accepted"), 0);
    let endpoint = client(Shown::Ed25519, ALPN);
    let connecting = endpoint.connect(b.quic.local_addr(), NODE_NAME).expect("an address");
    connecting.await.expect("with such a key it is let in");
}

#[tokio::test]
async fn a_dialler_of_an_earlier_protocol_is_refused() {
    let b = Peer::start();
    let endpoint = client(Shown::Ed25519, b"hobnob/1");
    let connecting = endpoint.connect(b.quic.local_addr(), NODE_NAME).expect("an address");
    connecting.await.expect_err("another protocol");
}

#[tokio::test]
async fn an_acceptor_that_proves_no_ed25519_key_is_refused() {
    let mut a = Peer::start();
    for (n, shown) in [Shown::X509, Shown::Ecdsa, Shown::Ed25519].into_iter().enumerate() {
        let (stream, endpoint) = (StreamId(n as u64), server(shown));
        a.quic.open(stream, endpoint.local_addr().expect("bound"));
        let serving = tokio::spawn(async move {
            let connection = endpoint.accept().await.expect("it comes").await;
            if let Ok(connection) = connection {
                connection.closed().await;
            }
        });
        let event = a.next_of_all().await;
        match shown {
            Shown::Ed25519 => assert!(matches!(event, StreamEvent::Secured { .. }), "{event:?}"),
            _ => assert_eq!(event, closed(stream), "{shown:?}"),
        }
        serving.abort();
    }
}
