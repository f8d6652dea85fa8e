use std::collections::BTreeMap;
use std::future::pending;

use super::*;

/// A host with these interfaces, and a resolver that never answers for a name that it does not know.
#[derive(Default)]
struct Fake {
    interfaces: Vec<(String, IpAddr)>,
    names: BTreeMap<String, Vec<IpAddr>>,
    lists_none: bool,
}

impl Fake {
    fn new(interfaces: &[(&str, &str)], names: &[(&str, &[&str])]) -> Self {
        let interfaces = interfaces.iter().map(|(name, at)| ((*name).to_owned(), ip(at))).collect();
        let names = names.iter();
        let names =
            names.map(|(name, at)| ((*name).to_owned(), at.iter().map(|at| ip(at)).collect()));
        Self { interfaces, names: names.collect(), lists_none: false }
    }
}

impl System for Fake {
    fn interfaces(&self) -> io::Result<Vec<(String, IpAddr)>> {
        if self.lists_none {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        Ok(self.interfaces.clone())
    }

    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        match self.names.get(name) {
            Some(found) if found.is_empty() => Err(io::Error::other("no such name")),
            Some(found) => Ok(found.clone()),
            None => pending().await,
        }
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an IP address")
}

fn own(text: &str) -> OwnAddress {
    text.parse().expect("an address")
}

fn config(bind: &str, sync_bind: Option<&str>, advertise: Option<&str>) -> AgentConfig {
    let (sync_bind, advertise) = (sync_bind.map(own), advertise.map(own));
    AgentConfig { sync_bind, advertise, ..AgentConfig::at(bind) }
}

async fn bound(bind: &str, host: &Fake) -> Result<String, LookupError> {
    let found = Addresses::find(&config(bind, None, None), host).await?;
    Ok(found.bind.addr.to_string())
}

async fn advertised(advertise: &str, host: &Fake) -> Result<String, LookupError> {
    let found = Addresses::find(&config("0.0.0.0:7946", None, Some(advertise)), host).await?;
    Ok(found.advertise.expect("given").addr.to_string())
}

#[tokio::test(start_paused = true)]
async fn an_ip_address_comes_before_an_interface_and_that_before_a_host_name() {
    let host = Fake::new(
        &[("lo", "127.0.0.1"), ("both", "10.0.0.9")],
        &[("both", &["10.0.0.10"]), ("node7", &["10.0.0.11"])],
    );
    for (given, address) in [
        ("10.0.0.1:1", "10.0.0.1:1"),
        ("[::]", "[::]:7946"),
        ("lo", "127.0.0.1:7946"),
        ("both:0", "10.0.0.9:0"),
        ("node7:2", "10.0.0.11:2"),
    ] {
        assert_eq!(bound(given, &host).await.expect(given), address);
    }
}

#[tokio::test(start_paused = true)]
async fn an_interface_gives_its_first_usable_address_with_ipv4_first() {
    let host = Fake::new(
        &[
            ("eth0", "fe80::1"),
            ("eth0", "169.254.7.7"),
            ("eth0", "2001:db8::9"),
            ("eth0", "10.0.0.9"),
            ("eth0:1", "10.0.0.10"),
            ("eth1", "fe80::2"),
            ("eth1", "2001:db8::10"),
            ("eth1", "2001:db8::11"),
            ("eth2", "fe80::3"),
            ("eth2", "169.254.7.8"),
            ("eth3:0", "10.0.0.13"),
            ("tun0", "fe80::4"),
        ],
        &[("eth", &[])],
    );
    for (given, address) in [
        ("eth0", "10.0.0.9:7946"),
        ("eth1", "[2001:db8::10]:7946"),
        ("eth2:1", "169.254.7.8:1"),
        ("eth3", "10.0.0.13:7946"),
    ] {
        assert_eq!(bound(given, &host).await.expect(given), address);
        assert_eq!(advertised(given, &host).await.expect(given), address);
    }
    let error = bound("tun0:7946", &host).await.expect_err("link-local alone").to_string();
    for part in ["to listen on", "`tun0:7946`", "link-local", "fe80::4"] {
        assert!(error.contains(part), "no {part} in: {error}");
    }
    assert!(matches!(bound("eth", &host).await, Err(LookupError::Unknown { .. })), "no prefix");
}

#[tokio::test(start_paused = true)]
async fn a_host_name_gives_an_address_that_serves_its_purpose() {
    let host = Fake::new(
        &[("lo", "127.0.0.1"), ("eth0", "10.0.0.9")],
        &[
            ("debian", &["127.0.1.1", "10.0.0.9"]),
            ("localhost", &["::1", "127.0.0.1"]),
            ("inside-out", &["203.0.113.7", "10.0.0.9"]),
            ("mapped", &["::ffff:10.0.0.9"]),
            ("v6", &["fe80::9", "2001:db8::9"]),
            ("blocked", &["0.0.0.0", "::"]),
        ],
    );
    for (given, address) in [
        ("debian", "10.0.0.9:7946"),
        ("localhost:0", "127.0.0.1:0"),
        ("inside-out", "10.0.0.9:7946"),
        ("mapped", "10.0.0.9:7946"),
        ("v6", "[2001:db8::9]:7946"),
    ] {
        assert_eq!(bound(given, &host).await.expect(given), address);
    }
    let behind_nat = advertised("inside-out:17946", &host).await;
    assert_eq!(behind_nat.expect("found"), "203.0.113.7:17946");
    let error = advertised("blocked", &host).await.expect_err("no host").to_string();
    assert!(error.contains("`blocked`") && error.contains("0.0.0.0, ::"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_leads_nowhere_is_told_with_all_that_was_tried() {
    let mut host =
        Fake::new(&[("lo", "127.0.0.1"), ("eth0", "10.0.0.9"), ("lo", "::1")], &[("gone", &[])]);
    let error = advertised("gone:1", &host).await.expect_err("no such name");
    assert_eq!(error.purpose(), AddressUse::Advertise);
    let error = error.to_string();
    for part in [
        "to advertise, `gone:1`",
        "no IP address",
        "interface",
        "(those are eth0, lo)",
        "no such name",
    ] {
        assert!(error.contains(part), "no {part} in: {error}");
    }
    let start = Instant::now();
    let error = bound("slow", &host).await.expect_err("no answer").to_string();
    assert!(error.contains("within 10 s"), "{error}");
    assert!(start.elapsed() < LOOKUP_WITHIN * 2, "the wait is bounded");

    host.lists_none = true;
    let error = bound("gone", &host).await.expect_err("no such name").to_string();
    assert!(error.contains("cannot be listed"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn equal_hosts_lead_to_one_address_and_ports_have_their_defaults() {
    let host = Fake::new(
        &[("lo", "127.0.0.1")],
        &[("node7", &["203.0.113.7", "10.0.0.9"]), ("other", &["10.0.0.10"])],
    );
    let find = async |bind, sync, advertise| {
        let found = Addresses::find(&config(bind, sync, advertise), &host).await.expect("found");
        let advertise = found.advertise.map(|found| found.addr.to_string());
        (found.sync_bind.addr.to_string(), advertise)
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(find("node7:1", None, None).await, ("203.0.113.7:0".to_owned(), None));
    let all = find("node7:1", Some("node7:2"), Some("node7")).await;
    assert_eq!(all, ("203.0.113.7:2".to_owned(), some("203.0.113.7:1")));
    let all = find("0.0.0.0:1", Some("other"), Some("other:3")).await;
    assert_eq!(all, ("10.0.0.10:0".to_owned(), some("10.0.0.10:3")));
}

#[tokio::test]
async fn this_host_has_a_loopback_interface_by_some_name() {
    let interfaces = ThisHost.interfaces().expect("listed");
    let (name, _) = interfaces.iter().find(|(_, ip)| *ip == ip_v4_loopback()).expect("loopback");
    let found = Addresses::find(&config(&format!("{name}:0"), None, None), &ThisHost).await;
    assert_eq!(found.expect("found").bind.addr.ip(), ip_v4_loopback());
    let found = Addresses::find(&config("localhost:0", None, None), &ThisHost).await;
    assert!(found.expect("found").bind.addr.ip().is_loopback());
}

fn ip_v4_loopback() -> IpAddr {
    ip("127.0.0.1")
}
