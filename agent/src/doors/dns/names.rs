//! The names that the door knows: what each may ask for.
//!
//! A datacenter, a namespace or a service may have the name of a word of ours, so that a name can be read in several ways. All
//! of them are tried, the one with the longest names of services and members first: the first that leads to something counts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::base::name::Label;

use crate::config::DnsDomain;

/// The words that say what stands before them.
const KINDS: [&str; 3] = ["service", "node", "addr"];
/// All words of ours.
pub(super) const WORDS: [&str; 5] = ["service", "node", "addr", "ns", "dc"];

/// Whose name it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One of our domains, by its place among them, and what the name may ask for there, the likeliest first. With nothing that
    /// it may ask for, there is no such name.
    Own(usize, Vec<Subject>),
    /// The name of an address.
    Reverse(IpAddr),
    Elsewhere,
}

/// What a name in one of our domains asks for. Names are in lower case, by their labels where they may have dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The domain itself.
    Apex,
    /// The server of the domain. Namespaces stand below it.
    NameServer,
    /// A name that has others below it, and nothing else, such as that of a datacenter.
    Structure(Within),
    /// The instances of a service: `[TAG.]NAME`, where each may have dots.
    Service { labels: Vec<String>, within: Within },
    /// The same as RFC 2782 has it: `_NAME._tcp`, or `_NAME._TAG`.
    Located { name: String, tag: Option<String>, within: Within },
    /// What stands above names of that form: `[END OF A NAME.]_tcp`, or `_TAG`.
    Protocol { end: Vec<String>, tag: Option<String>, within: Within },
    /// A member.
    Node { labels: Vec<String>, within: Within },
    /// An address that is its own name.
    Address { address: IpAddr, within: Within },
}

/// Where a name is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Within {
    pub(super) namespace: Option<String>,
    pub(super) datacenter: Option<String>,
}

/// Whose name it is, and what it asks for. The longest domain that fits counts.
pub(super) fn place<'a>(domains: &[DnsDomain], name: impl Iterator<Item = &'a Label>) -> Place {
    let labels: Vec<String> = name
        .filter(|label| !label.is_root())
        .map(|label| String::from_utf8_lossy(label.as_slice()).to_ascii_lowercase())
        .collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let ours = domains.iter().enumerate().filter_map(|(at, domain)| {
        let own: Vec<&str> = domain.labels().collect();
        labels.strip_suffix(&own[..]).map(|below| (own.len(), at, below))
    });
    match ours.max_by_key(|(length, ..)| *length) {
        Some((_, at, below)) => Place::Own(at, subjects(below)),
        None => reverse(&labels).map_or(Place::Elsewhere, Place::Reverse),
    }
}

/// All that a name below a domain may ask for.
fn subjects(labels: &[&str]) -> Vec<Subject> {
    // A dot within a label is none between two.
    if labels.iter().any(|label| label.contains('.')) {
        return Vec::new();
    }
    let kinds = labels.iter().enumerate().rev().filter(|(_, label)| KINDS.contains(*label));
    let of_kinds = kinds.filter_map(|(at, kind)| {
        let (names, within) = (labels.get(..at)?, within(labels.get(at + 1..)?)?);
        of_kind(kind, names, within)
    });
    of_kinds.chain(structures(labels)).collect()
}

fn of_kind(kind: &str, names: &[&str], within: Within) -> Option<Subject> {
    match (kind, names) {
        // A member is in no namespace, nor is an address.
        ("node" | "addr", _) if within.namespace.is_some() => None,
        (_, []) => Some(Subject::Structure(within)),
        ("service", names) => Some(service(names, within)),
        ("node", names) => Some(Subject::Node { labels: owned(names), within }),
        ("addr", [digits]) => hex(digits).map(|address| Subject::Address { address, within }),
        _ => None,
    }
}

/// What a name stands for that has no word for a kind in it.
fn structures(labels: &[&str]) -> Vec<Subject> {
    let known = match labels {
        [] => Some(Subject::Apex),
        ["ns"] => Some(Subject::NameServer),
        ["dc"] => Some(Subject::Structure(Within::default())),
        labels => within(labels).map(Subject::Structure),
    };
    // The namespaces of a datacenter stand below it.
    let namespaces = match labels {
        ["ns", rest @ ..] => within(rest).filter(|within| within.datacenter.is_some()),
        _ => None,
    };
    known.into_iter().chain(namespaces.map(Subject::Structure)).collect()
}

/// The labels behind the kind: `[NAMESPACE.ns.][DATACENTER[.dc].]`.
fn within(labels: &[&str]) -> Option<Within> {
    let (namespace, rest) = match labels {
        [namespace, "ns", rest @ ..] => (Some((*namespace).to_owned()), rest),
        rest => (None, rest),
    };
    let datacenter = match rest {
        [] => None,
        [datacenter] | [datacenter, "dc"] => Some((*datacenter).to_owned()),
        _ => return None,
    };
    Some(Within { namespace, datacenter })
}

