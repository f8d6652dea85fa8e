//! Addresses that people type: the one parser for them.

use std::net::{IpAddr, SocketAddr};

/// The port of an address that names none.
pub const DEFAULT_GOSSIP_PORT: u16 = 7_946;
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
pub fn parse(address: &str) -> Result<String, JoinAddressError> {
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
pub fn is_mistyped_ip(host: &str) -> bool {
    host.chars().all(|c| c.is_ascii_digit() || c == '.') && host.parse::<IpAddr>().is_err()
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
