//! Parsers of single values. Each error describes the form of a valid value.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use hobnob_agent::SocketMode;
use hobnob_api::address::{AddressError, GossipAddress, Host, HostPort, HttpUrl, OwnAddress};
use hobnob_api::{Ackers, Datacenters, MAX_ACK_TIMEOUT_MS};
use hobnob_keys::{Glob, GlobError, Name, NameError, SeedAddress};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// `key=value`. The value may be empty and may hold more `=`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected key=value, such as version=1.4".to_owned()),
    }
}

/// The agents that acknowledge a change.
pub(crate) fn ackers(text: &str) -> Result<Ackers, String> {
    text.parse().map_err(|_| {
        "expected a number of agents, such as 3, or all, datacenter, or datacenter:NAME".to_owned()
    })
}

/// The longest wait for acknowledgements, with its unit.
pub(crate) fn ack_timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration(text)?;
    if timeout <= Duration::from_millis(MAX_ACK_TIMEOUT_MS) {
        Ok(timeout)
    } else {
        Err("expected a duration between 1ms and 1m".to_owned())
    }
}

/// The names of datacenters, separated by commas, or `*`.
pub(crate) fn datacenters(text: &str) -> Result<Datacenters, String> {
    text.parse()
        .map_err(|_| "expected 1 to 64 datacenters, such as eu or eu,us, or * for all".to_owned())
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

/// A duration in whole seconds, at most a day, as seconds.
pub(crate) fn ttl(text: &str) -> Result<u32, String> {
    const DAY_S: u32 = 24 * 60 * 60;
    let told = || "expected whole seconds between 0s and 24h, such as 5s".to_owned();
    let duration = humantime::parse_duration(text).map_err(|_| told())?;
    let seconds = u32::try_from(duration.as_secs()).ok().filter(|seconds| *seconds <= DAY_S);
    seconds.filter(|_| duration.subsec_nanos() == 0).ok_or_else(told)
}

/// A DNS server: an IP address, on port 53 if it names none.
pub(crate) fn dns_server(text: &str) -> Result<SocketAddr, String> {
    const PORT: u16 = 53;
    let server = text.parse::<SocketAddr>().ok().filter(|server| server.port() != 0);
    let server = server.or_else(|| text.parse::<IpAddr>().ok().map(|ip| (ip, PORT).into()));
    let server =
        server.filter(|server| !server.ip().is_unspecified() && !server.ip().is_multicast());
    server.ok_or_else(|| "expected an IP address, such as 1.1.1.1, [2606:4700::1111]:53".to_owned())
}

/// A time back from now, with its unit: a millisecond to ten years.
pub(crate) fn time_back(text: &str) -> Result<Duration, String> {
    const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);
    let duration = humantime::parse_duration(text)
        .map_err(|_| "expected a number and a unit, such as 30m, 1h or 2d".to_owned())?;
    if (Duration::from_millis(1)..=10 * YEAR).contains(&duration) {
        Ok(duration)
    } else {
        Err("expected a duration between 1ms and 10 years".to_owned())
    }
}

/// The time between two looks, with its unit: a tenth of a second to a minute.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if (Duration::from_millis(100)..=Duration::from_secs(60)).contains(&interval) {
        Ok(interval)
    } else {
        Err("expected a duration between 100ms and 1m".to_owned())
    }
}

/// The time for which a token is valid, with its unit: a second to ten years.
pub(crate) fn validity(text: &str) -> Result<Duration, String> {
    const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);
    let duration = humantime::parse_duration(text)
        .map_err(|_| "expected a number and a unit, such as 1h or 90d".to_owned())?;
    if (Duration::from_secs(1)..=10 * YEAR).contains(&duration) {
        Ok(duration)
    } else {
        Err("expected a duration between 1s and 10 years".to_owned())
    }
}

/// The name of a cluster or a datacenter.
pub(crate) fn name(text: &str) -> Result<Name, String> {
    hobnob_api::names::check("name", text).map_err(|error| error.to_string())?;
    text.parse().map_err(|error: NameError| error.to_string())
}

