//! The settings of the DNS door.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// Bytes of a domain, so that there is room for the names below it.
const MAX_DOMAIN_BYTES: usize = 100;
/// Bytes of a label (RFC 1035, section 2.3.4).
const MAX_LABEL_BYTES: usize = 63;
/// The domains that belong to others: reverse names, and this host.
const RESERVED: [&str; 3] = ["arpa", "localhost", "invalid"];

/// The settings of the DNS door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsConfig {
    /// The address that answers, over UDP and TCP. Port 0 takes a free one.
    pub addr: SocketAddr,
    /// The domains that are answered from the catalog. The first one is in names that the agent gives away, such as those of
    /// addresses.
    pub domains: Vec<DnsDomain>,
    /// The seconds for which others may keep an answer.
    pub ttl_s: u32,
    /// The servers that are asked for names of other domains; none refuses those names.
    pub forward: Vec<SocketAddr>,
    /// Accept that this address is not loopback, although nobody has to prove who they are there.
    pub insecure: bool,
}

/// A domain, in lower case and without the dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsDomain(String);

/// A text that is no domain for the DNS door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a domain such as `consul` or `svc.example.com`: {0}")]
pub struct DnsDomainError(&'static str);

impl DnsDomain {
    /// Its labels, the first one first.
    pub(crate) fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DnsDomain {
    type Err = DnsDomainError;

    fn from_str(text: &str) -> Result<Self, DnsDomainError> {
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if text.len() > MAX_DOMAIN_BYTES {
            return Err(DnsDomainError("it has more than 100 bytes"));
        }
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        for label in text.split('.') {
            if label.is_empty() || label.len() > MAX_LABEL_BYTES {
                return Err(DnsDomainError("the parts between its dots have 1 to 63 bytes each"));
            }
            if !label.bytes().all(is_legal) {
                return Err(DnsDomainError("it has letters, digits, `-` and `_` only"));
            }
        }
        let last = text.rsplit('.').next().unwrap_or_default();
        if RESERVED.contains(&last) {
            return Err(DnsDomainError("that domain has another purpose"));
        }
        Ok(Self(text))
    }
}

impl fmt::Display for DnsDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_read_in_lower_case() {
        let read = |text: &str| text.parse::<DnsDomain>().map(|domain| domain.to_string());
        assert_eq!(read("consul").as_deref(), Ok("consul"));
        assert_eq!(read("Svc.Example.COM.").as_deref(), Ok("svc.example.com"));
        let long = "x".repeat(64);
        for wrong in ["", ".", "a..b", "a b", "é", &long, "in-addr.arpa", "LOCALHOST"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read(&"a.".repeat(51)).is_err());
    }
}
