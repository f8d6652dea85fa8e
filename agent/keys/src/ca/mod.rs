//! The key of a cluster's CA, which stays with the operator.

mod file;
mod passphrase;

use std::fmt;

use crate::bytes::DecodeError;
use crate::key::{ClusterId, PublicKey, SigningKey};
use crate::limits::Limits;
use crate::names::Name;
use crate::succession::Succession;
use crate::token::{Seed, Token};
use crate::trust::Trust;

pub use file::{CaFile, CaFileError, MAX_CA_FILE_BYTES};
pub use passphrase::Encryption;

/// The ed25519 key of a cluster's CA. It signs tokens. No agent needs it. Zeroed on drop.
pub struct CaKey {
    key: SigningKey,
    cluster: ClusterId,
    cluster_name: Name,
}

impl CaKey {
    /// Founds a cluster with a seed of random bytes.
    #[must_use]
    pub fn found(cluster_name: Name, seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_seed(seed);
        Self { cluster: ClusterId::of(&key.public_key()), key, cluster_name }
    }

    /// The CA key that succeeds this one, with a seed of random bytes. The cluster keeps its id and name.
    #[must_use]
    pub fn successor(&self, seed: &[u8; 32]) -> Self {
        let (cluster, cluster_name) = (self.cluster, self.cluster_name.clone());
        Self { key: SigningKey::from_seed(seed), cluster, cluster_name }
    }

    /// Whether this key succeeded another one: the id of the cluster is that of its first CA key.
    #[must_use]
    pub fn is_successor(&self) -> bool {
        self.cluster != ClusterId::of(&self.public_key())
    }

    /// The succession from this key to `new`, which [`CaKey::successor`] made.
    ///
    /// # Errors
    /// Both are one key.
    pub fn succession(&self, new: &Self) -> Result<Succession, DecodeError> {
        Succession::sign(self.cluster, &self.key, &new.key)
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The name of the cluster, for people.
    #[must_use]
    pub fn cluster_name(&self) -> &Name {
        &self.cluster_name
    }

    /// The cluster and this key.
    #[must_use]
    pub fn trust(&self) -> Trust {
        Trust::new(self.cluster, self.public_key())
    }

    /// A new token, with a seed of random bytes for its key. Seeds that are equal count once.
    ///
    /// # Errors
    /// The text of the token would be too long: the limits and seeds are too many.
    pub fn token(
        &self,
        seed: &[u8; 32],
        limits: Limits,
        seeds: Vec<Seed>,
    ) -> Result<Token, DecodeError> {
        Token::issue(&self.key, self.cluster, seed, limits, seeds)
    }
}

impl fmt::Debug for CaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaKey({} {})", self.cluster_name, self.public_key().fingerprint())
    }
}
