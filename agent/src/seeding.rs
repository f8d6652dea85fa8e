//! The addresses to join at: each is resolved, again and again until that succeeds.

use std::net::SocketAddr;
use std::time::Duration;

use hobnob_api::address::{AddressError, GossipAddress};

use crate::driver::DriverHandle;
use crate::info::AgentInfo;

/// Pause before names that could not be resolved are tried again.
const RESOLVE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// An address to join at leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeedError {
    #[error(transparent)]
    Malformed(#[from] AddressError),
    #[error("the address `{address}` cannot be resolved: {reason}")]
    Unresolvable { address: GossipAddress, reason: String },
}

/// The socket addresses behind an address to join at.
pub(crate) async fn resolve(address: &str) -> Result<Vec<SocketAddr>, SeedError> {
    let address: GossipAddress = address.parse()?;
    let found = match tokio::net::lookup_host(address.to_string()).await {
        Ok(found) => found.collect::<Vec<_>>(),
        Err(error) => return Err(SeedError::Unresolvable { address, reason: error.to_string() }),
    };
    if found.is_empty() {
        let reason = "the name has no address".to_owned();
        return Err(SeedError::Unresolvable { address, reason });
    }
    Ok(found)
}

/// Resolves the addresses that an agent was started with, each until it succeeds, and tells the driver to join there, or
/// that an address is the agent's own.
pub(crate) async fn seed(addresses: Vec<String>, info: AgentInfo, driver: DriverHandle) {
    let mut waiting = addresses;
    loop {
        let mut failed = Vec::new();
        for address in waiting {
            match resolve(&address).await {
                Ok(mut addresses) => {
                    addresses.retain(|found| !info.is_own(*found));
                    let told = if addresses.is_empty() {
                        driver.expect_nobody_at(address).await
                    } else {
                        driver.begin_join(addresses).await
                    };
                    if told.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "an address to join at is tried again later");
                    failed.push(address);
                }
            }
        }
        if failed.is_empty() {
            return;
        }
        waiting = failed;
        tokio::time::sleep(RESOLVE_AGAIN_AFTER).await;
    }
}
