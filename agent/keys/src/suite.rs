//! The cryptography that the rest of the crate is written against, so that a simulation can hand in another one.
//!
//! A suite verifies signatures and makes ciphers. Signing, hashing and the derivation of keys are always the real ones: they
//! are rare, or fast.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::key::PublicKey;

/// Bytes of a nonce of a [`Cipher`].
pub const NONCE_BYTES: usize = 12;
/// Bytes of a tag of a [`Cipher`].
pub const TAG_BYTES: usize = 16;
/// Bytes of a MAC of a [`Cipher`].
pub const MAC_BYTES: usize = 8;

/// Verifies signatures, and makes the ciphers of datagrams.
pub trait Suite: fmt::Debug + Send + Sync {
    /// Whether a signature over the message is that of this ed25519 key.
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool;

    /// The cipher with these keys. An implementation zeroes its copies of them on drop.
    fn cipher(&self, seal_key: &[u8; 32], mac_key: &[u8; 32]) -> Arc<dyn Cipher>;
}

/// Seals messages, and computes the MACs of short forms, with the keys of one generation.
pub trait Cipher: Send + Sync {
    /// Encrypts the text in place, and returns the tag over it and `aad`. `None` if it is longer than the cipher takes.
    fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        text: &mut [u8],
    ) -> Option<[u8; TAG_BYTES]>;

    /// Decrypts in place a text that its tag follows, and returns whether both are those of [`Cipher::seal`]. The bytes are
    /// useless otherwise.
    fn open(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], text_and_tag: &mut [u8]) -> bool;

    /// The MAC of some bytes. They are at most 64, one block of BLAKE3.
    fn mac(&self, bytes: &[u8]) -> [u8; MAC_BYTES];
}

/// The real suite: ed25519 and AES-256-GCM-SIV of aws-lc, keyed BLAKE3.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc;

impl Suite for AwsLc {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &key.0).verify(message, signature).is_ok()
    }

    /// # Panics
    /// Never: every 32 bytes are a key of AES-256.
    fn cipher(&self, seal_key: &[u8; 32], mac_key: &[u8; 32]) -> Arc<dyn Cipher> {
        let aead = UnboundKey::new(&AES_256_GCM_SIV, seal_key).expect("32 bytes are a key");
        Arc::new(GcmSiv { aead: LessSafeKey::new(aead), mac: Zeroizing::new(*mac_key) })
    }
}

/// AES-256-GCM-SIV (RFC 8452), and keyed BLAKE3 cut to 8 bytes. The library zeroes its own key.
struct GcmSiv {
    aead: LessSafeKey,
    mac: Zeroizing<[u8; 32]>,
}

impl Cipher for GcmSiv {
    fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        text: &mut [u8],
    ) -> Option<[u8; TAG_BYTES]> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = self.aead.seal_in_place_separate_tag(nonce, Aad::from(aad), text).ok()?;
        tag.as_ref().try_into().ok()
    }

    fn open(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], text_and_tag: &mut [u8]) -> bool {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.aead.open_in_place(nonce, Aad::from(aad), text_and_tag).is_ok()
    }

    fn mac(&self, bytes: &[u8]) -> [u8; MAC_BYTES] {
        let hash = blake3::keyed_hash(&self.mac, bytes);
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(&hash.as_bytes()[..MAC_BYTES]);
        mac
    }
}
