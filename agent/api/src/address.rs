//! Addresses and URLs that people write, each parsed once into a type: the one parser for the agent, its clients and
//! the command line.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The port of a [`GossipAddress`] that names none.
pub const DEFAULT_GOSSIP_PORT: u16 = 7_946;
/// Bytes of an address or a URL.
pub const MAX_ADDRESS_BYTES: usize = 2_048;

/// Bytes of a host name (RFC 1035, section 2.3.4).
const MAX_HOST_BYTES: usize = 253;
/// The port of an `http://` URL that names none.
const HTTP_PORT: u16 = 80;
/// The port of an `https://` URL that names none.
const HTTPS_PORT: u16 = 443;

/// A text is not the address or the URL that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is longer than [`MAX_ADDRESS_BYTES`].
    #[error("the address has {len} bytes, and {MAX_ADDRESS_BYTES} are allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It is no host.
    #[error("`{0}` is neither an IP address nor a host name")]
    Host(String),
    /// It is no host with a port.
    #[error("`{0}` is not of the form HOST:PORT, with an IPv6 address in brackets")]
    HostPort(String),
    /// It is no gossip address.
    #[error("`{0}` is not a gossip address, which is a HOST or HOST:PORT")]
    Gossip(String),
    /// Gossip cannot be sent to one host there.
    #[error("`{0}` is not a gossip address: it leads to no host, or to many")]
    NotOfOneHost(String),
    /// It is no address of an agent's own.
    #[error(
        "`{0}` is not an IP address, an interface or a host name, with or without :PORT, and IPv6 in brackets"
    )]
    Own(String),
    /// It is no URL.
    #[error("`{url}` is not of the form http://HOST:PORT/PATH: {reason}")]
    Url {
        /// The text.
        url: String,
        /// The reason why it is invalid.
        reason: &'static str,
    },
    /// It carries a user name or a password, which would be stored and shown in plain text.
    #[error("the URL carries credentials, which are not accepted")]
    Credentials,
}

/// An IP address or a host name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host(String);

impl Host {
    /// The host without brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let is_name = (1..=MAX_HOST_BYTES).contains(&text.len()) && text.chars().all(legal);
        // Digits and dots that are no IP address are a slip of the finger, not a name.
        let is_mistyped_ip = text.chars().all(|c| c.is_ascii_digit() || c == '.');
        if text.parse::<IpAddr>().is_ok() || (is_name && !is_mistyped_ip) {
            Ok(Self(text.to_owned()))
        } else {
            Err(AddressError::Host(shown(text)))
        }
    }
}

/// As in a URL: an IPv6 address is in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.parse::<Ipv6Addr>() {
            Ok(ip) => write!(f, "[{ip}]"),
            Err(_) => f.write_str(&self.0),
        }
    }
}

/// A host and a port other than 0: `10.0.0.7:80`, `[::1]:80`, `db.example:5432`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        within_limit(text)?;
        let wrong = || AddressError::HostPort(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = bare_host(host).ok_or_else(wrong)?;
        Ok(Self { host, port: nonzero_port(port).ok_or_else(wrong)? })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The address at which an agent takes gossip. Without a port it is on [`DEFAULT_GOSSIP_PORT`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GossipAddress(HostPort);

impl FromStr for GossipAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        within_limit(text)?;
        let alone = || {
            let host = text.parse().ok().or_else(|| bare_host(text))?;
            Some(HostPort { host, port: DEFAULT_GOSSIP_PORT })
        };
        let address = text.parse().ok().or_else(alone);
        let address = address.map(Self).ok_or_else(|| AddressError::Gossip(text.to_owned()))?;
        match address.socket_addr() {
            Some(found) if !is_of_one_host(found.ip()) => {
                Err(AddressError::NotOfOneHost(text.to_owned()))
            }
            _ => Ok(address),
        }
    }
}

impl GossipAddress {
    /// The socket address, unless the host is a name. An IPv4 address in IPv6 form is an IPv4 address.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.0.host.as_str().parse().ok()?;
        Some(SocketAddr::new(ip.to_canonical(), self.0.port))
    }
}

impl fmt::Display for GossipAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An address of an agent's own, where it listens or where others reach it: `10.0.0.9:7946`, `[::1]:0`, `eth0`,
/// `eth0:7946`, `node7.example`. A host that is no IP address is an interface or a host name; only the agent's host knows which.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnAddress {
    /// The IP address, the interface or the host name.
    pub host: Host,
    /// The port, if one is named. 0 stands for any free port.
    pub port: Option<u16>,
}

impl FromStr for OwnAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        within_limit(text)?;
        if let Some(host) = text.parse().ok().or_else(|| bare_host(text)) {
            return Ok(Self { host, port: None });
        }
        let wrong = || AddressError::Own(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = bare_host(host).ok_or_else(wrong)?;
        Ok(Self { host, port: Some(port_number(port).ok_or_else(wrong)?) })
    }
}

