//! The host that a request names. A page in a browser can make a name of its own lead to this host, and then read the
//! answers; such a request names that host.

use std::net::IpAddr;

use axum::http::uri::Authority;

/// Whether this header `Host` names this host: an IP address or `localhost`, with or without a port.
pub(super) fn is_this_host(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    // Nothing may stand before the name, as that of a user, nor after it, but a port.
    let is_whole = match host.strip_prefix(name) {
        Some("") => true,
        Some(rest) => rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()),
        None => false,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    is_whole && (name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok())
}

/// Whether this header `Origin` is that of a page which came from the host of this header `Host`.
pub(super) fn is_same_origin(origin: &str, host: &str) -> bool {
    let of = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    of.is_some_and(|of| !host.is_empty() && of.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_this_host() {
        for own in
            ["127.0.0.1", "127.0.0.1:9746", "[::1]:9746", "[::1]", "localhost", "LocalHost:1"]
        {
            assert!(is_this_host(own), "{own}");
        }
        for other in [
            "evil.example",
            "evil.example:9746",
            "127.0.0.1.evil.example",
            "",
            "[evil]:1",
            "[::1].evil.example",
            "localhost:evil",
            "evil@localhost",
        ] {
            assert!(!is_this_host(other), "{other}");
        }
    }

    #[test]
    fn only_the_page_of_the_same_host_and_port_is_of_the_same_origin() {
        assert!(is_same_origin("http://localhost:9746", "localhost:9746"));
        assert!(is_same_origin("https://127.0.0.1", "127.0.0.1"));
        for (origin, host) in [
            ("http://localhost:3000", "localhost:9746"),
            ("http://evil.example", "localhost:9746"),
            ("http://localhost:9746.evil.example", "localhost:9746"),
            ("null", "localhost:9746"),
            ("http://", ""),
        ] {
            assert!(!is_same_origin(origin, host), "{origin} {host}");
        }
    }
}
