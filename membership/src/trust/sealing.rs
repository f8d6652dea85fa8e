//! The knowledge of a node of a sealed cluster at its start.

use hobnob_keys::{Certificate, CertificateError, Generation, Membership, SignedCommand, Trust};

use super::node_of;
use super::rights::check_service;
use crate::base::cluster::ClusterId;
use crate::base::identity::NodeId;
use crate::catalog::WriteError;
use crate::catalog::record::Text;

/// The membership of a node in a sealed cluster, and what it remembers of the keys of the cluster.
///
/// The cluster and the node id follow from it.
#[derive(Clone, Debug)]
pub struct Sealing {
    pub(crate) trust: Trust,
    pub(crate) own: Membership,
    pub(crate) generations: Vec<(Generation, bool)>,
    pub(crate) revocations: Vec<SignedCommand>,
    pub(crate) members: Vec<Certificate>,
}

impl Sealing {
    /// A node with this certificate that remembers nothing.
    ///
    /// # Errors
    /// The certificate does not count.
    pub fn new(trust: Trust, certificate: Certificate) -> Result<Self, CertificateError> {
        let own = certificate.verify(&trust)?;
        let (generations, revocations, members) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { trust, own, generations, revocations, members })
    }

    /// Remembers a generation, and whether it was in use. One that does not count is dropped at the start.
    #[must_use]
    pub fn with_generation(mut self, generation: Generation, in_use: bool) -> Self {
        self.generations.push((generation, in_use));
        self
    }

    /// Remembers revocations. Those that do not count are dropped at the start.
    #[must_use]
    pub fn with_revocations(mut self, commands: impl IntoIterator<Item = SignedCommand>) -> Self {
        self.revocations.extend(commands);
        self
    }

    /// Remembers members. Those whose certificates do not count are dropped at the start.
    #[must_use]
    pub fn with_members(mut self, members: impl IntoIterator<Item = Certificate>) -> Self {
        self.members.extend(members);
        self
    }

    /// Checks that the node may serve this service.
    ///
    /// # Errors
    /// [`WriteError::NotAllowed`]: its token does not allow it.
    pub fn check_service(&self, service: &Text) -> Result<(), WriteError> {
        check_service(&self.own, service)
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        let [a, b, c, d, e, f, g, h, ..] = self.trust.cluster().0;
        ClusterId(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }

    /// The id of the node.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        node_of(&self.own.public_key())
    }
}