impl From<SocketAddr> for OwnAddress {
    /// The address without the scope of an IPv6 address.
    fn from(address: SocketAddr) -> Self {
        Self { host: Host(address.ip().to_string()), port: Some(address.port()) }
    }
}

impl fmt::Display for OwnAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => self.host.fmt(f),
        }
    }
}

/// An `http://` or `https://` URL without credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    /// The host and port that it leads to.
    pub address: HostPort,
    /// Host and port as they stand in the URL: the `Host` header of a request.
    pub authority: String,
    /// The path with its query, from the first `/`.
    pub path: String,
    /// Whether it asks for TLS.
    pub is_https: bool,
}

impl FromStr for HttpUrl {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        within_limit(url)?;
        let wrong = |reason| AddressError::Url { url: url.to_owned(), reason };
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| wrong("it does not begin with http://"))?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return Err(wrong("it does not begin with http://"));
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if authority.contains('@') {
            return Err(AddressError::Credentials);
        }
        // The colons of an IPv6 address are inside its brackets.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (authority, ""),
        };
        let host = bare_host(host).ok_or_else(|| wrong("it has no host"))?;
        let port = match port {
            "" if is_https => HTTPS_PORT,
            "" => HTTP_PORT,
            port => nonzero_port(port).ok_or_else(|| wrong("its port is not from 1 to 65535"))?,
        };
        let path = rest.split('#').next().unwrap_or_default();
        if !path.bytes().all(is_path_byte) {
            return Err(wrong("its path has a character that must be percent-encoded"));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            address: HostPort { host, port },
            authority: authority.to_owned(),
            path: format!("{slash}{path}"),
            is_https,
        })
    }
}

/// Whether an address can be that of one host on a network: it is neither unspecified (`0.0.0.0`, `::`), nor a multicast
/// group, nor `255.255.255.255`.
#[must_use]
pub fn is_of_one_host(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST)
}

fn within_limit(text: &str) -> Result<(), AddressError> {
    match text.len() {
        0..=MAX_ADDRESS_BYTES => Ok(()),
        len => Err(AddressError::TooLong { len }),
    }
}

/// A host as it stands before a port: an IPv6 address in brackets, anything else without.
fn bare_host(text: &str) -> Option<Host> {
    match text.strip_prefix('[') {
        Some(rest) => {
            let ip: Ipv6Addr = rest.strip_suffix(']')?.parse().ok()?;
            Some(Host(ip.to_string()))
        }
        None => text.parse().ok().filter(|host: &Host| !host.as_str().contains(':')),
    }
}

fn nonzero_port(text: &str) -> Option<u16> {
    port_number(text).filter(|port| *port != 0)
}

fn port_number(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// The characters of a path and a query (RFC 3986, sections 3.3 and 3.4).
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@/?".contains(&byte)
}

