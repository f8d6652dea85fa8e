//! The door over a catalog that the tests write, first without sockets.

mod aliases;
mod existence;
mod forwarding;
mod garbage;
mod sockets;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::base::iana::{Class, Rcode};
use domain::base::message::RecordSection;
use domain::base::{Message, MessageBuilder, Name, Rtype};
use domain::rdata::AllRecordData;
use hobnob_api::MemberStatus;
use hobnob_membership::NodeId;
use hobnob_membership::record::{NodeRecord, ServiceRecord};
use hobnob_membership::view::{Change, Instance, InstanceStatus};

use super::counters::DnsCounters;
use super::forwarding::Forwarder;
use super::taking::{Came, Pending, Taken, Taking};
use super::zone::Zone;
use crate::config::DnsConfig;
use crate::services::testing::{OTHER, instance, member, registry};
use crate::services::{KnownMember, Writer};

/// Questions to other servers that may be under way.
const MAX_FORWARDS: usize = 16;
const LOOPBACK: Came = Came::Udp(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

/// A door, and the catalog behind it.
struct Door {
    taking: Arc<Taking>,
    writer: Writer,
}

/// An answer, with each record as text: its name, its type and its data.
#[derive(Debug)]
struct Told {
    rcode: Rcode,
    question: String,
    is_truncated: bool,
    is_authoritative: bool,
    answers: Vec<String>,
    authority: Vec<String>,
    additionals: Vec<String>,
}

fn config() -> DnsConfig {
    DnsConfig {
        addr: "127.0.0.1:0".parse().expect("an address"),
        domains: ["consul", "hobnob"].map(|text| text.parse().expect("a domain")).into(),
        ttl_s: 0,
        forward: Vec::new(),
        insecure: false,
    }
}

impl Door {
    fn new() -> Self {
        Self::with(config(), false)
    }

    fn with(config: DnsConfig, is_open: bool) -> Self {
        let (registry, writer) = registry();
        let counters = Arc::new(DnsCounters::default());
        let forwarder = (!config.forward.is_empty())
            .then(|| Forwarder::new(config.forward.clone(), counters.clone(), MAX_FORWARDS));
        let own = "127.0.0.1".parse().expect("an address");
        let zone = Zone::new(registry, config, own, "dc1");
        let taking = Arc::new(Taking::new(zone, counters, forwarder, is_open));
        Self { taking, writer }
    }

    /// Three members, of which one is down, and instances of `web` on them; one of another service beside.
    fn filled() -> Self {
        let mut door = Self::new();
        for (node, name, address, status) in [
            (1, "n1", "10.0.0.1", MemberStatus::Alive),
            (2, "N2", "10.0.0.2", MemberStatus::Alive),
            (3, "n3", "10.0.0.3", MemberStatus::Down),
        ] {
            door.member(node, name, address, status);
        }
        door.instance(1, "web-1", |service| {
            (service.tags, service.weight, service.port) = (["v1"].into(), 3, 8_001);
            service.meta = [("team", "shop")].into();
        });
        door.instance(2, "web-2", |service| service.port = 8_002);
        door.instance(2, "web-6", |service| {
            service.address = "2001:db8::2".into();
        });
        door.instance(1, "Db-1", |service| service.service = "Db.Main".into());
        door.writer.publish();
        door
    }

    fn member(&mut self, node: u64, name: &str, address: &str, status: MemberStatus) {
        self.member_in("dc1", node, name, address, status);
    }

    fn member_in(
        &mut self,
        datacenter: &str,
        node: u64,
        name: &str,
        address: &str,
        status: MemberStatus,
    ) {
        let mut member = member(name, node, status);
        member.gossip_address = format!("{address}:7946");
        member.datacenter = datacenter.to_owned();
        let known = KnownMember { member, down_since: None, link_silent_since: None };
        self.writer.apply_member(NodeId(node), known);
    }

    /// A healthy instance at the address of the node.
    fn instance(&mut self, node: u64, id: &str, edit: impl FnOnce(&mut ServiceRecord)) {
        self.instance_in("dc1", node, id, edit);
    }

    fn instance_in(
        &mut self,
        datacenter: &str,
        node: u64,
        id: &str,
        edit: impl FnOnce(&mut ServiceRecord),
    ) {
        let change = instance(OTHER, id, InstanceStatus::Healthy);
        let mut instance = Instance { origin: NodeId(node), ..(*change.instance).clone() };
        let name = if node == 2 { "N2".to_owned() } else { format!("n{node}") };
        instance.node = Arc::new(NodeRecord {
            name: name.as_str().into(),
            datacenter: datacenter.into(),
            ..(*instance.node).clone()
        });
        let service = Arc::make_mut(&mut instance.service);
        service.address = format!("10.0.0.{node}").as_str().into();
        edit(service);
        self.writer.apply(Change { instance: Arc::new(instance) });
    }

    /// The bytes of the answer.
    fn send(&self, query: &[u8], came: Came) -> Option<Vec<u8>> {
        match self.taking.take(query, came) {
            Taken::Send(bytes) => Some(bytes),
            Taken::Wait(Pending::Gather(_)) => {
                self.taking.zone.gather();
                self.send(query, came)
            }
            Taken::Ignore | Taken::Wait(Pending::Forward(_)) => None,
        }
    }

    fn ask(&self, name: &str, rtype: Rtype) -> Told {
        let answer = self.send(&query(name, rtype, Some(1_232)), LOOPBACK);
        Told::read(&answer.expect("an answer"))
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        self.taking.counters.report().into()
    }
}

/// Waits until something is true.
async fn until(is_true: impl Fn() -> bool) {
    let waiting = async {
        while !is_true() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it becomes true in time");
}

fn query(name: &str, rtype: Rtype, udp_bytes: Option<u16>) -> Vec<u8> {
    let mut questions = MessageBuilder::new_vec().question();
    questions.header_mut().set_id(4_711);
    questions.header_mut().set_rd(true);
    let name = Name::vec_from_str(name).expect("a name");
    questions.push((name, rtype, Class::IN)).expect("room");
    let mut additional = questions.additional();
    if let Some(udp_bytes) = udp_bytes {
        additional
            .opt(|opt| {
                opt.set_udp_payload_size(udp_bytes);
                Ok(())
            })
            .expect("room");
    }
    additional.finish()
}

fn texts(section: RecordSection<'_, &[u8]>) -> Vec<String> {
    let parsed = section.map(|record| record.expect("a record"));
    let known = parsed.filter(|record| record.rtype() != Rtype::OPT).map(|record| {
        let record = record.to_any_record::<AllRecordData<_, _>>().expect("its data");
        // Names in the data end with a dot.
        let data = record.data().to_string().replace(". ", " ");
        format!("{} {} {}", record.owner(), record.rtype(), data.trim_end_matches('.'))
    });
    known.collect()
}

impl Told {
    fn read(bytes: &[u8]) -> Self {
        let message = Message::from_octets(bytes).expect("a message");
        let header = message.header();
        assert!(header.qr() && header.id() == 4_711, "{header:?}");
        let (_, answers, authority, additionals) = message.sections().expect("its sections");
        let question = message.first_question();
        Self {
            rcode: header.rcode(),
            question: question.map(|one| one.qname().to_string()).unwrap_or_default(),
            is_truncated: header.tc(),
            is_authoritative: header.aa(),
            answers: texts(answers),
            authority: texts(authority),
            additionals: texts(additionals),
        }
    }

    /// The answers in the order of their texts.
    fn sorted(mut self) -> Vec<String> {
        self.answers.sort_unstable();
        self.answers
    }

    /// Whether it says that there is nothing, in this domain.
    fn is_nothing(&self, rcode: Rcode) -> bool {
        let soa = self.authority.first().is_some_and(|soa| soa.starts_with("consul SOA ns.consul"));
        self.rcode == rcode && self.answers.is_empty() && soa && self.is_authoritative
    }
}

#[tokio::test]
async fn the_addresses_of_a_service_are_those_of_its_instances() {
    let door = Door::filled();
    let told = door.ask("WEB.Service.consul", Rtype::A);
    assert!(told.is_authoritative && !told.is_truncated && told.authority.is_empty());
    assert_eq!(told.sorted(), ["WEB.Service.consul A 10.0.0.1", "WEB.Service.consul A 10.0.0.2"]);
    let told = door.ask("web.service.dc1.hobnob", Rtype::AAAA);
    assert_eq!(told.answers, ["web.service.dc1.hobnob AAAA 2001:db8::2"]);
    assert_eq!(door.ask("web.service.consul", Rtype::ANY).answers.len(), 3);
    assert_eq!(door.ask("v1.web.service.consul", Rtype::A).answers.len(), 1);
    assert!(door.ask("v1.web.service.consul", Rtype::AAAA).is_nothing(Rcode::NOERROR));
}

#[tokio::test]
async fn locations_have_ports_and_weights_and_names_that_lead_to_addresses() {
    let door = Door::filled();
    for name in ["web.service.consul", "_web._tcp.service.consul", "web.service.dc1.consul"] {
        let mut told = door.ask(name, Rtype::SRV);
        told.additionals.sort_unstable();
        let v6 = "20010db8000000000000000000000002.addr.dc1.consul";
        assert_eq!(
            told.additionals,
            [
                format!("{v6} AAAA 2001:db8::2"),
                "N2.node.dc1.consul A 10.0.0.2".to_owned(),
                "n1.node.dc1.consul A 10.0.0.1".to_owned(),
            ]
        );
        let srv = |data: &str| format!("{name} SRV 1 {data}");
        let expected = [
            srv("1 80 20010db8000000000000000000000002.addr.dc1.consul"),
            srv("1 8002 N2.node.dc1.consul"),
            srv("3 8001 n1.node.dc1.consul"),
        ];
        assert_eq!(told.sorted(), expected);
    }
    let v6 = door.ask("20010db8000000000000000000000002.addr.dc1.consul", Rtype::AAAA);
    assert_eq!(v6.answers.len(), 1);
}

#[tokio::test]
async fn texts_tell_of_an_instance_and_of_a_member() {
    let door = Door::filled();
    let told = door.ask("v1.web.service.consul", Rtype::TXT);
    let expected = r#"v1.web.service.consul TXT "id=web-1" "node=n1" "tag=v1" "team=shop""#;
    assert_eq!(told.answers, [expected]);
    let told = door.ask("n3.node.consul", Rtype::TXT);
    assert_eq!(told.answers, [r#"n3.node.consul TXT "status=down" "datacenter=dc1""#]);
}

#[tokio::test]
async fn what_is_not_there_is_told_apart_from_what_has_nothing_of_the_type() {
    let mut door = Door::filled();
    for (name, rtype) in [
        ("none.service.consul", Rtype::A),
        ("none.web.service.consul", Rtype::A),
        ("web.service.dc9.consul", Rtype::SRV),
        ("web.service.other.ns.consul", Rtype::A),
        ("n9.node.consul", Rtype::A),
        ("n1.node.dc9.consul", Rtype::A),
        ("dc9.consul", Rtype::A),
        ("web.query.consul", Rtype::A),
    ] {
        assert!(door.ask(name, rtype).is_nothing(Rcode::NXDOMAIN), "{name}");
    }
    for (name, rtype) in [
        ("web.service.consul", Rtype::MX),
        ("n1.node.consul", Rtype::AAAA),
        ("7f000001.addr.consul", Rtype::AAAA),
        ("service.consul", Rtype::A),
        ("dc1.consul", Rtype::NS),
        ("consul", Rtype::A),
    ] {
        assert!(door.ask(name, rtype).is_nothing(Rcode::NOERROR), "{name}");
    }
    assert_eq!(door.counters()["dns_negative"], 8);
    let failing = instance(OTHER, "x", InstanceStatus::Unhealthy);
    let mut failing = (*failing.instance).clone();
    Arc::make_mut(&mut failing.service).service = "failing".into();
    door.writer.apply(Change { instance: Arc::new(failing) });
    door.writer.publish();
    let told = door.ask("failing.service.consul", Rtype::A);
    assert!(told.is_nothing(Rcode::NOERROR), "it is registered, and not offered");
}

#[tokio::test]
async fn names_with_dots_and_capital_letters_are_found() {
    let door = Door::filled();
    assert_eq!(door.ask("db.main.service.consul", Rtype::A).answers.len(), 1);
    assert_eq!(door.ask("n2.node.consul", Rtype::A).answers, ["n2.node.consul A 10.0.0.2"]);
}

#[tokio::test]
async fn a_member_is_found_while_it_is_remembered() {
    let mut door = Door::filled();
    assert_eq!(door.ask("n3.node.dc1.consul", Rtype::A).answers.len(), 1, "although it is down");
    door.member(4, "n3", "10.0.0.4", MemberStatus::Alive);
    let now = door.ask("n3.node.consul", Rtype::A).answers;
    assert_eq!(now, ["n3.node.consul A 10.0.0.4"], "the living one of two with one name");
    door.member(4, "n3", "10.0.0.4", MemberStatus::Left);
    door.member(3, "n3", "10.0.0.3", MemberStatus::Left);
    assert!(door.ask("n3.node.consul", Rtype::A).is_nothing(Rcode::NXDOMAIN));
}

#[tokio::test]
async fn an_address_is_named_after_what_is_there_and_others_are_not_ours() {
    let door = Door::filled();
    let told = door.ask("1.0.0.10.in-addr.arpa", Rtype::PTR).sorted();
    assert_eq!(
        told[0],
        "1.0.0.10.in-addr.arpa PTR db.main.service.dc1.consul".replace("db.main", "Db.Main")
    );
    assert_eq!(told[1], "1.0.0.10.in-addr.arpa PTR n1.node.dc1.consul");
    assert_eq!(told[2], "1.0.0.10.in-addr.arpa PTR web.service.dc1.consul");
    assert_eq!(door.ask("9.9.9.9.in-addr.arpa", Rtype::PTR).rcode, Rcode::REFUSED);
    assert_eq!(door.ask("example.com", Rtype::A).rcode, Rcode::REFUSED);
    assert_eq!(door.counters()["dns_refused"], 2);
    let told = door.ask("1.0.0.10.in-addr.arpa", Rtype::A);
    assert_eq!((told.rcode, told.answers.len()), (Rcode::NOERROR, 0), "it is there");
    assert!(told.authority[0].starts_with("1.0.0.10.in-addr.arpa SOA ns.consul"), "{told:?}");
}

#[tokio::test]
async fn the_domain_says_who_serves_it() {
    let door = Door::filled();
    let soa = "consul SOA ns.consul hostmaster.consul 0 3600 600 86400 0";
    assert_eq!(door.ask("consul", Rtype::SOA).answers, [soa]);
    let told = door.ask("consul", Rtype::NS);
    assert_eq!(told.answers, ["consul NS ns.consul"]);
    assert_eq!(told.additionals, ["ns.consul A 127.0.0.1"]);
    assert_eq!(door.ask("ns.consul", Rtype::A).answers, ["ns.consul A 127.0.0.1"]);
    assert_eq!(door.ask("consul", Rtype::AXFR).rcode, Rcode::REFUSED);
}

#[tokio::test]
async fn a_long_answer_is_cut_over_udp_and_whole_over_tcp() {
    let mut door = Door::new();
    for n in 0..300 {
        door.instance(1, &format!("web-{n}"), |service| {
            service.address = format!("10.1.{}.{}", n / 250, n % 250).as_str().into();
        });
    }
    door.writer.publish();
    for (size, most) in [(None, 512), (Some(512), 512), (Some(1_232), 1_232), (Some(9_000), 1_232)]
    {
        for rtype in [Rtype::A, Rtype::SRV] {
            let bytes = door.send(&query("web.service.consul", rtype, size), LOOPBACK);
            let bytes = bytes.expect("an answer");
            assert!(bytes.len() <= most && bytes.len() > most - 100, "{} of {most}", bytes.len());
            assert!(Told::read(&bytes).is_truncated);
        }
    }
    assert_eq!(door.counters()["dns_truncated"], 8);
    let whole = door.send(&query("web.service.consul", Rtype::SRV, None), Came::Tcp);
    let whole = Told::read(&whole.expect("an answer"));
    let counts = (whole.answers.len(), whole.additionals.len(), whole.is_truncated);
    assert_eq!(counts, (300, 300, false));
}

#[tokio::test]
async fn instances_that_have_no_record_of_the_type_take_no_place_of_those_that_do() {
    let mut door = Door::new();
    for n in 0..300 {
        door.instance(1, &format!("web-{n}"), |service| {
            service.address = format!("2001:db8::{n:x}").as_str().into();
        });
        door.instance(1, &format!("same-{n}"), |service| service.service = "same".into());
    }
    door.instance(1, "only", |service| service.address = "10.9.9.9".into());
    door.writer.publish();
    for came in [LOOPBACK, Came::Tcp] {
        for (name, expected) in [("web", "10.9.9.9"), ("same", "10.0.0.1")] {
            let name = format!("{name}.service.consul");
            let bytes = door.send(&query(&name, Rtype::A, None), came).expect("an answer");
            let told = Told::read(&bytes);
            assert_eq!(told.answers, [format!("{name} A {expected}")], "{came:?}");
            assert!(!told.is_truncated, "there is no more: {came:?}");
        }
    }
}

#[tokio::test]
async fn an_ipv4_address_in_the_form_of_an_ipv6_one_is_an_ipv4_address() {
    let mut door = Door::new();
    door.instance(1, "web-1", |service| service.address = "::ffff:10.0.0.7".into());
    door.writer.publish();
    let address = "web.service.consul A 10.0.0.7";
    assert_eq!(door.ask("web.service.consul", Rtype::A).answers, [address]);
    let told = door.ask("web.service.consul", Rtype::SRV);
    assert_eq!(told.additionals, ["0a000007.addr.dc1.consul A 10.0.0.7"]);
    let names = door.ask("7.0.0.10.in-addr.arpa", Rtype::PTR).answers;
    assert_eq!(names, ["7.0.0.10.in-addr.arpa PTR web.service.dc1.consul"]);
}

#[tokio::test]
async fn a_door_beyond_this_host_sends_nobody_more_than_they_asked_with() {
    let mut door = Door::with(config(), true);
    door.instance(1, "web-1", |_| {});
    door.writer.publish();
    let asked = query("web.service.consul", Rtype::A, Some(1_232));
    let far = Came::Udp("203.0.113.9".parse().expect("an address"));
    let bare = door.send(&asked, far).expect("an answer");
    assert!(bare.len() <= asked.len(), "{} for {}", bare.len(), asked.len());
    let told = Told::read(&bare);
    assert!(told.is_truncated && told.answers.is_empty(), "it asks again over TCP");
    let near = Came::Udp("10.9.9.9".parse().expect("an address"));
    for came in [near, Came::Tcp] {
        let told = Told::read(&door.send(&asked, came).expect("an answer"));
        assert_eq!((told.answers.len(), told.is_truncated), (1, false), "{came:?}");
    }
}
