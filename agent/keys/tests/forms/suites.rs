//! A suite other than the real one.

use std::sync::{Arc, Mutex};

use hobnob_keys::seal::{DatagramKeys, OpenError, Ping, Sealed};
use hobnob_keys::suite::{AwsLc, Cipher, MAC_BYTES, NONCE_BYTES, Suite, TAG_BYTES};
use hobnob_keys::{Generation, PublicKey, Revocations};

use crate::fixtures::{MESSAGES, certificate, generation, keys, node, operator, receiver, trust};

/// Leaves the text as it is, and remembers the keys whose signatures it took.
#[derive(Debug, Default)]
struct Fake(Arc<Mutex<Vec<PublicKey>>>);

struct FakeCipher(u8);

impl Suite for Fake {
    fn verify(&self, key: &PublicKey, _: &[u8], _: &[u8]) -> bool {
        self.0.lock().unwrap().push(*key);
        true
    }

    fn cipher(&self, seal_key: &[u8; 32], _: &[u8; 32]) -> Arc<dyn Cipher> {
        Arc::new(FakeCipher(seal_key[0]))
    }
}

impl Cipher for FakeCipher {
    fn seal(&self, _: &[u8; NONCE_BYTES], _: &[u8], _: &mut [u8]) -> Option<[u8; TAG_BYTES]> {
        Some([self.0; TAG_BYTES])
    }

    fn open(&self, _: &[u8; NONCE_BYTES], _: &[u8], text_and_tag: &mut [u8]) -> bool {
        text_and_tag.ends_with(&[self.0; TAG_BYTES])
    }

    fn mac(&self, _: &[u8]) -> [u8; MAC_BYTES] {
        [self.0; MAC_BYTES]
    }
}

#[test]
fn another_suite_has_the_same_forms_and_the_same_lengths() {
    let suite = Fake::default();
    let fake = DatagramKeys::with_suite(&generation(), &suite);
    let (sender, counter) = (node().node_id(), hobnob_keys::seal::Counter::new(7));
    let sealed = |keys: &DatagramKeys| {
        let mut datagram = vec![];
        Sealed { sender, counter, messages: MESSAGES }.seal(keys, &mut datagram).unwrap();
        datagram
    };
    let (mut datagram, real) = (sealed(&fake), sealed(&keys()));
    assert_eq!(datagram.len(), real.len());
    assert_eq!(datagram[..16], real[..16], "what stands in the clear");
    assert_eq!(Sealed::open(&fake, &mut real.clone()), Err(OpenError::Forged));
    assert_eq!(Sealed::open(&fake, &mut datagram).unwrap().messages, MESSAGES);
    let ping = Ping { sender, counter, nonce: [1; 4] };
    let datagram = ping.seal(&fake, receiver());
    assert_eq!(Ping::open(&fake, receiver(), counter, &datagram), Ok(ping));
    assert_eq!(Ping::open(&keys(), receiver(), counter, &datagram), Err(OpenError::Forged));
}

#[test]
fn the_suite_of_a_trust_verifies_all_that_counts_by_it() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let trust = trust().with_suite(Arc::new(Fake(asked.clone())));
    certificate().verify(&trust).unwrap();
    let mut damaged = certificate().as_bytes().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let damaged = hobnob_keys::Certificate::decode(&damaged).unwrap();
    assert!(damaged.clone().verify(&trust.clone().with_suite(Arc::new(AwsLc))).is_err());
    damaged.verify(&trust).unwrap();
    let generation = Generation::order(9, [1; 32], &operator()).unwrap();
    generation.verify(&trust, &Revocations::default()).unwrap();
    // Two signatures of each certificate, and for the generation that of the command and two of its signer.
    assert_eq!(asked.lock().unwrap().len(), 2 + 2 + 3);
}
