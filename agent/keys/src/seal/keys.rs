//! The keys of datagrams, derived from a generation.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, LessSafeKey, UnboundKey};
use zeroize::Zeroizing;

use super::Form;
use crate::generation::Generation;
use crate::key::{ClusterId, NodeId};

const SEAL_CONTEXT: &str = "hobnob 2026-11 datagram seal key 1";
const MAC_CONTEXT: &str = "hobnob 2026-11 datagram mac key 1";

/// Bytes of the MAC of a short form.
pub(super) const MAC_BYTES: usize = 8;

/// The keys of the datagrams of one generation. Zeroed on drop; the library zeroes its own copy.
pub struct DatagramKeys {
    number: u64,
    cluster: ClusterId,
    aead: LessSafeKey,
    mac: Zeroizing<[u8; 32]>,
}

impl DatagramKeys {
    /// The keys of a generation.
    #[must_use]
    pub fn of(generation: &Generation) -> Self {
        Self::derive(generation.cluster(), generation.id().number, generation.secret())
    }

    /// The keys for a secret of a cluster.
    ///
    /// # Panics
    /// Never: every 32 bytes are a key of AES-256.
    #[must_use]
    pub fn derive(cluster: ClusterId, number: u64, secret: &[u8; 32]) -> Self {
        let material = Zeroizing::new([&cluster.0[..], &number.to_le_bytes(), secret].concat());
        let key = |context| Zeroizing::new(blake3::derive_key(context, &material));
        let aead =
            UnboundKey::new(&AES_256_GCM_SIV, &*key(SEAL_CONTEXT)).expect("32 bytes are a key");
        Self { number, cluster, aead: LessSafeKey::new(aead), mac: key(MAC_CONTEXT) }
    }

    /// The number of the generation.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The byte of a datagram that names the generation: the lowest one of its number.
    #[must_use]
    pub fn byte(&self) -> u8 {
        self.number.to_le_bytes()[0]
    }

    pub(super) fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    pub(super) fn aead(&self) -> &LessSafeKey {
        &self.aead
    }

    /// The MAC of a short form with at most 15 bytes of a body, which is one block of BLAKE3.
    pub(super) fn mac(
        &self,
        form: Form,
        sender: NodeId,
        receiver: NodeId,
        body: &[u8],
    ) -> [u8; MAC_BYTES] {
        let mut input = [0; 64];
        let parts = [
            &[form.byte()][..],
            &self.cluster.0,
            &sender.0.to_le_bytes(),
            &receiver.0.to_le_bytes(),
            body,
        ];
        let mut len = 0;
        for part in parts {
            input[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        let hash = blake3::keyed_hash(&self.mac, &input[..len]);
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(&hash.as_bytes()[..MAC_BYTES]);
        mac
    }
}

impl fmt::Debug for DatagramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatagramKeys(generation {})", self.number)
    }
}
