//! The names that the agent gives away.

use std::net::IpAddr;

use domain::base::Name;
use domain::base::name::NameBuilder;

use super::names::WORDS;
use crate::config::DnsDomain;

/// Bytes of a label.
const MAX_LABEL_BYTES: usize = 63;

/// A name that the agent gives away.
pub(super) type OwnName = Name<Vec<u8>>;

/// The name of a member; `None` if it has no place in DNS.
pub(super) fn node_name(domain: &DnsDomain, name: &str, datacenter: &str) -> Option<OwnName> {
    named(name, &["node"], Some(datacenter), domain)
}

/// The name of a service, likewise. One outside the default namespace says so.
pub(super) fn service_name(
    domain: &DnsDomain,
    (name, namespace): (&str, &str),
    datacenter: &str,
) -> Option<OwnName> {
    match namespace {
        "default" => named(name, &["service"], Some(datacenter), domain),
        namespace => named(name, &["service", namespace, "ns"], Some(datacenter), domain),
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
    let near = named(&digits, &["addr"], Some(datacenter), domain);
    near.or_else(|| named(&digits, &["addr"], None, domain))
}

/// A name right below a domain, such as that of its server.
pub(super) fn below(domain: &DnsDomain, label: &str) -> Option<OwnName> {
    named(label, &[], None, domain)
}

/// The domain.
pub(super) fn apex(domain: &DnsDomain) -> Option<OwnName> {
    build(domain.labels())
}

/// The name of a host elsewhere: letters, digits, `-` and `_` (RFC 1123, section 2.1, and the underscores that people use).
/// `None` for a text that is no such name.
pub(super) fn host_name(name: &str) -> Option<OwnName> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let mut labels = name.strip_suffix('.').unwrap_or(name).split('.');
    let all_legal = labels.clone().all(|label| is_label(label) && label.bytes().all(is_legal));
    all_legal.then(|| build(&mut labels)).flatten()
}

/// `NAME.INNER.DATACENTER.DOMAIN.`, where the name may have dots.
fn named(
    name: &str,
    inner: &[&str],
    datacenter: Option<&str>,
    domain: &DnsDomain,
) -> Option<OwnName> {
    // A datacenter whose name is a word of ours says what it is.
    let dc = datacenter.filter(|datacenter| is_word(datacenter)).map(|_| "dc");
    let inner = inner.iter().copied().chain(datacenter).chain(dc);
    let is_legal = name.split('.').all(is_label) && inner.clone().all(is_label);
    is_legal.then(|| build(name.split('.').chain(inner).chain(domain.labels()))).flatten()
}

fn is_word(label: &str) -> bool {
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(label))
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
    use super::super::names::{Place, Subject, Within, place};
    use super::*;

    fn domain() -> DnsDomain {
        "consul".parse().expect("a domain")
    }

    /// What the first reading of a name asks for.
    fn subject(name: Option<OwnName>) -> Subject {
        match place(&[domain()], name.expect("a name").iter()) {
            Place::Own(0, subjects) => subjects[0].clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_that_the_agent_gives_away_lead_back() {
        let within = |namespace: Option<&str>, datacenter: &str| Within {
            namespace: namespace.map(str::to_owned),
            datacenter: Some(datacenter.to_owned()),
        };
        for datacenter in ["dc1", "service", "node", "addr", "ns", "dc"] {
            let node = node_name(&domain(), "n1.x", datacenter);
            let labels = vec!["n1".to_owned(), "x".to_owned()];
            let expected = Subject::Node { labels, within: within(None, datacenter) };
            assert!(readings(node).contains(&expected), "{datacenter}");
            for (namespace, expected) in [("default", None), ("shop", Some("shop"))] {
                let web = service_name(&domain(), ("web", namespace), datacenter);
                let labels = vec!["web".to_owned()];
                let within = within(expected, datacenter);
                assert!(readings(web).contains(&Subject::Service { labels, within }));
            }
        }
        for address in ["127.0.0.1", "::1"].map(|text| text.parse().expect("an address")) {
            let near = subject(address_name(&domain(), address, "dc1"));
            assert_eq!(near, Subject::Address { address, within: within(None, "dc1") });
            let anywhere = subject(address_name(&domain(), address, "a.b"));
            assert_eq!(
                anywhere,
                Subject::Address { address, within: Within::default() },
                "that datacenter has no place"
            );
        }
    }

    fn readings(name: Option<OwnName>) -> Vec<Subject> {
        match place(&[domain()], name.expect("a name").iter()) {
            Place::Own(0, subjects) => subjects,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_name_that_is_no_label_has_no_name_in_dns() {
        let long = "x".repeat(64);
        for wrong in ["", "a b", "bücher", "a..b", ".a", &long] {
            assert_eq!(node_name(&domain(), wrong, "dc1"), None, "{wrong}");
            assert_eq!(node_name(&domain(), "n1", wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_host_has_letters_digits_and_dashes() {
        let many = vec!["a".repeat(60); 5].join(".");
        for wrong in ["", "a/b", "fe80::1%eth0", "bücher.example", "a..b", &many] {
            assert_eq!(host_name(wrong), None, "{wrong}");
        }
        for host in ["db.example.com.", "db-1", "_a.example", "xn--bcher-kva.example"] {
            assert!(host_name(host).is_some(), "{host}");
        }
    }
}
