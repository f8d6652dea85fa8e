//! Orders of operators that this node alone carries out.

use hobnob_keys::{Command, CommandError, SignedCommand};

use super::Guard;
use super::sealer::from_keys;
use crate::base::datacenter::DatacenterId;
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
    /// The datacenter was isolated, or that was ended, after the order was signed.
    #[error("it is order {named} about the datacenter, and order {known} was given already")]
    EarlierOrder {
        /// The number of the order.
        named: u64,
        /// The number of the last order.
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
        let command = self.judged(order.ok_or(OrderError::Unsigned)?)?;
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

    /// Checks that an operator ordered to isolate a datacenter from ours, or to end that. `known` is the number of the last such
    /// order. A copy of it changes nothing, and one of an earlier order does not count.
    pub(crate) fn check_isolation(
        &self,
        (home, datacenter): (DatacenterId, DatacenterId),
        is_isolated: bool,
        known: u64,
        order: &SignedCommand,
    ) -> Result<(), OrderError> {
        match self.judged(order)? {
            Command::Isolate { home: of, datacenter: named, number }
                if (of, named) == (home.0, datacenter.0)
                    && number % 2 == u64::from(is_isolated) =>
            {
                let is_next = number == known || Some(number) == known.checked_add(1);
                let earlier = OrderError::EarlierOrder { named: number, known };
                if is_next { Ok(()) } else { Err(earlier) }
            }
            _ => Err(OrderError::OtherOrder),
        }
    }

    /// The command of an order whose signer may give it.
    fn judged(&self, order: &SignedCommand) -> Result<Command, OrderError> {
        let (command, signer) = order.verify(&self.trust)?;
        if self.revocations.revokes(&signer) {
            return Err(OrderError::SignerRevoked(from_keys(signer.node_id())));
        }
        Ok(command)
    }

    /// Counts an order that was refused.
    pub(crate) fn note_refused_order(&mut self) {
        self.counters.orders_refused += 1;
    }
}
