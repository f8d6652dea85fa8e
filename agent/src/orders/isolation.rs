//! Orders to isolate a datacenter, and to end that.

use hobnob_api::ApiError;
use hobnob_keys::SignedCommand;
use hobnob_membership::{DatacenterId, Node};

use super::{invalid, judge_signer, not_sealed};
use crate::security::OwnCredential;

/// Judges whether a client may have a datacenter isolated, or not isolated any more: in a sealed cluster by an order that an operator
/// signed, else if this agent has the role operator itself.
///
/// # Errors
/// The order does not count, this agent lacks the role, or the client signed it and the cluster is not sealed.
pub(crate) fn judge(
    node: &Node,
    own: &OwnCredential,
    datacenter: DatacenterId,
    is_isolated: bool,
    signed: Option<&SignedCommand>,
) -> Result<(), ApiError> {
    match (signed, node.trust().is_some()) {
        (None, false) => Ok(()),
        (Some(_), false) => Err(not_sealed()),
        (None, true) => own.get().map(drop),
        (Some(signed), true) => {
            judge_signer(node, signed)?;
            node.check_isolation_order(datacenter, is_isolated, signed).map_err(invalid)
        }
    }
}