/// `[TAG.]NAME`, or `_NAME._PROTOCOL` (RFC 2782). There, anything but TCP is a tag, as Consul has it.
fn service(names: &[&str], within: Within) -> Subject {
    let plain = || Subject::Service { labels: owned(names), within: within.clone() };
    let Some((last, others)) = names.split_last() else { return plain() };
    let Some(protocol) = last.strip_prefix('_') else { return plain() };
    let tag = (protocol != "tcp").then(|| protocol.to_owned());
    let named = others.split_first().and_then(|(first, inner)| {
        Some(std::iter::once(first.strip_prefix('_')?).chain(inner.iter().copied()))
    });
    match named.map(|labels| labels.collect::<Vec<_>>().join(".")) {
        Some(name) => Subject::Located { name, tag, within },
        None => Subject::Protocol { end: owned(others), tag, within },
    }
}

fn owned(labels: &[&str]) -> Vec<String> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}

/// An address in hexadecimal digits, as `addr` names have it.
fn hex(digits: &str) -> Option<IpAddr> {
    // A sign would be taken for a part of the number.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    match digits.len() {
        8 => Some(Ipv4Addr::from_bits(u32::from_str_radix(digits, 16).ok()?).into()),
        32 => Some(Ipv6Addr::from_bits(u128::from_str_radix(digits, 16).ok()?).into()),
        _ => None,
    }
}

