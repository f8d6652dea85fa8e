//! Orders of operators that this node alone carries out.

use hobnob_keys::{Command, CommandError, SignedCommand};

use super::Guard;
use super::sealer::from_keys;
use crate::base::identity::{Epoch, NodeId};

/// The effect of an order on a life of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderKind {
    /// Force it to leave.
    ForceLeave,
    /// Drop it from memory.
    Prune,
}

/// An order is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// The cluster is sealed, and nobody signed the order.
    #[error("the cluster is sealed, and no operator signed the order")]
    Unsigned,
    /// The signed command does not count.
    #[error("the order does not count: {0}")]
    Command(#[from] CommandError),
    /// Its signer is revoked.
    #[error("the operator {0} signed the order, and is revoked")]
    SignerRevoked(NodeId),
    /// It orders something else, or names another member.
    #[error("the signed command orders something else")]
    OtherOrder,
    /// The member lived on.
    #[error(
        "the order names the life of {node} that began at epoch {named}, and it has begun epoch {known} since"
    )]
    EarlierLife {
        /// The member.
        node: NodeId,
        /// The epoch that the order names.
        named: u64,
        /// The latest epoch of the member.
        known: u64,
    },
}

impl Guard {
    /// Checks that an operator ordered this for the life of a node that is known here. A copy of an old order does nothing to a
    /// later life.
    pub(crate) fn check_order(
        &self,
        kind: OrderKind,
        node: NodeId,
        known: Option<Epoch>,
        order: Option<&SignedCommand>,
    ) -> Result<(), OrderError> {
        let (command, signer) = order.ok_or(OrderError::Unsigned)?.verify(&self.trust)?;
        if self.revocations.revokes(&signer) {
            return Err(OrderError::SignerRevoked(from_keys(signer.node_id())));
        }
        let (subject, named) = match (kind, command) {
            (OrderKind::ForceLeave, Command::ForceLeave { node_id, epoch })
            | (OrderKind::Prune, Command::Prune { node_id, epoch }) => (from_keys(node_id), epoch),
            _ => return Err(OrderError::OtherOrder),
        };
        if subject != node {
            return Err(OrderError::OtherOrder);
        }
        match known.map(|epoch| epoch.0).filter(|known| *known > named) {
            Some(known) => Err(OrderError::EarlierLife { node, named, known }),
            None => Ok(()),
        }
    }

    /// Counts an order that was refused.
    pub(crate) fn note_refused_order(&mut self) {
        self.counters.orders_refused += 1;
    }
}
