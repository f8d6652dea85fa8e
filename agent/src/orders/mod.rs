//! Orders of operators: rotation and revocation, which change a sealed cluster for all, and those about one member, one datacenter or its voters.
//!
//! An operator signs each order: either the client did, with a credential of its own, or this agent does, if its certificate has
//! the role operator. Everything that a caller handed in is judged here before the node gets it, so that the caller is told why it
//! does not count. Every member judges rotations and revocations again.

pub(crate) mod isolation;
pub(crate) mod member;
pub(crate) mod revoke;
pub(crate) mod rotate;
pub(crate) mod status;
#[cfg(test)]
mod tests;
pub(crate) mod trust;
pub(crate) mod voters;

use std::time::Duration;

use hobnob_api::{ApiError, ErrorCode, Rotated};
use hobnob_keys::{
    Generation, GenerationId, Membership, Moment, Revocations, SignedCommand, Trust,
};
use hobnob_membership::{KeyStatus, Node, Time};

use crate::clock::wall_clock_ms;
use crate::driver::{DriverHandle, words};
use crate::security::{self, OwnCredential, system_random};

/// The longest wait for the disk of this agent.
const KEPT_WITHIN: Duration = Duration::from_secs(5);

/// Waits until the disk of this agent has what was ordered. Returns the reason if it has not.
async fn unkept(driver: &DriverHandle) -> Option<String> {
    driver.keys_kept().wait(KEPT_WITHIN).await.err()
}

/// The refusal of a clear agent.
fn not_sealed() -> ApiError {
    let message = "this agent is not sealed: its cluster has no keys";
    ApiError::new(ErrorCode::NotSealed, message)
}

/// The CA keys and the revocations that orders are checked against.
fn judges(node: &Node) -> Result<(&Trust, &Revocations), ApiError> {
    node.trust().zip(node.revoked()).ok_or_else(not_sealed)
}

/// The keys, at an agent that can tell others of an order. One that no member let in would found a cluster of its own.
fn inside(node: &Node, now: Time) -> Result<KeyStatus, ApiError> {
    let status = node.key_status(now).ok_or_else(not_sealed)?;
    if let Some(reason) = words::silence(node, now) {
        return Err(ApiError::new(ErrorCode::DuplicateNodeId, reason));
    }
    if status.newest.is_some() {
        return Ok(status);
    }
    let message = "no member has let this agent in, and so it holds no generation that another one could follow";
    Err(ApiError::new(ErrorCode::NotSealed, message))
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn invalid(reason: impl ToString) -> ApiError {
    ApiError::new(ErrorCode::OrderInvalid, reason.to_string())
}

/// Judges the signer of an order that a client handed in. The token of the credential has to be valid by the clock of this agent,
/// as for a newcomer.
fn judge_signer(node: &Node, command: &SignedCommand) -> Result<Membership, ApiError> {
    let (trust, revoked) = judges(node)?;
    let (_, signer) = command.verify(trust).map_err(invalid)?;
    let token = signer.token();
    if revoked.revokes(&signer) {
        return Err(invalid(format!("the token {token} of the credential is revoked")));
    }
    let (validity, now_ms) = (signer.limits().validity, wall_clock_ms());
    validity.at(now_ms).map_err(|untimely| {
        invalid(format!(
            "the credential does not count now: {untimely}; its token is {token}, and the clock of this agent shows {}",
            Moment(now_ms)
        ))
    })?;
    Ok(signer)
}

/// The number of the next generation, after these revocations. A number that is too high would leave none for later.
fn next_number(
    node: &Node,
    revocations: &Revocations,
    newest: Option<GenerationId>,
    now: Time,
) -> Result<u64, ApiError> {
    let newest = newest.map_or(0, |generation| generation.number);
    let number = GenerationId::number_after(newest, revocations.iter().len());
    let (trust, _) = judges(node)?;
    let held = node.generations(now).into_iter().map(|(generation, _)| generation);
    // Those of revoked operators give way to any other.
    let mut above =
        held.filter(|held| held.id().number >= number && held.verify(trust, revocations).is_ok());
    let Some(above) = above.next() else { return Ok(number) };
    let (high, order) = (above.id().number, above.signed_order());
    let (_, signer) = order.verify(trust).map_err(invalid)?;
    let message = format!(
        "generation {high}, which {} with the token {} ordered, leaves no number for another one: revoke that token or that node \
         first, and the cluster goes on with generation {}",
        signer.name(),
        signer.token(),
        GenerationId::number_after(high, revocations.iter().len() + 1)
    );
    Err(invalid(message))
}

/// Judges a generation that a client handed in. It has to be the one with this number, the next one.
fn judge_generation(node: &Node, generation: &Generation, next: u64) -> Result<(), ApiError> {
    judge_signer(node, generation.signed_order())?;
    let (trust, revoked) = judges(node)?;
    generation.verify(trust, revoked).map_err(invalid)?;
    let number = generation.id().number;
    if number == next {
        return Ok(());
    }
    Err(invalid(format!("generation {number} is not the next one, which is generation {next}")))
}

/// The next generation, with a secret of the system's randomness.
fn next_generation(own: &OwnCredential, number: u64) -> Result<Generation, ApiError> {
    let secret = system_random().map_err(|error| {
        let message = format!("the system gives no random bytes: {error}");
        ApiError::new(ErrorCode::Other, message)
    })?;
    let generation = Generation::order(number, *secret, own.get()?);
    generation.map_err(security::refused)
}

/// A generation as the API names it.
fn rotated(id: GenerationId, begun: bool) -> Rotated {
    Rotated { number: id.number, hash: hex(&id.hash), begun, unkept: None }
}

/// Hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
