//! Single values and lines, formatted for people.

use std::net::Ipv6Addr;
use std::time::{Duration, SystemTime};

use hobnob_api::names::printable;
use hobnob_api::{Basis, CheckStatus, DEFAULT_NAMESPACE, Instance, InstanceStatus, Member};

use super::{Style, member_status, offer_word, status_style, status_word};

/// `address:port`, with brackets around an IPv6 address.
pub(crate) fn endpoint(address: &str, port: u16) -> String {
    if address.parse::<Ipv6Addr>().is_ok() {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

/// A duration to two units at most: `120ms`, `3s`, `2h 5m`.
pub(crate) fn age(ms: u64) -> String {
    let coarse = match ms {
        0..1_000 => Duration::from_millis(ms),
        1_000..3_600_000 => Duration::from_secs((ms + 500) / 1_000),
        _ => Duration::from_secs((ms + 30_000) / 60_000 * 60),
    };
    let text = humantime::format_duration(coarse).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// One line of `watch`: time, status, instance, endpoint, node, and whether an instance that is not healthy, or may
/// be out of reach, is offered; then what operators did to it.
pub(crate) fn watch_line(instance: &Instance, at: SystemTime, style: Style) -> String {
    let status = format!("{:<9}", status_word(instance.status));
    let offer = match (instance.status, instance.basis) {
        (InstanceStatus::Unknown, _) | (InstanceStatus::Healthy, Basis::Unanswered) => {
            if instance.offered {
                format!("  offered: {}", offer_word(instance))
            } else {
                "  not offered".to_owned()
            }
        }
        (InstanceStatus::Healthy | InstanceStatus::Unhealthy | InstanceStatus::Gone, _) => {
            String::new()
        }
    };
    let why = why(instance).map_or(String::new(), |why| format!("  {why}"));
    format!(
        "{}  {}  {:<16} {:<21} {}{offer}{why}",
        humantime::format_rfc3339_seconds(at),
        style.paint(&status, status_style(instance.status)),
        printable(&instance.id),
        printable(&endpoint(&instance.address, instance.port)),
        printable(&instance.node),
    )
}

/// What operators did to an instance, or that one of its checks warns.
pub(super) fn why(instance: &Instance) -> Option<&'static str> {
    match (instance.check, instance.basis) {
        (_, Basis::Maintenance) => Some("maintenance"),
        (_, Basis::Drained) => Some("drained"),
        _ if instance.draining => Some("draining"),
        (Some(CheckStatus::Warning), _) => Some("warns"),
        _ => None,
    }
}

/// The service of an instance, with its namespace unless that is the default one.
pub(crate) fn service_of(instance: &Instance) -> String {
    if instance.namespace == DEFAULT_NAMESPACE {
        return printable(&instance.service).to_string();
    }
    format!("{}/{}", printable(&instance.namespace), printable(&instance.service))
}

/// One line of `watch --members`: time, what happened, name, address, datacenter.
pub(crate) fn member_line(word: &str, member: &Member, at: SystemTime, style: Style) -> String {
    let (_, paint) = member_status(member.status);
    let link = member.link_silent_ms.map(|ms| format!("  link silent {}", age(ms)));
    format!(
        "{}  {}  {:<16} {:<21} {}{}",
        humantime::format_rfc3339_seconds(at),
        style.paint(&format!("{word:<11}"), paint),
        printable(&member.name),
        printable(&member.gossip_address),
        printable(&member.datacenter),
        link.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::table::tests::instance;

    #[test]
    fn an_endpoint_can_be_pasted_into_a_url() {
        assert_eq!(endpoint("127.0.0.1", 80), "127.0.0.1:80");
        assert_eq!(endpoint("db.example", 5432), "db.example:5432");
        assert_eq!(endpoint("::1", 80), "[::1]:80");
    }

    #[test]
    fn an_age_is_as_coarse_as_it_is_long() {
        for (ms, text) in [
            (0, "0s"),
            (120, "120ms"),
            (3_400, "3s"),
            (3_900, "4s"),
            (61_000, "1m 1s"),
            (7_529_000, "2h 5m"),
            (7_530_000, "2h 6m"),
            (90_000_000, "1day 1h"),
        ] {
            assert_eq!(age(ms), text);
        }
    }

    #[test]
    fn a_watch_line_is_aligned_and_plain_without_colours() {
        let line = watch_line(&instance("web-1"), SystemTime::UNIX_EPOCH, Style::PLAIN);
        assert_eq!(
            line,
            "1970-01-01T00:00:00Z  healthy    web-1            127.0.0.1:8001        a1"
        );
        let line = watch_line(&instance("web-1"), SystemTime::UNIX_EPOCH, Style::COLOURED);
        assert!(line.contains("\u{1b}["));
    }

    #[test]
    fn a_watch_line_says_what_operators_did() {
        let line = |instance: Instance| {
            watch_line(&instance, SystemTime::UNIX_EPOCH, Style::PLAIN)
                .split_once(" a1")
                .unwrap()
                .1
                .to_owned()
        };
        let out = |basis| {
            let status = InstanceStatus::Unhealthy;
            line(Instance { status, basis, offered: false, ..instance("web-1") })
        };
        assert_eq!(out(Basis::Maintenance), "  maintenance");
        assert_eq!(out(Basis::Drained), "  drained");
        assert_eq!(out(Basis::Current), "");
        assert_eq!(line(Instance { draining: true, ..instance("web-1") }), "  draining");
        let warns = Some(CheckStatus::Warning);
        assert_eq!(line(Instance { check: warns, ..instance("web-1") }), "  warns");
    }

    #[test]
    fn a_watch_line_says_whether_an_instance_that_may_not_be_reached_is_offered() {
        let lost = Instance {
            status: InstanceStatus::Unknown,
            basis: Basis::LastKnown,
            ..instance("web-1")
        };
        let line = |instance: &Instance| watch_line(instance, SystemTime::UNIX_EPOCH, Style::PLAIN);
        assert!(line(&lost).ends_with(" a1  offered: last known"), "{}", line(&lost));
        let other = Instance { offered: false, ..lost };
        assert!(line(&other).ends_with(" a1  not offered"), "{}", line(&other));
        let unanswered = Instance { basis: Basis::Unanswered, ..instance("web-1") };
        assert!(line(&unanswered).ends_with(" a1  offered: unanswered"), "{}", line(&unanswered));
        let other = Instance { offered: false, ..unanswered };
        assert!(line(&other).ends_with(" a1  not offered"), "{}", line(&other));
    }
}
