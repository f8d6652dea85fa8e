//! The configuration of a proxy: its routes, its limits, its own listener.

use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hobnob_api::discovery::DiscoveryConfig;

/// The configuration of a proxy.
pub struct ProxyConfig {
    /// The services, and where each is offered.
    pub routes: Vec<RouteConfig>,
    /// The limits of all routes together.
    pub limits: Limits,
    /// The address at which health and metrics are answered.
    pub admin: Option<SocketAddr>,
    /// The sink of the access log. It is written by a thread of its own, one JSON object a line.
    pub access_log: Option<Box<dyn Write + Send>>,
}

/// A service, and where it is offered.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    /// The service, and how it is called.
    pub discovery: DiscoveryConfig,
    /// The address at which clients connect.
    pub listen: Endpoint,
    /// The protocol of the clients.
    pub mode: Mode,
}

/// The protocol of a route's clients.
#[derive(Clone, Debug)]
pub enum Mode {
    /// HTTP/1.1, or HTTP/2 with prior knowledge, as each client begins.
    Http(HttpOptions),
    /// Bytes over TCP.
    Tcp(TcpOptions),
}

/// How calls over HTTP are passed on.
#[derive(Clone, Copy, Debug)]
pub struct HttpOptions {
    /// Whether a request without `x-request-id` gets one, and the answer shows it.
    pub request_id: bool,
    /// Whether the client is appended to `forwarded` (RFC 7239).
    pub forwarded: bool,
    /// Whether the answer names the instance in `x-hobnob-instance`.
    pub show_instance: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { request_id: true, forwarded: false, show_instance: false }
    }
}

/// How connections over TCP are passed on.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpOptions {
    /// Whether the instance is told the client's address in a header of the PROXY protocol, version 2.
    pub proxy_protocol: bool,
}

/// The limits of a proxy. `docs/PROXY.md` explains each.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections of clients at a time. A further one waits until one ends.
    pub max_connections: usize,
    /// The longest head of a request, in bytes.
    pub max_head_bytes: usize,
    /// Time for the head of a request, from its first byte.
    pub head_timeout: Duration,
    /// A connection of HTTP without a call is closed after this time.
    pub idle_timeout: Duration,
    /// A connection of HTTP with calls is closed when no byte moves for this time.
    pub stream_idle_timeout: Duration,
    /// A tunnel, over TCP or after an upgrade, is closed when no byte moves for this time; `None` for never.
    pub tunnel_idle_timeout: Option<Duration>,
    /// Calls at a time on one connection of HTTP/2.
    pub max_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            max_head_bytes: 32 << 10,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            stream_idle_timeout: Duration::from_secs(300),
            tunnel_idle_timeout: None,
            max_streams: 100,
        }
    }
}

/// A local address: of TCP, or the path of a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `127.0.0.1:9001`.
    Tcp(SocketAddr),
    /// `unix:/run/api.sock`.
    Unix(PathBuf),
}

/// A text is no local address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an address with a port, such as 127.0.0.1:9001, or unix: and a path, such as unix:/run/api.sock"
)]
pub struct EndpointError;

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        match text.strip_prefix("unix:") {
            Some("") => Err(EndpointError),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| EndpointError),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_or_a_path() {
        for text in ["127.0.0.1:9001", "[::1]:80", "unix:/run/api.sock", "unix:api.sock"] {
            assert_eq!(
                text.parse::<Endpoint>().map(|endpoint| endpoint.to_string()).as_deref(),
                Ok(text)
            );
        }
        for text in ["", "9001", "localhost:80", "unix:", "/run/api.sock", "127.0.0.1"] {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError), "{text}");
        }
    }
}
