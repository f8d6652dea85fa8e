//! Orders that make members the voters of this agent's datacenter.

use hobnob_api::ApiError;
use hobnob_keys::{self as keys, Command, SignedCommand};
use hobnob_membership::{DatacenterId, Node, NodeId};

use super::{invalid, judge_signer, not_sealed};
use crate::security::OwnCredential;

/// Judges whether a client may make these members the voters: in a sealed cluster by an order that an operator signed, else if this agent
/// has the role operator itself.
///
/// # Errors
/// The order does not count, this agent lacks the role, or the client signed it and the cluster is not sealed.
pub(crate) fn judge(
    node: &Node,
    own: &OwnCredential,
    home: &str,
    voters: &[NodeId],
    signed: Option<&SignedCommand>,
) -> Result<(), ApiError> {
    let Some(signed) = signed else {
        return if node.trust().is_some() { own.get().map(drop) } else { Ok(()) };
    };
    if node.trust().is_none() {
        return Err(not_sealed());
    }
    judge_signer(node, signed)?;
    let chain = node.strong().and_then(|quorum| quorum.chain());
    let number = chain.map_or(0, |chain| chain.installed.number).saturating_add(1);
    let voters: Vec<_> = voters.iter().map(|voter| keys::NodeId(voter.0)).collect();
    let expected = Command::voters(DatacenterId::named(home).0, number, &voters);
    if expected.is_some_and(|expected| signed.unverified() == Some(&expected)) {
        return Ok(());
    }
    let message = format!(
        "it does not name these voters as the configuration {number} of the datacenter `{home}`"
    );
    Err(invalid(message))
}
