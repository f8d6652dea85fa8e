//! The names that the door knows: what each asks for, and how the agent names what it answers with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::base::Name;
use domain::base::name::{Label, NameBuilder};

use crate::config::DnsDomain;

/// Bytes of a label.
const MAX_LABEL_BYTES: usize = 63;

/// A name that the agent gives away.
pub(super) type OwnName = Name<Vec<u8>>;

/// Whose name it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One of our domains, by its place among them.
    Own(usize, Subject),
    /// The name of an address.
    Reverse(IpAddr),
    Elsewhere,
}

/// What a name in one of our domains asks for. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The domain itself.
    Apex,
    /// The server of the domain.
    NameServer,
    /// A name that has others below it, and nothing else.
    Structure,
    /// A datacenter, which has names below it if there is one of that name.
    Datacenter(String),
    /// The instances of a service. With a tag, a service whose name is both, with the dot, comes first.
    Service { tag: Option<String>, name: String, within: Within },
    /// A member.
    Node { name: String, datacenter: Option<String> },
    /// An address that is its own name.
    Address(IpAddr),
    /// No name of the domain.
    Nothing,
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
        Some((_, at, below)) => Place::Own(at, subject(below)),
        None => reverse(&labels).map_or(Place::Elsewhere, Place::Reverse),
    }
}

fn subject(labels: &[&str]) -> Subject {
    let is_kind = |label: &&str| matches!(*label, "service" | "node" | "addr");
    let kind = labels.iter().rposition(is_kind);
    let Some((names, [kind, place @ ..])) = kind.and_then(|at| labels.split_at_checked(at)) else {
        return structure(labels);
    };
    let Some(within) = within(place) else { return Subject::Nothing };
    match (*kind, names) {
        (_, []) => Subject::Structure,
        ("service", names) => service(names, within),
        ("node", names) if within.namespace.is_none() => {
            Subject::Node { name: names.join("."), datacenter: within.datacenter }
        }
        ("addr", [address]) => hex(address).map_or(Subject::Nothing, Subject::Address),
        _ => Subject::Nothing,
    }
}

/// What a name stands for that has no word for a kind in it.
fn structure(labels: &[&str]) -> Subject {
    match labels {
        [] => Subject::Apex,
        ["ns"] => Subject::NameServer,
        ["dc"] => Subject::Structure,
        [datacenter] => Subject::Datacenter((*datacenter).to_owned()),
        labels if within(labels).is_some() => Subject::Structure,
        _ => Subject::Nothing,
    }
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
    let own = |tag: &str, name: &str| {
        let tag = (!tag.is_empty()).then(|| tag.to_owned());
        Subject::Service { tag, name: name.to_owned(), within }
    };
    match names {
        [one] if one.starts_with('_') => Subject::Structure,
        [name, protocol] => match (name.strip_prefix('_'), protocol.strip_prefix('_')) {
            (Some(name), Some("tcp")) => own("", name),
            (Some(name), Some(tag)) => own(tag, name),
            _ => own(name, protocol),
        },
        [tag @ .., name] => own(&tag.join("."), name),
        [] => Subject::Structure,
    }
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

/// The name of a member; `None` if it has no place in DNS.
pub(super) fn node_name(domain: &DnsDomain, name: &str, datacenter: &str) -> Option<OwnName> {
    named(name, &["node", datacenter], domain)
}

/// The name of a service, likewise. One outside the default namespace says so.
pub(super) fn service_name(
    domain: &DnsDomain,
    (name, namespace): (&str, &str),
    datacenter: &str,
) -> Option<OwnName> {
    match namespace {
        "default" => named(name, &["service", datacenter], domain),
        namespace => named(name, &["service", namespace, "ns", datacenter], domain),
    }
}

/// The name of an address. The datacenter is left out where it has no place in DNS.
pub(super) fn address_name(
    domain: &DnsDomain,
    address: IpAddr,
    datacenter: &str,
) -> Option<OwnName> {
    let digits = match address {
        IpAddr::V4(ip) => format!("{:08x}", ip.to_bits()),
        IpAddr::V6(ip) => format!("{:032x}", ip.to_bits()),
    };
    let near = named(&digits, &["addr", datacenter], domain);
    near.or_else(|| named(&digits, &["addr"], domain))
}

/// A name right below a domain, such as that of its server.
pub(super) fn below(domain: &DnsDomain, label: &str) -> Option<OwnName> {
    named(label, &[], domain)
}

/// The domain.
pub(super) fn apex(domain: &DnsDomain) -> Option<OwnName> {
    build(domain.labels())
}

/// The name of a host elsewhere.
pub(super) fn host_name(name: &str) -> Option<OwnName> {
    let labels = name.strip_suffix('.').unwrap_or(name).split('.');
    labels.clone().all(is_label).then(|| build(labels)).flatten()
}

/// `NAME.INNER.DOMAIN.`, where the name may have dots.
fn named(name: &str, inner: &[&str], domain: &DnsDomain) -> Option<OwnName> {
    let is_legal = name.split('.').all(is_label) && inner.iter().all(|label| is_label(label));
    let labels = name.split('.').chain(inner.iter().copied()).chain(domain.labels());
    is_legal.then(|| build(labels)).flatten()
}

fn build<'a>(labels: impl Iterator<Item = &'a str>) -> Option<OwnName> {
    let mut builder = NameBuilder::new_vec();
    for label in labels {
        builder.append_label(label.as_bytes()).ok()?;
    }
    builder.into_name().ok()
}