/// A pattern of names.
pub(crate) fn glob(text: &str) -> Result<Glob, String> {
    hobnob_api::names::check("pattern", text).map_err(|error| error.to_string())?;
    text.parse().map_err(|error: GlobError| error.to_string())
}

/// The gossip address of a seed, as a token carries it.
pub(crate) fn seed(text: &str) -> Result<SeedAddress, String> {
    let expected = "expected the gossip address of a member, such as 10.0.0.7:7946";
    let address: GossipAddress = text.parse().map_err(|_| expected.to_owned())?;
    match address.socket_addr() {
        Some(address) => Ok(address.into()),
        None => address.to_string().parse().map(SeedAddress::Name).map_err(|_| expected.to_owned()),
    }
}

/// An age with its unit, at most a day; 0 needs none.
pub(crate) fn age(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s") { Ok(Duration::ZERO) } else { duration(text) }
}

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// An address of the agent's own: an IP address, an interface or a host name, with or without a port.
pub(crate) fn own_address(text: &str) -> Result<OwnAddress, String> {
    text.parse().map_err(|_| {
        "expected an IP address, an interface or a host name, with or without a port, such as 127.0.0.1:7946, \
         [::1]:7946, eth0 or node7.example:7946"
            .to_owned()
    })
}

/// The mode of a socket.
pub(crate) fn socket_mode(text: &str) -> Result<SocketMode, String> {
    text.parse().map_err(|_| {
        "expected an octal mode that lets its owner read and write, such as 0666 for all users, or 0660 for a group"
            .to_owned()
    })
}

/// The duration of a call, with its unit, at most a day.
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

/// The address where callers reach an instance: an IP address or a host name.
pub(crate) fn host(text: &str) -> Result<String, String> {
    is::<Host>(text)
        .map_err(|_| "expected an IP address, such as 10.0.0.7, or a host name".to_owned())
}

/// `host:port`, where the host is a name, an IPv4 address or an IPv6 address in brackets.
pub(crate) fn host_port(text: &str) -> Result<String, String> {
    is::<HostPort>(text).map_err(|_| "expected host:port, such as 10.0.0.7:7946".to_owned())
}

/// The gossip address of a member: `host:port`, or a host alone.
pub(crate) fn gossip_address(text: &str) -> Result<String, String> {
    is::<GossipAddress>(text)
        .map_err(|_| "expected the gossip address of a member, such as 10.0.0.7:7946".to_owned())
}

/// An `http://` or `https://` URL.
pub(crate) fn http_url(text: &str) -> Result<String, String> {
    let expected = "expected an http:// or https:// URL, such as http://127.0.0.1:8001/health";
    is::<HttpUrl>(text).map_err(|error| match error {
        AddressError::Url { reason, .. } => format!("{expected}: {reason}"),
        other => format!("{expected}: {other}"),
    })
}

/// The text itself, if it parses.
fn is<T: FromStr<Err = AddressError>>(text: &str) -> Result<String, AddressError> {
    text.parse::<T>().map(|_| text.to_owned())
}

/// Directives of `tracing-subscriber`'s `EnvFilter`.
pub(crate) fn log_filter(text: &str) -> Result<String, String> {
    const EXPECTED: &str = "expected a level (error, warn, info, debug, trace, off), or directives such as info,hobnob_agent=debug";
    EnvFilter::try_new(text).map_err(|error| format!("{error}: {EXPECTED}"))?;
    // To the library, a word alone is a target whose every line is shown, while nothing else is.
    let is_word =
        |directive: &&str| !directive.is_empty() && !directive.contains(['=', '[', ']', '}']);
    let mut words = text.split(',').map(str::trim).filter(is_word);
    match words.find(|word| word.parse::<LevelFilter>().is_err()) {
        Some(word) => Err(format!("`{word}` is no level: {EXPECTED}")),
        None => Ok(text.to_owned()),
    }
}

