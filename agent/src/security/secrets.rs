//! The keys and credentials of this agent.

use hobnob_keys::{NodeKey, OperatorCredential};
use hobnob_membership::{ClusterId, Sealing};

use super::{OwnCredential, Sealed, SecurityError, system_random};
use crate::info::SealedInfo;
use crate::storage::KeptKeys;

/// The keys and credentials of this agent, as its parts need them.
pub(crate) struct Secrets {
    /// The key that proves who the agent is; in a clear cluster one of this life alone.
    pub(crate) key: NodeKey,
    /// The membership as the node needs it; `None` in a clear cluster.
    pub(crate) sealing: Option<Box<Sealing>>,
    /// The credential of a founder, for the first generation.
    pub(crate) founder: Option<OperatorCredential>,
    /// The credential of an operator, for orders.
    pub(crate) operator: OwnCredential,
    pub(crate) info: Option<SealedInfo>,
}

impl Secrets {
    /// Those of an agent with this membership, or of a clear cluster.
    ///
    /// # Errors
    /// The certificate does not count, or the system gives no random bytes.
    pub(crate) fn of(
        sealed: Option<(Sealed, KeptKeys)>,
        now_ms: u64,
    ) -> Result<Self, SecurityError> {
        let Some((sealed, kept)) = sealed else {
            let key = NodeKey::from_seed(&*system_random()?);
            let operator = OwnCredential::default();
            return Ok(Self { key, sealing: None, founder: None, operator, info: None });
        };
        let info = SealedInfo {
            key: sealed.own.public_key().fingerprint().to_string(),
            token: sealed.own.token().to_string(),
        };
        let validity = sealed.own.limits().validity;
        let founds = sealed.is_founder() && kept.generations.is_empty();
        let founder = match (founds, validity.at(now_ms)) {
            (false, _) => None,
            (true, Ok(())) => Some(sealed.credential()?),
            (true, Err(untimely)) => {
                // All others with that token would be refused by this agent.
                tracing::warn!(
                    token = info.token,
                    "this agent founds no cluster: {untimely} by the clock of this host"
                );
                None
            }
        };
        let operator = if sealed.is_operator() {
            sealed.credential()?.into()
        } else {
            OwnCredential::default()
        };
        let sealing = Some(Box::new(sealed.sealing(kept)?));
        Ok(Self { key: sealed.key, sealing, founder, operator, info: Some(info) })
    }

    /// The cluster, as datagrams and connections name it.
    pub(crate) fn cluster(&self, name: &str) -> ClusterId {
        self.sealing.as_ref().map_or_else(|| ClusterId::named(name), |sealing| sealing.cluster())
    }
}
