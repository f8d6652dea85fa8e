//! The cryptography of a sealed world.
//!
//! The fast suite has the byte counts of the real one, and no secrecy: a text stays as it is, tags and MACs are XXH3 under the
//! key. Signatures are real. The verdict on each is remembered, since a thousand nodes verify the same ones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hobnob_keys::PublicKey;
use hobnob_keys::suite::{AwsLc, Cipher, MAC_BYTES, NONCE_BYTES, Suite, TAG_BYTES};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// Verdicts that are remembered. Beyond that, all are forgotten.
const MAX_VERDICTS: usize = 200_000;

/// The fast suite.
#[derive(Debug, Default)]
pub(super) struct Fast {
    verdicts: Mutex<HashMap<u128, bool>>,
}

impl Suite for Fast {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        let length = message.len().to_le_bytes();
        let question = xxh3_128(&[&key.0, &length[..], message, signature].concat());
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verdict) = verdicts.get(&question) {
            return *verdict;
        }
        if verdicts.len() >= MAX_VERDICTS {
            verdicts.clear();
        }
        let verdict = AwsLc.verify(key, message, signature);
        verdicts.insert(question, verdict);
        verdict
    }

    fn cipher(&self, seal_key: &[u8; 32], mac_key: &[u8; 32]) -> Arc<dyn Cipher> {
        Arc::new(Tags { seal_key: *seal_key, mac_key: *mac_key })
    }
}

/// Tags and MACs of the fast suite.
struct Tags {
    seal_key: [u8; 32],
    mac_key: [u8; 32],
}

impl Tags {
    fn tag(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], text: &[u8]) -> [u8; TAG_BYTES] {
        let mut hash = Xxh3::new();
        for part in [&self.seal_key[..], nonce, aad, text] {
            hash.update(part);
        }
        hash.digest128().to_le_bytes()
    }
}

impl Cipher for Tags {
    fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        text: &mut [u8],
    ) -> Option<[u8; TAG_BYTES]> {
        Some(self.tag(nonce, aad, text))
    }

    fn open(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], text_and_tag: &mut [u8]) -> bool {
        let split = text_and_tag.split_last_chunk::<TAG_BYTES>();
        split.is_some_and(|(text, tag)| self.tag(nonce, aad, text) == *tag)
    }

    fn mac(&self, bytes: &[u8]) -> [u8; MAC_BYTES] {
        let mut hash = Xxh3::new();
        hash.update(&self.mac_key);
        hash.update(bytes);
        hash.digest().to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use hobnob_keys::NodeKey;

    use super::*;

    #[test]
    fn what_was_changed_does_not_open_and_the_byte_counts_are_the_real_ones() {
        let (keys, nonce) = ([[1; 32], [2; 32]], [7; NONCE_BYTES]);
        let suite = Fast::default();
        for suite in [&suite as &dyn Suite, &AwsLc] {
            let cipher = suite.cipher(&keys[0], &keys[1]);
            let mut text = b"web-1".to_vec();
            let tag = cipher.seal(&nonce, b"aad", &mut text).expect("short");
            text.extend(tag);
            assert_eq!(text.len(), 5 + TAG_BYTES);
            for at in 0..text.len() {
                let mut changed = text.clone();
                changed[at] ^= 1;
                assert!(!cipher.open(&nonce, b"aad", &mut changed));
            }
            assert!(!cipher.open(&nonce, b"aae", &mut text.clone()));
            assert!(!suite.cipher(&[3; 32], &keys[1]).open(&nonce, b"aad", &mut text.clone()));
            assert!(cipher.open(&nonce, b"aad", &mut text));
            assert_eq!(&text[..5], b"web-1");
            assert_ne!(cipher.mac(b"a"), cipher.mac(b"b"));
        }
    }

    #[test]
    fn a_verdict_that_is_remembered_is_the_right_one() {
        let (suite, key) = (Fast::default(), NodeKey::from_seed(&[1; 32]).public_key());
        for _ in 0..2 {
            assert!(!suite.verify(&key, b"message", &[0; 64]));
        }
        assert_eq!(suite.verdicts.lock().unwrap().len(), 1);
    }
}
