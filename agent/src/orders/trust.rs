//! The succession of CA keys. Both keys signed it, so no operator signs the order.

use hobnob_api::{ApiError, Signed, TrustedNow};
use hobnob_keys::{PublicKey, Succession};
use hobnob_membership::{Input, Node, Time};

use super::{inside, invalid, judges, unkept};
use crate::driver::{DriverHandle, Ordered};

/// Hands a succession to the node. Nothing happens if the node took it already.
///
/// # Errors
/// The cluster is not sealed, the succession does not count, or another one is there.
pub(crate) async fn trust(
    driver: &DriverHandle,
    succession: Signed,
) -> Result<TrustedNow, ApiError> {
    let succession = Succession::decode(succession.as_bytes()).map_err(invalid)?;
    let trusted = driver.order(move |node, now| decide(node, succession, now)).await?;
    Ok(TrustedNow { unkept: unkept(driver).await, ..trusted })
}

fn decide(node: &Node, succession: Succession, now: Time) -> Result<Ordered<TrustedNow>, ApiError> {
    inside(node, now)?;
    let (trust, _) = judges(node)?;
    let mut then = trust.clone();
    // Members agree on one of several. Nobody makes them choose by a slip.
    if let Some(held) = trust.succession().filter(|held| held.new_key() != succession.new_key()) {
        let successor = held.new_key().fingerprint();
        return Err(invalid(format!(
            "the CA key {successor} succeeds already, and no other one is taken"
        )));
    }
    let new = then.succeed(succession.clone()).map_err(invalid)?;
    let fingerprint = |key: PublicKey| key.fingerprint().to_string();
    let answer = TrustedNow {
        authorities: then.authorities().map(fingerprint).collect(),
        new,
        unkept: None,
    };
    let inputs = if new { vec![Input::Succeed(succession)] } else { vec![] };
    Ok(Ordered { inputs, answer })
}
