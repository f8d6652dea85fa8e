//! The CA keys that the members of a cluster trust.

use std::sync::Arc;

use crate::key::{ClusterId, PublicKey};
use crate::succession::{Succession, SuccessionError};
use crate::suite::{AwsLc, Suite};

/// The CA keys whose tokens count in a cluster: one, or two if another one succeeds it. Also the [`Suite`] that verifies what
/// they signed.
#[derive(Clone, Debug)]
pub struct Trust {
    cluster: ClusterId,
    authority: PublicKey,
    succession: Option<Succession>,
    suite: Arc<dyn Suite>,
}

impl Trust {
    /// Trusts one CA key.
    #[must_use]
    pub fn new(cluster: ClusterId, authority: PublicKey) -> Self {
        Self { cluster, authority, succession: None, suite: Arc::new(AwsLc) }
    }

    /// Trusts both CA keys of a succession from now on, and returns whether that is new. One of them has to be the CA key that is
    /// trusted now.
    ///
    /// Of several successions of one CA key, the one with the lowest new key counts. So all members end up with the same one, in
    /// whatever order they learn of them.
    ///
    /// # Errors
    /// It does not count, or another one does. Nothing was changed.
    pub fn succeed(&mut self, succession: Succession) -> Result<bool, SuccessionError> {
        if succession.cluster() != self.cluster {
            return Err(SuccessionError::OtherCluster(succession.cluster()));
        }
        match &self.succession {
            Some(held) if held.says_the_same(&succession) => return Ok(false),
            Some(held) if !succession.replaces(held) => {
                return Err(SuccessionError::Other { successor: held.new_key() });
            }
            None if ![succession.old(), succession.new_key()].contains(&self.authority) => {
                return Err(SuccessionError::UnknownAuthority(succession.old()));
            }
            _ => {}
        }
        succession.verify(&*self.suite)?;
        self.succession = Some(succession);
        Ok(true)
    }

    /// The succession that was taken.
    #[must_use]
    pub fn succession(&self) -> Option<&Succession> {
        self.succession.as_ref()
    }

    /// Verifies with another suite than the real one.
    #[must_use]
    pub fn with_suite(self, suite: Arc<dyn Suite>) -> Self {
        Self { suite, ..self }
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The suite.
    #[must_use]
    pub fn suite(&self) -> &dyn Suite {
        &*self.suite
    }

    /// The trusted CA keys, the older one first.
    pub fn authorities(&self) -> impl Iterator<Item = PublicKey> {
        let (first, second) = match &self.succession {
            Some(succession) => (succession.old(), Some(succession.new_key())),
            None => (self.authority, None),
        };
        std::iter::once(first).chain(second)
    }

    /// Whether the tokens of a CA key count.
    #[must_use]
    pub fn trusts(&self, authority: PublicKey) -> bool {
        self.authorities().any(|trusted| trusted == authority)
    }
}

/// The same CA keys of the same cluster, whatever the suite.
impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        (self.cluster, self.authority, &self.succession)
            == (other.cluster, other.authority, &other.succession)
    }
}

impl Eq for Trust {}
