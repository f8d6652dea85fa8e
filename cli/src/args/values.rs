//! Parsers of single values. Each error says what the value should look like.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

/// `key=value`. The value may be empty and may hold more `=`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected key=value, such as version=1.4".to_owned()),
    }
}

/// A duration with its unit, at least a millisecond, at most a day.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let duration = humantime::parse_duration(text)
        .map_err(|_| "expected a number and a unit, such as 500ms, 2s or 1m".to_owned())?;
    if (Duration::from_millis(1)..=DAY).contains(&duration) {
        Ok(duration)
    } else {
        Err("expected a duration between 1ms and 24h".to_owned())
    }
}

/// Where to listen: an IP address and a port.
pub(crate) fn socket_addr(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an IP address and a port, such as 127.0.0.1:7946".to_owned())
}

/// How long a call took, with its unit, at most a day.
pub(crate) fn latency(text: &str) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    match humantime::parse_duration(text) {
        Ok(latency) if latency <= DAY => Ok(latency),
        Ok(_) => Err("expected at most 24h".to_owned()),
        Err(_) => Err("expected a number and a unit, such as 800us, 12ms or 2s".to_owned()),
    }
}

/// A token of a pick.
pub(crate) fn token(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "expected the number that `hobnob pick --report` printed".to_owned())
}

/// An address that callers can use: digits and dots are an IP address, or a slip of the finger.
pub(crate) fn host(text: &str) -> Result<String, String> {
    let numeric = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    if numeric && text.parse::<IpAddr>().is_err() {
        Err("expected an IP address, such as 10.0.0.7, or a host name".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// `host:port`, where the host is a name, an IPv4 address or an IPv6 address in brackets.
pub(crate) fn host_port(text: &str) -> Result<String, String> {
    if is_host_port(text) {
        Ok(text.to_owned())
    } else {
        Err("expected host:port, such as 10.0.0.7:7946".to_owned())
    }
}

/// Where to join: `host:port`, or a host alone, whose agent then listens on the usual port.
pub(crate) fn join_address(text: &str) -> Result<String, String> {
    let alone = text.parse::<IpAddr>().is_ok() || is_host_port(&format!("{text}:1"));
    if alone || is_host_port(text) {
        Ok(text.to_owned())
    } else {
        Err("expected the gossip address of a member, such as 10.0.0.7:7946".to_owned())
    }
}

fn is_host_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bracketed = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
    let plain = !host.is_empty() && !host.contains([':', '[', ']', '/', ' ']);
    (bracketed || plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// An `http://` URL.
pub(crate) fn http_url(text: &str) -> Result<String, String> {
    let expected = "expected an http:// URL, such as http://127.0.0.1:8001/health";
    let Some(rest) = text.strip_prefix("http://") else {
        let mut message = expected.to_owned();
        if text.starts_with("https://") {
            let _ = write!(message, " (https:// is not supported; use --check-tcp)");
        }
        return Err(message);
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let valid = if has_port { is_host_port(authority) } else { !authority.is_empty() };
    if valid && !text.contains(char::is_whitespace) {
        Ok(text.to_owned())
    } else {
        Err(expected.to_owned())
    }
}

/// Directives of `tracing-subscriber`'s `EnvFilter`.
pub(crate) fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "{error}: expected a level such as debug, or directives such as info,hobnob_agent=debug"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_key_value() {
        let pair = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(key_value("version=1.4"), pair("version", "1.4"));
        assert_eq!(key_value("empty="), pair("empty", ""));
        assert_eq!(key_value("url=http://h/?a=b"), pair("url", "http://h/?a=b"));
        for wrong in ["", "version", "=1.4"] {
            assert!(key_value(wrong).unwrap_err().contains("key=value"), "{wrong}");
        }
    }

    #[test]
    fn a_duration_has_a_unit_and_a_range() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "5", "fast", "0s", "10us", "25h", "-1s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for right in ["10.0.0.7:7946", "db.example:1", "[::1]:7946"] {
            assert_eq!(host_port(right), Ok(right.to_owned()));
        }
        for wrong in
            ["", "host", ":80", "host:", "host:0", "host:65536", "::1:80", "[]:80", "a b:1"]
        {
            assert!(host_port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_mistyped_ip_address_is_no_host() {
        for right in ["10.0.0.7", "::1", "web.example", "1password.example"] {
            assert_eq!(host(right), Ok(right.to_owned()));
        }
        for wrong in ["", "999.1.1.1", "10.0.0", "10.0.0.7."] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_member_is_joined_with_and_without_a_port() {
        for right in ["10.0.0.7:7946", "10.0.0.7", "::1", "[::1]:7946", "seed.example"] {
            assert_eq!(join_address(right), Ok(right.to_owned()));
        }
        for wrong in ["", ":7946", "seed:", "seed:0", "http://seed", "a b"] {
            assert!(join_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_checked_url_is_plain_http() {
        for right in ["http://127.0.0.1:8001/health?full", "http://web", "http://[::1]:80/"] {
            assert_eq!(http_url(right), Ok(right.to_owned()));
        }
        for wrong in ["127.0.0.1:8001", "http://", "http://:80/", "http://h:x/", "http://a b/"] {
            assert!(http_url(wrong).is_err(), "{wrong}");
        }
        assert!(http_url("https://h/").unwrap_err().contains("--check-tcp"));
    }

    #[test]
    fn a_log_filter_is_checked_before_it_is_used() {
        assert!(log_filter("info,quinn=warn").is_ok());
        assert!(log_filter("hobnob=loud").unwrap_err().contains("expected a level"));
    }
}