/// A revision of an agent, with the run that it is of, if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Since {
    pub(crate) run: Option<String>,
    pub(crate) revision: u64,
}

/// Reads `REVISION` or `RUN:REVISION`.
pub(crate) fn since(text: &str) -> Result<Since, String> {
    let (run, revision) = match text.split_once(':') {
        Some((run, revision)) => (Some(run.to_owned()), revision),
        None => (None, text),
    };
    let revision = revision.parse().map_err(|_| {
        format!("`{revision}` is no revision: it is the number `revision` of an earlier answer")
    })?;
    Ok(Since { run, revision })
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
    fn a_token_is_valid_for_a_second_to_ten_years() {
        assert_eq!(validity("90d"), Ok(Duration::from_secs(90 * 24 * 60 * 60)));
        assert!(validity("10years").is_ok());
        for wrong in ["", "90", "999ms", "11years"] {
            assert!(validity(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_seed_without_a_port_has_the_default_one() {
        let shown = |text| seed(text).map(|seed| seed.to_string());
        assert_eq!(shown("10.0.0.9"), Ok("10.0.0.9:7946".to_owned()));
        assert_eq!(shown("seed.example"), Ok("seed.example:7946".to_owned()));
        assert_eq!(shown("[::1]:1"), Ok("[::1]:1".to_owned()));
        assert!(shown("0.0.0.0").unwrap_err().contains("such as 10.0.0.7:7946"));
    }

    #[test]
    fn an_address_that_is_refused_is_refused_with_an_example() {
        assert_eq!(host_port("[::1]:7946"), Ok("[::1]:7946".to_owned()));
        assert_eq!(gossip_address("seed.example"), Ok("seed.example".to_owned()));
        for (error, says) in [
            (host("999.1.1.1"), "such as 10.0.0.7"),
            (host_port("host"), "expected host:port"),
            (gossip_address("http://seed"), "gossip address"),
            (own_address("fe80::1%eth0:7946").map(|own| own.to_string()), "[::1]:7946, eth0"),
            (socket_mode("0999").map(|mode| mode.to_string()), "0666 for all users"),
            (http_url("127.0.0.1:8001"), "http://127.0.0.1:8001/health"),
            (http_url("http://h:x/"), "its port is not from 1 to 65535"),
            (http_url("ftp://h/"), "http://127.0.0.1:8001/health"),
            (dns_server("dns.example").map(|server| server.to_string()), "such as 1.1.1.1"),
            (dns_server("1.1.1.1:0").map(|server| server.to_string()), "such as 1.1.1.1"),
            (dns_server("0.0.0.0").map(|server| server.to_string()), "such as 1.1.1.1"),
            (ttl("1500ms").map(|seconds| seconds.to_string()), "whole seconds"),
            (ttl("25h").map(|seconds| seconds.to_string()), "whole seconds"),
        ] {
            let error = error.unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_dns_server_is_on_its_port_and_a_ttl_may_be_nothing() {
        let shown = |text| dns_server(text).map(|server| server.to_string());
        assert_eq!(shown("1.1.1.1"), Ok("1.1.1.1:53".to_owned()));
        assert_eq!(shown("127.0.0.1:5353"), Ok("127.0.0.1:5353".to_owned()));
        assert_eq!(shown("::1"), Ok("[::1]:53".to_owned()));
        assert_eq!((ttl("0s"), ttl("1m 5s")), (Ok(0), Ok(65)));
    }

    #[test]
    fn a_log_filter_is_checked_before_it_is_used() {
        assert!(log_filter("info,quinn=warn").is_ok());
        assert!(log_filter("off,[span]=debug,TRACE").is_ok());
        assert!(log_filter("hobnob=loud").unwrap_err().contains("expected a level"));
        for wrong in ["loud", "info,loud", "hobnob_agent", "debug,quinn"] {
            let refused = log_filter(wrong).unwrap_err();
            assert!(refused.contains("is no level: expected a level"), "{wrong}: {refused}");
        }
    }
}