/// The address that a reverse name stands for (RFC 1035, section 3.5; RFC 3596, section 2.5).
fn reverse(labels: &[&str]) -> Option<IpAddr> {
    if let Some(parts) = labels.strip_suffix(&["in-addr", "arpa"]) {
        let [d, c, b, a] = parts else { return None };
        let text = format!("{a}.{b}.{c}.{d}");
        return text.parse::<Ipv4Addr>().ok().map(IpAddr::from);
    }
    let digits = labels.strip_suffix(&["ip6", "arpa"])?;
    if digits.len() != 32 || digits.iter().any(|digit| digit.len() != 1) {
        return None;
    }
    hex(&digits.iter().rev().copied().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::super::naming::OwnName;
    use super::*;

    fn domains() -> Vec<DnsDomain> {
        ["consul", "hobnob", "eu.hobnob"].map(|text| text.parse().expect("a domain")).into()
    }

    fn asked(text: &str) -> Place {
        let name = OwnName::vec_from_str(text).expect("a name");
        place(&domains(), name.iter())
    }

    fn all(text: &str) -> Vec<Subject> {
        match asked(text) {
            Place::Own(_, subjects) => subjects,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// The only reading of a name.
    fn own(text: &str) -> Subject {
        let [subject] = &all(text)[..] else { panic!("{text}: {:?}", all(text)) };
        subject.clone()
    }

    fn some(text: &str) -> Option<String> {
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn labels(text: &str) -> Vec<String> {
        text.split('.').filter(|label| !label.is_empty()).map(str::to_owned).collect()
    }

    fn place_of(namespace: &str, datacenter: &str) -> Within {
        Within { namespace: some(namespace), datacenter: some(datacenter) }
    }

    fn service(name: &str, namespace: &str, datacenter: &str) -> Subject {
        Subject::Service { labels: labels(name), within: place_of(namespace, datacenter) }
    }

    fn located(tag: &str, name: &str, datacenter: &str) -> Subject {
        let (name, within) = (name.to_owned(), place_of("", datacenter));
        Subject::Located { name, tag: some(tag), within }
    }

    fn node(name: &str, datacenter: &str) -> Subject {
        Subject::Node { labels: labels(name), within: place_of("", datacenter) }
    }

    #[test]
    fn a_service_has_the_names_that_consul_gives_it() {
        for (text, expected) in [
            ("web.service.consul", service("web", "", "")),
            ("WeB.SERVICE.Consul.", service("web", "", "")),
            ("web.service.eu.consul", service("web", "", "eu")),
            ("web.service.eu.dc.consul", service("web", "", "eu")),
            ("web.service.shop.ns.consul", service("web", "shop", "")),
            ("web.service.shop.ns.eu.dc.consul", service("web", "shop", "eu")),
            ("web.service.shop.ns.eu.consul", service("web", "shop", "eu")),
            ("v1.web.service.hobnob", service("v1.web", "", "")),
            ("v1.2.web.service.hobnob", service("v1.2.web", "", "")),
            ("_web._tcp.service.consul", located("", "web", "")),
            ("_web._tcp.service.eu.consul", located("", "web", "eu")),
            ("_web._blue.service.consul", located("blue", "web", "")),
            ("_db.main._blue.service.consul", located("blue", "db.main", "")),
        ] {
            assert_eq!(own(text), expected, "{text}");
        }
    }

    #[test]
    fn members_and_addresses_have_names() {
        assert_eq!(own("n1.node.consul"), node("n1", ""));
        assert_eq!(own("n1.example.com.node.eu.consul"), node("n1.example.com", "eu"));
        let address = |text: &str, datacenter: &str| Subject::Address {
            address: text.parse().expect("an address"),
            within: place_of("", datacenter),
        };
        assert_eq!(own("7f000001.addr.consul"), address("127.0.0.1", ""));
        assert_eq!(own("7F000001.addr.dc1.hobnob"), address("127.0.0.1", "dc1"));
        let v6 = "20010db8000000000000000000000001.addr.dc1.consul";
        assert_eq!(own(v6), address("2001:db8::1", "dc1"));
        for wrong in [
            "7f00001.addr.consul",
            "+f000001.addr.consul",
            "a.7f000001.addr.consul",
            "7f000001.addr.shop.ns.consul",
            "n1.node.shop.ns.consul",
        ] {
            assert!(all(wrong).is_empty(), "{wrong}");
        }
    }

    #[test]
    fn a_datacenter_or_namespace_may_have_the_name_of_a_word() {
        for (text, expected) in [
            ("web.service.service.consul", service("web", "", "service")),
            ("web.service.node.consul", service("web", "", "node")),
            ("web.service.service.ns.consul", service("web", "service", "")),
            ("web.service.addr.ns.node.dc.consul", service("web", "addr", "node")),
            ("n1.node.service.consul", node("n1", "service")),
            ("n1.node.node.dc.consul", node("n1", "node")),
            ("web.service.ns.consul", service("web", "", "ns")),
            ("web.service.dc.consul", service("web", "", "dc")),
            ("node.service.consul", service("node", "", "")),
        ] {
            assert!(all(text).contains(&expected), "{text}: {:?}", all(text));
        }
        let longest = all("web.service.service.consul");
        assert_eq!(longest[0], service("web.service", "", ""), "the longest name comes first");
    }

    #[test]
    fn names_that_lead_to_others_say_where() {
        for (text, expected) in [
            ("service.consul", place_of("", "")),
            ("node.eu.consul", place_of("", "eu")),
            ("dc.consul", place_of("", "")),
            ("eu.consul", place_of("", "eu")),
            ("eu.dc.consul", place_of("", "eu")),
            ("shop.ns.consul", place_of("shop", "")),
            ("service.shop.ns.eu.consul", place_of("shop", "eu")),
            ("ns.eu.consul", place_of("", "eu")),
        ] {
            assert!(all(text).contains(&Subject::Structure(expected)), "{text}: {:?}", all(text));
        }
        let protocol = |end: &str, tag: &str| {
            let within = Within::default();
            Subject::Protocol { end: labels(end), tag: some(tag), within }
        };
        assert_eq!(own("_tcp.service.consul"), protocol("", ""));
        assert_eq!(own("_v1.service.consul"), protocol("", "v1"));
        assert_eq!(own("main._tcp.service.consul"), protocol("main", ""));
        assert_eq!(own("consul"), Subject::Apex);
        assert_eq!(own("ns.consul"), Subject::NameServer);
        for text in ["a.b.c.consul", "web.query.consul", "web.service.a.b.consul"] {
            assert!(all(text).is_empty(), "{text}");
        }
        assert!(all(r"web\.service.service.consul").is_empty(), "a dot within a label");
    }

    #[test]
    fn the_longest_domain_counts_and_others_are_elsewhere() {
        assert_eq!(asked("eu.hobnob"), Place::Own(2, vec![Subject::Apex]));
        assert_eq!(asked("hobnob"), Place::Own(1, vec![Subject::Apex]));
        for text in ["example.com", ".", "xconsul", "consul.com", "arpa", "1.0.0.in-addr.arpa"] {
            assert_eq!(asked(text), Place::Elsewhere, "{text}");
        }
    }

    #[test]
    fn an_address_is_found_by_its_reverse_name_and_by_no_other() {
        for text in ["10.1.2.3", "2001:db8::7"] {
            let address: IpAddr = text.parse().expect("an address");
            let name = OwnName::reverse_from_addr(address).expect("a name");
            assert_eq!(place(&domains(), name.iter()), Place::Reverse(address));
        }
        assert_eq!(asked("256.0.0.10.in-addr.arpa"), Place::Elsewhere);
        assert_eq!(asked("b.a.9.8.ip6.arpa"), Place::Elsewhere);
    }
}
