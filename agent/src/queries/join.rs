//! Joining a cluster through addresses that a client names.

use std::net::SocketAddr;
use std::time::Duration;

use hobnob_api::{ApiError, ErrorCode};

use crate::driver::DriverHandle;
use crate::info::AgentInfo;
use crate::seeding::{self, SeedError};

/// The longest wait of a request to join for an answer. The agent goes on trying after it.
const JOIN_WITHIN: Duration = Duration::from_secs(5);

/// Says hello at these addresses, and returns the first that answers.
///
/// # Errors
/// An address leads nowhere, all are the agent's own, or nobody answers in time.
pub(crate) async fn join(
    agent: &AgentInfo,
    driver: &DriverHandle,
    addresses: &[String],
) -> Result<SocketAddr, ApiError> {
    if addresses.is_empty() {
        return Err(ApiError::new(ErrorCode::AddressInvalid, "there is no address to join at"));
    }
    let mut resolved = Vec::new();
    for address in addresses {
        let found = seeding::resolve(address).await.map_err(|error| {
            let code = match error {
                SeedError::Unresolvable { .. } => ErrorCode::AddressUnresolvable,
                SeedError::Malformed(_) => ErrorCode::AddressInvalid,
            };
            ApiError::new(code, error.to_string())
        })?;
        resolved.extend(found.into_iter().filter(|address| !agent.is_own(*address)));
    }
    if resolved.is_empty() {
        let message = format!("{} is this agent itself", addresses.join(", "));
        return Err(ApiError::new(ErrorCode::AddressIsOwn, message));
    }
    match tokio::time::timeout(JOIN_WITHIN, driver.join(resolved)).await {
        Ok(joined) => Ok(joined?),
        Err(_) => Err(ApiError::new(
            ErrorCode::JoinUnanswered,
            format!(
                "no agent of the cluster `{}` answered at {} within {} s",
                agent.cluster,
                addresses.join(", "),
                JOIN_WITHIN.as_secs(),
            ),
        )),
    }
}
