//! Orders about one member that is gone: force-leave and prune.

use hobnob_api::{ApiError, Signed};
use hobnob_keys::{Command, SignedCommand};
use hobnob_membership::{Node, NodeId, OrderKind};

use super::{invalid, judge_signer, not_sealed};
use crate::security::{self, OwnCredential};

/// Reads an order that a client signed.
///
/// # Errors
/// It is malformed.
pub(crate) fn read(signed: &Signed) -> Result<SignedCommand, ApiError> {
    SignedCommand::decode(signed.as_bytes()).map_err(invalid)
}

/// The order about a member: the one that the client signed, else one that this agent signs. A clear cluster needs none.
///
/// # Errors
/// The order does not count, this agent lacks the role, or the client signed it and the cluster is not sealed.
pub(crate) fn about(
    node: &Node,
    own: &OwnCredential,
    kind: OrderKind,
    member: NodeId,
    signed: Option<&SignedCommand>,
) -> Result<Option<SignedCommand>, ApiError> {
    if node.trust().is_none() {
        return if signed.is_some() { Err(not_sealed()) } else { Ok(None) };
    }
    let order = match signed {
        Some(signed) => {
            judge_signer(node, signed)?;
            signed.clone()
        }
        None => {
            let node_id = hobnob_keys::NodeId(member.0);
            let epoch = node.last_epoch(member).map_or(0, |epoch| epoch.0);
            let command = match kind {
                OrderKind::ForceLeave => Command::ForceLeave { node_id, epoch },
                OrderKind::Prune => Command::Prune { node_id, epoch },
            };
            own.get()?.sign(&command).map_err(security::refused)?
        }
    };
    node.check_order(kind, member, Some(&order)).map_err(invalid)?;
    Ok(Some(order))
}
