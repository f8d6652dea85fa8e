//! The addresses to join at: names become gossip addresses, again and again until they do.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::driver::Command;
use crate::info::AgentInfo;

/// The port of an address that names none.
pub const DEFAULT_GOSSIP_PORT: u16 = 7_946;
/// How long to wait before a name that could not be resolved is tried again.
const RESOLVE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// An address that cannot be joined at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinAddressError {
    /// It is no address.
    #[error(
        "`{0}` is not an address to join at: give a gossip address such as 10.0.0.5:7946 or host.example:7946"
    )]
    Malformed(String),
    /// The name is not known.
    #[error("the address `{address}` cannot be resolved: {reason}")]
    Unresolvable {
        /// The address.
        address: String,
        /// What the resolver said.
        reason: String,
    },
}

/// Checks the form of an address, without resolving it, and adds the default port if it has none.
///
/// # Errors
/// When it is no `host`, `host:port`, IP address or IP address with a port.
pub(crate) fn parse(address: &str) -> Result<String, JoinAddressError> {
    let malformed = || JoinAddressError::Malformed(address.to_owned());
    if address.parse::<SocketAddr>().is_ok_and(|address| address.port() != 0) {
        return Ok(address.to_owned());
    }
    if let Ok(ip) = address.parse() {
        return Ok(SocketAddr::new(ip, DEFAULT_GOSSIP_PORT).to_string());
    }
    let (host, port) = match address.split_once(':') {
        Some((host, port)) => {
            (host, port.parse().ok().filter(|port| *port != 0).ok_or_else(malformed)?)
        }
        None => (address, DEFAULT_GOSSIP_PORT),
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || host.len() > 253 || !host.chars().all(legal) || is_mistyped_ip(host) {
        return Err(malformed());
    }
    Ok(format!("{host}:{port}"))
}

/// Whether a host is digits and dots and no IP address: a slip of the finger, not a name.
pub(crate) fn is_mistyped_ip(host: &str) -> bool {
    host.chars().all(|c| c.is_ascii_digit() || c == '.') && host.parse::<IpAddr>().is_err()
}

/// The gossip addresses behind an address.
pub(crate) async fn resolve(address: &str) -> Result<Vec<SocketAddr>, JoinAddressError> {
    let unresolvable =
        |reason| JoinAddressError::Unresolvable { address: address.to_owned(), reason };
    let found = tokio::net::lookup_host(parse(address)?)
        .await
        .map_err(|error| unresolvable(error.to_string()))?;
    let found: Vec<SocketAddr> = found.collect();
    if found.is_empty() {
        Err(unresolvable("the name has no address".to_owned()))
    } else {
        Ok(found)
    }
}

/// Resolves the addresses that an agent was started with, each until it succeeds, and tells the driver where to knock,
/// or that an address is the agent's own.
pub(crate) async fn seed(addresses: Vec<String>, info: AgentInfo, driver: mpsc::Sender<Command>) {
    let mut waiting = addresses;
    loop {
        let mut failed = Vec::new();
        for address in waiting {
            match resolve(&address).await {
                Ok(mut addresses) => {
                    addresses.retain(|found| !info.is_own(*found));
                    let command = if addresses.is_empty() {
                        Command::ExpectNobodyAt { address }
                    } else {
                        Command::Join { addresses, reply: oneshot::channel().0 }
                    };
                    if driver.send(command).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "will try again");
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

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn hosts_and_addresses_with_and_without_a_port() {
        let ok = |address| parse(address).expect(address);
        assert_eq!(ok("10.0.0.5:8000"), "10.0.0.5:8000");
        assert_eq!(ok("10.0.0.5"), "10.0.0.5:7946");
        assert_eq!(ok("::1"), "[::1]:7946");
        assert_eq!(ok("[::1]:8000"), "[::1]:8000");
        assert_eq!(ok("seed.example"), "seed.example:7946");
        assert_eq!(ok("seed.example:8000"), "seed.example:8000");
    }

    #[test]
    fn what_is_no_address_is_named() {
        for wrong in [
            "",
            ":7946",
            "host:",
            "host:0",
            "10.0.0.5:0",
            "host:99999",
            "a b",
            "10.0.0.256",
            "http://x:1",
        ] {
            let error = parse(wrong).expect_err(wrong).to_string();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
        }
    }
}
