//! Certificates, and commands that are signed with one.

use hobnob_keys::{Certificate, SignedCommand};

use super::CLUSTER;

/// Reads a certificate and a signed command. Only the genuine ones count.
pub fn check(bytes: &[u8]) {
    let trust = CLUSTER.ca.trust();
    if let Ok(certificate) = Certificate::decode(bytes) {
        assert_eq!(certificate.as_bytes(), bytes);
        if certificate.clone().verify(&trust).is_ok() {
            assert_eq!(certificate, CLUSTER.certificate, "forged");
        }
    }
    if let Ok(command) = SignedCommand::decode(bytes) {
        assert_eq!(command.as_bytes(), bytes);
        if command.verify(&trust).is_ok() {
            assert_eq!(command, CLUSTER.revocation, "forged");
        }
    }
}
