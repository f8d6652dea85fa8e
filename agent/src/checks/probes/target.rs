//! The target of a probe, parsed once from the text of a person.

use hobnob_api::Probe;
use hyper::Uri;
use hyper::http::uri::Scheme;

/// The most bytes that a URL or an address may have.
pub const MAX_TARGET_BYTES: usize = 2_048;

const HTTP_PORT: u16 = 80;

/// A fault of the URL or the address of a probe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// It is longer than [`MAX_TARGET_BYTES`].
    #[error("the check's address has {len} bytes and {MAX_TARGET_BYTES} are allowed: shorten it")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It is no URL.
    #[error("`{url}` is not a URL ({reason}): write it as http://HOST:PORT/PATH")]
    NotAUrl {
        /// The given text.
        url: String,
        /// The fault.
        reason: String,
    },
    /// It wants TLS.
    #[error(
        "`{url}` asks for https, which health checks do not speak: give the service a health URL with http://, or \
         check that its port accepts connections with a TCP check"
    )]
    Https {
        /// The given text.
        url: String,
    },
    /// It carries a user name or a password.
    #[error(
        "the URL of the check carries credentials, which would be kept and shown in plain text: give the service a health URL without"
    )]
    Credentials,
    /// It is not a host and a port.
    #[error(
        "`{address}` is not an address to connect to: write it as HOST:PORT, with an IPv6 address in brackets"
    )]
    NotAnAddress {
        /// The given text.
        address: String,
    },
}

/// The place that a probe connects to, and the request that it makes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::checks) struct Target {
    /// A host name or an IP address, without brackets.
    pub(in crate::checks) host: String,
    /// The port.
    pub(in crate::checks) port: u16,
    /// The request; none when opening the connection is all.
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
    /// Parses where a probe goes.
    pub(in crate::checks) fn parse(probe: &Probe) -> Result<Self, TargetError> {
        let (Probe::Http { url: text } | Probe::Tcp { address: text }) = probe;
        if text.len() > MAX_TARGET_BYTES {
            return Err(TargetError::TooLong { len: text.len() });
        }
        match probe {
            Probe::Http { url } => Self::parse_url(url),
            Probe::Tcp { address } => Self::parse_address(address),
        }
    }

    fn parse_url(url: &str) -> Result<Self, TargetError> {
        let not_a_url =
            |reason: &str| TargetError::NotAUrl { url: url.to_owned(), reason: reason.to_owned() };
        let uri: Uri = url
            .parse()
            .map_err(|error: hyper::http::uri::InvalidUri| not_a_url(&error.to_string()))?;
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => {}
            Some(scheme) if *scheme == Scheme::HTTPS => {
                return Err(TargetError::Https { url: url.to_owned() });
            }
            Some(_) => return Err(not_a_url("it does not begin with http://")),
            None => return Err(not_a_url("it does not begin with http:// and a host")),
        }
        let authority = uri.authority().ok_or_else(|| not_a_url("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(TargetError::Credentials);
        }
        let host = without_brackets(authority.host());
        if host.is_empty() {
            return Err(not_a_url("it has no host"));
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("" | ":") | None => HTTP_PORT,
            Some(_) => match authority.port_u16() {
                Some(0) | None => return Err(not_a_url("its port is not from 1 to 65535")),
                Some(port) => port,
            },
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let http = HttpTarget { authority: authority.as_str().to_owned(), path: path.to_owned() };
        Ok(Self { host: host.to_owned(), port, http: Some(http) })
    }

    fn parse_address(address: &str) -> Result<Self, TargetError> {
        let not_an_address = || TargetError::NotAnAddress { address: address.to_owned() };
        let (host, port) = address.rsplit_once(':').ok_or_else(not_an_address)?;
        let port: u16 = port.parse().ok().filter(|port| *port != 0).ok_or_else(not_an_address)?;
        let bare = without_brackets(host);
        let is_host = if bare.len() < host.len() {
            bare.parse::<std::net::Ipv6Addr>().is_ok()
        } else {
            !host.is_empty()
                && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        };
        if is_host {
            Ok(Self { host: bare.to_owned(), port, http: None })
        } else {
            Err(not_an_address())
        }
    }
}

fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(url: &str) -> Result<Target, TargetError> {
        Target::parse(&Probe::Http { url: url.to_owned() })
    }

    fn tcp(address: &str) -> Result<Target, TargetError> {
        Target::parse(&Probe::Tcp { address: address.to_owned() })
    }

    #[test]
    fn urls() {
        for (url, host, port, authority, path) in [
            ("http://127.0.0.1:8001/", "127.0.0.1", 8001, "127.0.0.1:8001", "/"),
            ("http://localhost", "localhost", 80, "localhost", "/"),
            ("http://localhost:/up", "localhost", 80, "localhost:", "/up"),
            ("HTTP://web.internal:80/a/b?c=d", "web.internal", 80, "web.internal:80", "/a/b?c=d"),
            ("http://[::1]:8001/health#part", "::1", 8001, "[::1]:8001", "/health"),
            ("http://[::1]", "::1", 80, "[::1]", "/"),
        ] {
            let http_target = HttpTarget { authority: authority.into(), path: path.into() };
            let target = Target { host: host.into(), port, http: Some(http_target) };
            assert_eq!(http(url), Ok(target), "{url}");
        }
    }

    #[test]
    fn urls_that_are_refused() {
        for url in [
            "",
            "/health",
            "localhost",
            "localhost:80",
            "http://",
            "http:///x",
            "ftp://h/",
            "http://h:0/",
            "http://h:99999/",
            "http://h:x/",
            "http://:80/",
            "http://a b/",
            "http://[::1/",
        ] {
            assert!(
                matches!(http(url), Err(TargetError::NotAUrl { .. })),
                "{url}: {:?}",
                http(url)
            );
        }
        assert_eq!(http("http://user:secret@h/"), Err(TargetError::Credentials));
        let message = http("https://h/").expect_err("refused").to_string();
        assert!(message.contains("https://h/") && message.contains("TCP check"), "{message}");
        let long = format!("http://h/{}", "x".repeat(MAX_TARGET_BYTES));
        assert!(matches!(http(&long), Err(TargetError::TooLong { .. })));
    }

    #[test]
    fn addresses() {
        for (address, host, port) in [
            ("127.0.0.1:80", "127.0.0.1", 80),
            ("[::1]:5432", "::1", 5432),
            ("db-1.local_net:1", "db-1.local_net", 1),
        ] {
            assert_eq!(tcp(address), Ok(Target { host: host.into(), port, http: None }));
        }
        for address in [
            "",
            ":",
            ":80",
            "h",
            "h:",
            "h:0",
            "h:65536",
            "::1:80",
            "[::1]",
            "[h]:80",
            "a b:80",
            "http://h:80",
        ] {
            assert!(matches!(tcp(address), Err(TargetError::NotAnAddress { .. })), "{address}");
        }
    }
}
