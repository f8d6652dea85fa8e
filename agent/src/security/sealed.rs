//! An agent's membership in a sealed cluster.

use hobnob_keys::{
    CertificateError, CredentialError, Membership, NodeKey, OperatorCredential, Roles, Trust,
};
use hobnob_membership::{NodeId, Sealing};

use crate::storage::{KeptKeys, KeptMembership};

/// The membership of an agent in a sealed cluster, with its key.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) key: NodeKey,
    pub(crate) trust: Trust,
    pub(crate) own: Membership,
    /// The members to join at that the token named.
    pub(crate) seeds: Vec<String>,
}

impl Sealed {
    /// The membership that a data directory keeps, with its key.
    ///
    /// # Errors
    /// The certificate does not count.
    pub(super) fn of(kept: KeptMembership, key: NodeKey) -> Result<Self, CertificateError> {
        let KeptMembership { trust, certificate, seeds } = kept;
        let own = certificate.verify(&trust)?;
        Ok(Self { key, trust, own, seeds })
    }

    /// The part that a data directory keeps, beside the key.
    pub(super) fn kept(&self) -> KeptMembership {
        KeptMembership {
            trust: Trust::new(self.trust.cluster(), self.own.authority()),
            certificate: self.own.certificate().clone(),
            seeds: self.seeds.clone(),
        }
    }

    /// The name of the cluster.
    pub(crate) fn cluster_name(&self) -> String {
        self.own.limits().cluster_name.to_string()
    }

    /// The id of the node.
    pub(crate) fn node_id(&self) -> NodeId {
        NodeId(self.key.node_id().0)
    }

    /// Whether the token made this agent a founder.
    pub(crate) fn is_founder(&self) -> bool {
        self.own.limits().roles.has(Roles::FOUNDER)
    }

    /// Whether the token made this agent an operator.
    pub(crate) fn is_operator(&self) -> bool {
        self.own.limits().roles.has(Roles::OPERATOR)
    }

    /// The credential of a founder or an operator.
    ///
    /// # Errors
    /// It has neither role.
    pub(crate) fn credential(&self) -> Result<OperatorCredential, CredentialError> {
        let key = NodeKey::from_seed(self.key.seed());
        OperatorCredential::new(key, self.own.certificate().clone(), &self.trust)
    }

    /// The membership as the node needs it, with the keys of others from the data directory.
    ///
    /// # Errors
    /// The certificate does not count.
    pub(crate) fn sealing(&self, kept: KeptKeys) -> Result<Sealing, CertificateError> {
        let KeptKeys { generations, revocations, succession: _, certificates } = kept;
        let mut sealing = Sealing::new(self.trust.clone(), self.own.certificate().clone())?
            .with_revocations(revocations)
            .with_members(certificates);
        for (generation, in_use) in generations {
            sealing = sealing.with_generation(generation, in_use);
        }
        Ok(sealing)
    }
}
