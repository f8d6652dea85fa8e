//! Rotation: replacing the secret that all members share.

use hobnob_api::{ApiError, Rotated, Signed};
use hobnob_keys::Generation;
use hobnob_membership::{Input, KeyStatus, Node, Time};

use super::status::{is_live, survey};
use super::{
    inside, invalid, judge_generation, judges, next_generation, next_number, rotated, unkept,
};
use crate::driver::{DriverHandle, Ordered};
use crate::security::OwnCredential;

/// Hands a generation to the node, made and signed here unless the caller did. While another one is on its way nothing happens,
/// unless `again` is given.
///
/// # Errors
/// The cluster is not sealed, the order does not count, or this agent lacks the role.
pub(crate) async fn rotate(
    driver: &DriverHandle,
    own: &OwnCredential,
    generation: Option<Signed>,
    again: bool,
) -> Result<Rotated, ApiError> {
    let decode = |signed: Signed| Generation::decode(signed.as_bytes()).map_err(invalid);
    let given = generation.map(decode).transpose()?;
    // Whether one is on its way depends on who holds it.
    survey(driver).await?;
    let own = own.clone();
    let decide = move |node: &Node, now| decide(node, &own, given, again, now);
    let rotated = driver.order(decide).await?;
    Ok(Rotated { unkept: unkept(driver).await, ..rotated })
}

fn decide(
    node: &Node,
    own: &OwnCredential,
    given: Option<Generation>,
    again: bool,
    now: Time,
) -> Result<Ordered<Rotated>, ApiError> {
    let status = inside(node, now)?;
    if let Some(newest) = status.newest
        && !again
        && is_under_way(&status)
    {
        return Ok(Ordered { inputs: vec![], answer: rotated(newest, false) });
    }
    let (_, revoked) = judges(node)?;
    let number = next_number(node, revoked, status.newest, now);
    let generation = match given {
        Some(generation) => {
            judge_generation(node, &generation, number?)?;
            generation
        }
        None => next_generation(own, number?)?,
    };
    let answer = rotated(generation.id(), true);
    Ok(Ordered { inputs: vec![Input::Rotate(generation)], answer })
}

/// Whether a generation is on its way: it is not in use here yet, or a living member lacks it.
fn is_under_way(status: &KeyStatus) -> bool {
    let lacking = status.members.iter().any(|member| is_live(member.status) && !member.has_newest);
    lacking || status.newest != status.present
}