/// Whether a text may be a label that people can type: printable ASCII without a dot.
fn is_label(text: &str) -> bool {
    (1..=MAX_LABEL_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains() -> Vec<DnsDomain> {
        ["consul", "hobnob", "eu.hobnob"].map(|text| text.parse().expect("a domain")).into()
    }

    fn asked(text: &str) -> Place {
        let name = OwnName::vec_from_str(text).expect("a name");
        place(&domains(), name.iter())
    }

    fn own(text: &str) -> Subject {
        match asked(text) {
            Place::Own(_, subject) => subject,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn service(tag: &str, name: &str, namespace: &str, datacenter: &str) -> Subject {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let within = Within { namespace: some(namespace), datacenter: some(datacenter) };
        Subject::Service { tag: some(tag), name: name.to_owned(), within }
    }

    #[test]
    fn a_service_has_the_names_that_consul_gives_it() {
        for (text, expected) in [
            ("web.service.consul", service("", "web", "", "")),
            ("WeB.SERVICE.Consul.", service("", "web", "", "")),
            ("web.service.eu.consul", service("", "web", "", "eu")),
            ("web.service.eu.dc.consul", service("", "web", "", "eu")),
            ("web.service.shop.ns.consul", service("", "web", "shop", "")),
            ("web.service.shop.ns.eu.dc.consul", service("", "web", "shop", "eu")),
            ("web.service.shop.ns.eu.consul", service("", "web", "shop", "eu")),
            ("v1.web.service.hobnob", service("v1", "web", "", "")),
            ("v1.2.web.service.hobnob", service("v1.2", "web", "", "")),
            ("_web._tcp.service.consul", service("", "web", "", "")),
            ("_web._tcp.service.eu.consul", service("", "web", "", "eu")),
            ("_web._blue.service.consul", service("blue", "web", "", "")),
            ("node.service.consul", service("", "node", "", "")),
        ] {
            assert_eq!(own(text), expected, "{text}");
        }
    }

    #[test]
    fn members_and_addresses_have_names() {
        let node = |name: &str, datacenter: Option<&str>| Subject::Node {
            name: name.to_owned(),
            datacenter: datacenter.map(str::to_owned),
        };
        assert_eq!(own("n1.node.consul"), node("n1", None));
        assert_eq!(own("n1.example.com.node.eu.consul"), node("n1.example.com", Some("eu")));
        let address = |text: &str| Subject::Address(text.parse().expect("an address"));
        assert_eq!(own("7f000001.addr.consul"), address("127.0.0.1"));
        assert_eq!(own("7F000001.addr.dc1.hobnob"), address("127.0.0.1"));
        let v6 = "20010db8000000000000000000000001.addr.dc1.consul";
        assert_eq!(own(v6), address("2001:db8::1"));
        for wrong in ["7f00001.addr.consul", "+f000001.addr.consul", "a.7f000001.addr.consul"] {
            assert_eq!(own(wrong), Subject::Nothing, "{wrong}");
        }
    }

    #[test]
    fn names_that_lead_to_others_are_there() {
        for text in [
            "service.consul",
            "node.eu.consul",
            "_tcp.service.consul",
            "dc.consul",
            "eu.dc.consul",
            "shop.ns.consul",
        ] {
            assert_eq!(own(text), Subject::Structure, "{text}");
        }
        assert_eq!(own("consul"), Subject::Apex);
        assert_eq!(own("ns.consul"), Subject::NameServer);
        assert_eq!(own("dc1.consul"), Subject::Datacenter("dc1".to_owned()));
        for text in ["a.b.c.consul", "web.query.consul", "web.service.a.b.consul"] {
            assert_eq!(own(text), Subject::Nothing, "{text}");
        }
    }

    #[test]
    fn the_longest_domain_counts_and_others_are_elsewhere() {
        assert_eq!(asked("eu.hobnob"), Place::Own(2, Subject::Apex));
        assert_eq!(asked("hobnob"), Place::Own(1, Subject::Apex));
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

    #[test]
    fn names_that_the_agent_gives_away_lead_back() {
        let domain = &domains()[0];
        let subject = |name: Option<OwnName>| match place(&domains(), name.expect("a name").iter())
        {
            Place::Own(0, subject) => subject,
            other => panic!("{other:?}"),
        };
        let node = Subject::Node { name: "n1.x".to_owned(), datacenter: Some("dc1".to_owned()) };
        assert_eq!(subject(node_name(domain, "n1.x", "dc1")), node);
        let web = service_name(domain, ("web", "default"), "dc1");
        assert_eq!(subject(web), service("", "web", "", "dc1"));
        let web = service_name(domain, ("web", "shop"), "dc1");
        assert_eq!(subject(web), service("", "web", "shop", "dc1"));
        for address in ["127.0.0.1", "::1"].map(|text| text.parse().expect("an address")) {
            let name = address_name(domain, address, "dc1");
            assert_eq!(subject(name), Subject::Address(address));
            let name = address_name(domain, address, "a.b");
            assert_eq!(subject(name), Subject::Address(address), "that datacenter has no place");
        }
    }

    #[test]
    fn a_name_that_is_no_label_has_no_name_in_dns() {
        let domain = &domains()[0];
        let long = "x".repeat(64);
        for wrong in ["", "a b", "bücher", "a..b", ".a", &long] {
            assert_eq!(node_name(domain, wrong, "dc1"), None, "{wrong}");
            assert_eq!(node_name(domain, "n1", wrong), None, "{wrong}");
        }
        let many = vec!["a".repeat(60); 5].join(".");
        assert_eq!(host_name(&many), None, "longer than a name may be");
        assert!(host_name("db.example.com.").is_some());
    }
}