/// The beginning of a text that may be long.
fn shown(text: &str) -> String {
    const SHOWN_CHARS: usize = 80;
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed<T: FromStr<Err = AddressError> + fmt::Display>(text: &str) -> Option<String> {
        text.parse::<T>().ok().map(|parsed| parsed.to_string())
    }

    #[test]
    fn a_host_is_an_ip_address_or_a_name() {
        for right in ["10.0.0.7", "web.example", "db-1.local_net", "1password.example"] {
            assert_eq!(parsed::<Host>(right).as_deref(), Some(right));
        }
        assert_eq!(parsed::<Host>("::1").as_deref(), Some("[::1]"));
        let long = "x".repeat(MAX_HOST_BYTES + 1);
        for wrong in ["", "999.1.1.1", "10.0.0", "10.0.0.7.", "a b", "[::1]", "h:80", "h/", &long] {
            assert!(wrong.parse::<Host>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_with_a_port() {
        for right in ["10.0.0.7:7946", "db-1.local_net:1", "[::1]:5432"] {
            assert_eq!(parsed::<HostPort>(right).as_deref(), Some(right));
        }
        for wrong in [
            "",
            "host",
            ":80",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "::1:80",
            "[]:80",
            "[h]:80",
            "[::1]",
            "a b:1",
            "10.0.0.256:1",
            "h/x:1",
        ] {
            let error = wrong.parse::<HostPort>().expect_err(wrong);
            assert!(error.to_string().starts_with(&format!("`{wrong}` is not")), "{error}");
        }
    }

    #[test]
    fn a_gossip_address_has_a_default_port() {
        for (text, address) in [
            ("10.0.0.5:8000", "10.0.0.5:8000"),
            ("10.0.0.5", "10.0.0.5:7946"),
            ("::1", "[::1]:7946"),
            ("[::1]", "[::1]:7946"),
            ("[::1]:8000", "[::1]:8000"),
            ("seed.example", "seed.example:7946"),
            ("seed.example:8000", "seed.example:8000"),
        ] {
            assert_eq!(parsed::<GossipAddress>(text).as_deref(), Some(address));
        }
        for wrong in
            ["", ":7946", "host:", "host:0", "10.0.0.5:0", "host:99999", "a b", "10.0.0.256"]
        {
            let error = wrong.parse::<GossipAddress>().expect_err(wrong);
            assert!(error.to_string().contains(&format!("`{wrong}`")), "{error}");
        }
        assert!("http://x:1".parse::<GossipAddress>().is_err());
        for nobody in ["0.0.0.0", "[::]:7946", "255.255.255.255:1", "224.0.0.1", "::ffff:0.0.0.0"] {
            let refused = nobody.parse::<GossipAddress>();
            assert_eq!(refused, Err(AddressError::NotOfOneHost(nobody.to_owned())));
        }
    }

    #[test]
    fn an_own_address_may_have_a_port_and_0_is_any() {
        for (text, host, port) in [
            ("10.0.0.9:7946", "10.0.0.9", Some(7_946)),
            ("10.0.0.9", "10.0.0.9", None),
            ("0.0.0.0:0", "0.0.0.0", Some(0)),
            ("::1", "::1", None),
            ("[::1]", "::1", None),
            ("[::]:7946", "::", Some(7_946)),
            ("eth0", "eth0", None),
            ("eth0.100:7946", "eth0.100", Some(7_946)),
            ("br-4f2a_1", "br-4f2a_1", None),
            ("node7.example:7946", "node7.example", Some(7_946)),
        ] {
            let parsed: OwnAddress = text.parse().expect(text);
            assert_eq!((parsed.host.as_str(), parsed.port), (host, port), "{text}");
        }
        assert_eq!(parsed::<OwnAddress>("::1").as_deref(), Some("[::1]"));
        for address in ["10.0.0.9:0", "[fd00::9]:7946"] {
            let address: SocketAddr = address.parse().expect("an address");
            assert_eq!(OwnAddress::from(address).to_string(), address.to_string());
        }
        for wrong in [
            "",
            ":7946",
            "eth0:",
            "eth0:x",
            "eth0:65536",
            "7946",
            "10.0.0.256",
            "fe80::1%eth0",
            "a b",
        ] {
            let error = wrong.parse::<OwnAddress>().expect_err(wrong);
            assert!(error.to_string().starts_with(&format!("`{wrong}` is not")), "{error}");
        }
    }

    #[test]
    fn a_gossip_address_without_a_name_is_a_socket_address() {
        let found = |text: &str| {
            let address: GossipAddress = text.parse().expect(text);
            address.socket_addr().map(|found| found.to_string())
        };
        assert_eq!(found("10.0.0.5").as_deref(), Some("10.0.0.5:7946"));
        assert_eq!(found("[::ffff:10.0.0.5]:80").as_deref(), Some("10.0.0.5:80"));
        assert_eq!(found("[::1]").as_deref(), Some("[::1]:7946"));
        assert_eq!(found("seed.example"), None);
    }

    #[test]
    fn an_address_of_many_hosts_or_of_none_is_told_apart() {
        let is_of_one = |text: &str| is_of_one_host(text.parse().expect("an address"));
        for one in ["10.0.0.5", "127.0.0.1", "::1", "fe80::1", "10.0.0.255", "::ffff:10.0.0.5"] {
            assert!(is_of_one(one), "{one}");
        }
        for not in ["0.0.0.0", "::", "255.255.255.255", "224.0.0.1", "ff02::1", "::ffff:0.0.0.0"] {
            assert!(!is_of_one(not), "{not}");
        }
    }

    #[test]
    fn a_url_is_taken_apart() {
        for (url, address, authority, path) in [
            ("http://127.0.0.1:8001/", "127.0.0.1:8001", "127.0.0.1:8001", "/"),
            ("http://localhost", "localhost:80", "localhost", "/"),
            ("http://localhost:/up", "localhost:80", "localhost:", "/up"),
            ("HTTP://web.internal:80/a/b?c=d", "web.internal:80", "web.internal:80", "/a/b?c=d"),
            ("http://[::1]:8001/health#part", "[::1]:8001", "[::1]:8001", "/health"),
            ("http://[::1]", "[::1]:80", "[::1]", "/"),
            ("http://h?full", "h:80", "h", "/?full"),
        ] {
            let parsed: HttpUrl = url.parse().expect(url);
            assert_eq!(parsed.address.to_string(), address, "{url}");
            assert_eq!((&*parsed.authority, &*parsed.path), (authority, path), "{url}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_probed_is_refused() {
        for wrong in [
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
            "http://h/a b",
            "http://h/\u{fc}",
            "http://h/\n",
        ] {
            let error = wrong.parse::<HttpUrl>().expect_err(wrong);
            assert!(matches!(error, AddressError::Url { .. }), "{wrong}: {error}");
        }
        let https = "https://h".parse::<HttpUrl>().expect("an URL");
        assert_eq!((https.address.port, https.is_https, &*https.path), (443, true, "/"));
        assert_eq!("http://user:secret@h/".parse::<HttpUrl>(), Err(AddressError::Credentials));
        let long = format!("http://h/{}", "x".repeat(MAX_ADDRESS_BYTES));
        assert!(matches!(long.parse::<HttpUrl>(), Err(AddressError::TooLong { .. })));
    }
}
