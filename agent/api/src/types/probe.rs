//! The probes by which health checks examine their instances.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::is_default;

/// The probe by which a health check examines its instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Probe {
    /// An HTTP request; a 2xx status passes, 429 warns.
    Http(Box<HttpProbe>),
    /// Open a TCP connection.
    Tcp {
        /// The `host:port`.
        address: String,
    },
    /// Send a datagram; any answer passes.
    Udp(UdpProbe),
    /// Call `grpc.health.v1.Health/Check`; `SERVING` passes.
    Grpc(Box<GrpcProbe>),
    /// Run a program: exit code 0 passes, 1 warns, any other is a failure. Refused by an agent that runs without
    /// `--enable-script-checks`.
    Script {
        /// The program and its arguments, without a shell in between.
        args: Vec<String>,
    },
    /// Wait for reports of the service itself. A check that hears none in time is critical.
    Ttl {
        /// Milliseconds for which a report holds.
        ttl_ms: u64,
    },
    /// Follow the status of something else.
    Alias(Alias),
}

impl Probe {
    /// `GET` this URL.
    #[must_use]
    pub fn http(url: impl Into<String>) -> Self {
        Self::Http(Box::new(HttpProbe { url: url.into(), ..HttpProbe::default() }))
    }

    /// Open a TCP connection to this `host:port`.
    #[must_use]
    pub fn tcp(address: impl Into<String>) -> Self {
        Self::Tcp { address: address.into() }
    }

    /// The name of its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tcp { .. } => "tcp",
            Self::Udp(_) => "udp",
            Self::Grpc(_) => "grpc",
            Self::Script { .. } => "script",
            Self::Ttl { .. } => "ttl",
            Self::Alias(_) => "alias",
        }
    }
}

/// An HTTP request, and the answer that is expected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpProbe {
    /// The `http://` or `https://` URL.
    pub url: String,
    /// The method; `GET` when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub method: Option<String>,
    /// Fields of the head, by name. `host` replaces the one of the URL.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default, skip_serializing_if = "is_default")]
    pub body: Option<String>,
    /// The status codes that pass; 200 to 299 when empty. 429 warns unless it is named here.
    #[serde(default, skip_serializing_if = "is_default")]
    pub expect: Vec<StatusRange>,
    /// How an `https://` server is verified.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: ProbeTls,
}

/// A datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UdpProbe {
    /// The `host:port`.
    pub address: String,
    /// The content of the datagram; empty when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub payload: Option<String>,
    /// Whether silence until the timeout passes, for servers that answer only what they understand. A port that is
    /// reported closed fails all the same.
    #[serde(default, skip_serializing_if = "is_default")]
    pub silence_passes: bool,
}

/// A call of the gRPC health protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpcProbe {
    /// The `host:port`.
    pub address: String,
    /// The service that is asked for; the server as a whole when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub service: Option<String>,
    /// How the server is verified; without TLS when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: Option<ProbeTls>,
}

/// How the server of a probe over TLS is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeTls {
    /// A file with the certificates of the CAs that are trusted, as PEM, on the host of the agent. It is read at each probe.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ca_file: Option<String>,
    /// The certificates of the CAs that are trusted, as PEM. Without both, those that the host trusts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ca_pem: Option<String>,
    /// The name that the server proves; the host of the target when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub server_name: Option<String>,
    /// Whether any certificate will do.
    #[serde(default, skip_serializing_if = "is_default")]
    pub skip_verify: bool,
}

/// What an alias follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alias {
    /// The instance with this id, of the same agent.
    Instance(String),
    /// The member with this name or node id.
    Member(String),
}

/// Status codes of HTTP, written as `200`, `200-299` or `2xx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusRange {
    from: u16,
    to: u16,
}

/// A text is no range of status codes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no HTTP status: write 200, 200-299 or 2xx")]
pub struct NoStatusRange(String);

impl StatusRange {
    /// Whether this status is in it.
    #[must_use]
    pub const fn contains(self, status: u16) -> bool {
        self.from <= status && status <= self.to
    }
}

impl FromStr for StatusRange {
    type Err = NoStatusRange;

    fn from_str(text: &str) -> Result<Self, NoStatusRange> {
        let error = || NoStatusRange(text.to_owned());
        let code = |text: &str| -> Result<u16, NoStatusRange> {
            let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|code| is_code && (100..=999).contains(code)).ok_or_else(error)
        };
        if let Some(class) = text.strip_suffix("xx") {
            let from = code(&format!("{class}00"))?;
            return Ok(Self { from, to: from + 99 });
        }
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let range = Self { from: code(from)?, to: code(to)? };
        if range.from > range.to { Err(error()) } else { Ok(range) }
    }
}

impl TryFrom<String> for StatusRange {
    type Error = NoStatusRange;

    fn try_from(text: String) -> Result<Self, NoStatusRange> {
        text.parse()
    }
}

impl From<StatusRange> for String {
    fn from(range: StatusRange) -> Self {
        range.to_string()
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = *self;
        match () {
            () if from == to => write!(f, "{from}"),
            () if from.is_multiple_of(100) && to == from + 99 => write!(f, "{}xx", from / 100),
            () => write!(f, "{from}-{to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes_are_named_alone_as_a_range_and_as_a_class() {
        for (text, inside, outside, written) in [
            ("204", 204, 205, "204"),
            ("200-299", 299, 300, "2xx"),
            ("200-204", 204, 205, "200-204"),
            ("3xx", 399, 299, "3xx"),
        ] {
            let range: StatusRange = text.parse().expect(text);
            assert!(range.contains(inside) && !range.contains(outside), "{text}");
            assert_eq!(range.to_string(), written);
        }
        for text in ["", "20", "2xxx", "xx", "0xx", "299-200", "200-", "+20", "1000", "99"] {
            assert!(text.parse::<StatusRange>().is_err(), "{text}");
        }
    }
}
