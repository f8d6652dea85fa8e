//! The target of a probe, parsed once from its check.

use std::collections::BTreeMap;
use std::fmt;

use hobnob_api::address::{AddressError, HostPort, HttpUrl};
use hobnob_api::{Probe, ProbeTls, StatusRange};

/// The place that a probe connects to, and the request that it makes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::checks) struct Target {
    /// A host name or an IP address, without brackets.
    pub(in crate::checks) host: String,
    /// The port.
    pub(in crate::checks) port: u16,
    /// Whether the service listens for connections there.
    pub(in crate::checks) is_listener: bool,
    /// The HTTP request; absent for other kinds.
    pub(in crate::checks) http: Option<Box<HttpTarget>>,
}

/// An HTTP request, and the status codes that it expects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::checks) struct HttpTarget {
    /// The `Host` header: host and port as they stand in the URL.
    pub(in crate::checks) authority: String,
    /// The path with its query.
    pub(in crate::checks) path: String,
    /// The method.
    pub(in crate::checks) method: String,
    /// More fields of the head.
    pub(in crate::checks) headers: BTreeMap<String, String>,
    /// The body.
    pub(in crate::checks) body: Option<String>,
    /// The status codes that pass; any 2xx when empty.
    pub(in crate::checks) expect: Vec<StatusRange>,
    /// How the server is verified; absent for `http://`.
    pub(in crate::checks) tls: Option<ProbeTls>,
}

impl Target {
    /// Parses the target of a probe; `None` for a kind that connects nowhere.
    pub(in crate::checks) fn parse(probe: &Probe) -> Result<Option<Self>, AddressError> {
        Ok(Some(match probe {
            Probe::Http(http) => {
                let HttpUrl { address, authority, path, is_https } = http.url.parse()?;
                let request = HttpTarget {
                    authority,
                    path,
                    method: http.method.clone().unwrap_or_else(|| "GET".to_owned()),
                    headers: http.headers.clone(),
                    body: http.body.clone(),
                    expect: http.expect.clone(),
                    tls: is_https.then(|| http.tls.clone()),
                };
                Self { http: Some(Box::new(request)), ..Self::listener(&address) }
            }
            Probe::Tcp { address } => Self::listener(&address.parse()?),
            Probe::Grpc(grpc) => Self::listener(&grpc.address.parse()?),
            Probe::Udp(udp) => Self { is_listener: false, ..Self::listener(&udp.address.parse()?) },
            Probe::Script { .. } | Probe::Ttl { .. } | Probe::Alias(_) => return Ok(None),
        }))
    }

    fn listener(address: &HostPort) -> Self {
        let host = address.host.as_str().to_owned();
        Self { host, port: address.port, is_listener: true, http: None }
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
        let http = |authority: &str, tls| HttpTarget {
            authority: authority.to_owned(),
            path: "/health?full".to_owned(),
            method: "GET".to_owned(),
            tls,
            ..HttpTarget::default()
        };
        let target = |host: &str, port, http| {
            let host = host.to_owned();
            Ok(Some(Target { host, port, is_listener: true, http: Some(Box::new(http)) }))
        };
        let probe = Probe::http("http://[::1]:8001/health?full");
        assert_eq!(Target::parse(&probe), target("::1", 8001, http("[::1]:8001", None)));
        let probe = Probe::http("https://db.local/health?full");
        let expected = target("db.local", 443, http("db.local", Some(ProbeTls::default())));
        assert_eq!(Target::parse(&probe), expected);
    }

    #[test]
    fn an_address_says_where_to_connect() {
        let probe = Probe::tcp("db-1.local_net:5432");
        let host = "db-1.local_net".to_owned();
        let target = Target { host, port: 5432, is_listener: true, http: None };
        assert_eq!(Target::parse(&probe), Ok(Some(target)));
        assert!(matches!(Target::parse(&Probe::tcp("db-1")), Err(AddressError::HostPort(_))));
        assert_eq!(Target::parse(&Probe::Ttl { ttl_ms: 1 }), Ok(None));
    }
}
