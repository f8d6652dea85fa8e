//! The target of a probe, parsed once from the text of its check.

use std::fmt;

use hobnob_api::address::{AddressError, HostPort, HttpUrl};
use hobnob_api::{Probe, UdpProbe};

/// The place that a probe connects to, and the request that it makes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::checks) struct Target {
    /// A host name or an IP address, without brackets.
    pub(in crate::checks) host: String,
    /// The port.
    pub(in crate::checks) port: u16,
    /// The HTTP request; absent when opening the connection is all.
    pub(in crate::checks) http: Option<HttpTarget>,
}

/// The parts of an HTTP request that depend on the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::checks) struct HttpTarget {
    /// The `Host` header: host and port as they stand in the URL.
    pub(in crate::checks) authority: String,
    /// The path with its query.
    pub(in crate::checks) path: String,
}

impl Target {
    /// Parses the target of a probe.
    pub(in crate::checks) fn parse(probe: &Probe) -> Result<Self, AddressError> {
        match probe {
            Probe::Http(http) => {
                let HttpUrl { address, authority, path } = http.url.parse()?;
                Ok(Self::new(&address, Some(HttpTarget { authority, path })))
            }
            Probe::Tcp { address } => Ok(Self::new(&address.parse()?, None)),
            Probe::Udp(UdpProbe { address, .. }) => Ok(Self::new(&address.parse()?, None)),
            Probe::Grpc(grpc) => Ok(Self::new(&grpc.address.parse()?, None)),
            Probe::Script { .. } | Probe::Ttl { .. } | Probe::Alias(_) => {
                Err(AddressError::HostPort(String::new()))
            }
        }
    }

    fn new(address: &HostPort, http: Option<HttpTarget>) -> Self {
        Self { host: address.host.as_str().to_owned(), port: address.port, http }
    }
}

/// The address as it is written, as in `127.0.0.1:80` and `[::1]:80`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_to_connect_and_what_to_ask() {
        let probe = Probe::http("http://[::1]:8001/health?full");
        let http = HttpTarget { authority: "[::1]:8001".into(), path: "/health?full".into() };
        let target = Target { host: "::1".into(), port: 8001, http: Some(http) };
        assert_eq!(Target::parse(&probe), Ok(target));
    }

    #[test]
    fn an_address_says_where_to_connect() {
        let probe = Probe::Tcp { address: "db-1.local_net:5432".into() };
        let target = Target { host: "db-1.local_net".into(), port: 5432, http: None };
        assert_eq!(Target::parse(&probe), Ok(target));
        let malformed = Probe::Tcp { address: "db-1".into() };
        assert!(matches!(Target::parse(&malformed), Err(AddressError::HostPort(_))));
    }
}
