//! The keys of datagrams, derived from a generation.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Form;
use crate::generation::Generation;
use crate::key::{ClusterId, NodeId};
use crate::suite::{AwsLc, Cipher, MAC_BYTES, Suite};

const SEAL_CONTEXT: &str = "hobnob 2026-11 datagram seal key 1";
const MAC_CONTEXT: &str = "hobnob 2026-11 datagram mac key 1";

/// The keys of the datagrams of one generation. Zeroed on drop.
pub struct DatagramKeys {
    number: u64,
    cluster: ClusterId,
    cipher: Arc<dyn Cipher>,
}

impl DatagramKeys {
    /// The keys of a generation, for the real suite.
    #[must_use]
    pub fn of(generation: &Generation) -> Self {
        Self::with_suite(generation, &AwsLc)
    }

    /// The keys of a generation, for this suite.
    #[must_use]
    pub fn with_suite(generation: &Generation, suite: &dyn Suite) -> Self {
        let number = generation.id().number;
        Self::derive_with(suite, generation.cluster(), number, generation.secret())
    }

    /// The keys for a secret of a cluster, for the real suite.
    #[must_use]
    pub fn derive(cluster: ClusterId, number: u64, secret: &[u8; 32]) -> Self {
        Self::derive_with(&AwsLc, cluster, number, secret)
    }

    fn derive_with(suite: &dyn Suite, cluster: ClusterId, number: u64, secret: &[u8; 32]) -> Self {
        let material = Zeroizing::new([&cluster.0[..], &number.to_le_bytes(), secret].concat());
        let key = |context| Zeroizing::new(blake3::derive_key(context, &material));
        let cipher = suite.cipher(&key(SEAL_CONTEXT), &key(MAC_CONTEXT));
        Self { number, cluster, cipher }
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

    pub(super) fn cipher(&self) -> &dyn Cipher {
        &*self.cipher
    }

    /// The MAC of a short form, from a sender to a receiver where the form names them, with at most 15 bytes of a body. That is
    /// one block of BLAKE3.
    pub(super) fn mac(
        &self,
        form: Form,
        between: Option<(NodeId, NodeId)>,
        body: &[u8],
    ) -> [u8; MAC_BYTES] {
        let mut input = [0; 64];
        let ids = between.map(|(sender, receiver)| [sender, receiver].map(|id| id.0.to_le_bytes()));
        let ids = ids.as_ref().map_or(&[][..], |ids| ids.as_flattened());
        let parts = [&[form.byte()][..], &self.cluster.0, ids, body];
        let mut len = 0;
        for part in parts {
            input[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        self.cipher.mac(&input[..len])
    }
}

impl fmt::Debug for DatagramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatagramKeys(generation {})", self.number)
    }
}
