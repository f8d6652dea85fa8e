//! The door over a small catalog, without sockets: for fuzzing.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hobnob_api::{Member, MemberStatus};
use hobnob_membership::record::{Balancing, Health, NodeRecord, ServiceRecord, Support};
use hobnob_membership::view::{Change, Instance, InstanceStatus};
use hobnob_membership::{Gateway, NodeId};

use super::counters::DnsCounters;
use super::taking::{Came, Pending, Taken, Taking};
use super::zone::Zone;
use crate::clock::Clock;
use crate::config::{DnsConfig, DnsDomain};
use crate::services::{KnownMember, Locality, Registry, Writer};

const OWN: NodeId = NodeId(1);
const FIRST_REVISION: u64 = 1;

/// The door of the only member of a cluster, `n1` at 10.0.0.1. It has the service `web`: two instances at addresses, of which
/// one has the tag `v1` and metadata. The only instance of `db` is at a host by name.
pub struct DnsSample(Taking);

impl Default for DnsSample {
    fn default() -> Self {
        let (registry, mut writer) =
            Registry::new(OWN, Locality::new("dc1", ""), Clock::start(), FIRST_REVISION);
        fill(&mut writer);
        let config = DnsConfig {
            addr: (Ipv4Addr::LOCALHOST, 0).into(),
            domains: ["consul", "hobnob"]
                .map(|text| text.parse::<DnsDomain>().expect("a domain"))
                .to_vec(),
            ttl_s: 0,
            forward: Vec::new(),
            insecure: false,
        };
        let zone = Zone::new(registry, config, Ipv4Addr::LOCALHOST.into(), "dc1");
        Self(Taking::new(zone, Arc::new(DnsCounters::default()), None, false))
    }
}

impl DnsSample {
    /// The answer to the bytes of a query from this host; `None` if it gets none.
    #[must_use]
    pub fn answer(&self, query: &[u8], is_tcp: bool) -> Option<Vec<u8>> {
        let came = if is_tcp { Came::Tcp } else { Came::Udp(IpAddr::V4(Ipv4Addr::LOCALHOST)) };
        let mut taken = self.0.take(query, came);
        if let Taken::Wait(Pending::Gather(_)) = taken {
            self.0.zone.gather();
            taken = self.0.take(query, came);
        }
        match taken {
            Taken::Send(answer) => Some(answer),
            Taken::Ignore | Taken::Wait(_) => None,
        }
    }
}

fn fill(writer: &mut Writer) {
    let node = Arc::new(NodeRecord {
        name: "n1".into(),
        datacenter: "dc1".into(),
        zone: "".into(),
        software: "sample".into(),
        instance_key_hash: 0,
        left: None,
        support: Support::OURS,
        certificate: Vec::new(),
        gateway: Gateway::Yes,
    });
    let plain = ServiceRecord {
        service: "web".into(),
        namespace: "default".into(),
        address: "10.0.0.1".into(),
        port: 8_001,
        tags: Default::default(),
        meta: Default::default(),
        weight: 1,
        checked: false,
        balancing: Balancing::default(),
        scope: Default::default(),
        upkeep: Default::default(),
    };
    let tagged = ServiceRecord {
        address: "2001:db8::1".into(),
        tags: ["v1"].into(),
        meta: [("team", "shop")].into(),
        ..plain.clone()
    };
    let elsewhere =
        ServiceRecord { service: "db".into(), address: "db.example.com".into(), ..plain.clone() };
    for (id, service) in [("web-1", plain), ("web-2", tagged), ("db-1", elsewhere)] {
        let instance = Instance {
            origin: OWN,
            id: id.into(),
            node: node.clone(),
            service: Arc::new(service),
            health: Health::Passing,
            status: InstanceStatus::Healthy,
            down_since: None,
        };
        writer.apply(Change { instance: Arc::new(instance) });
    }
    writer.publish();
    let member = Member {
        name: "n1".to_owned(),
        node_id: hobnob_api::NodeId(OWN.0),
        gossip_address: "10.0.0.1:7946".to_owned(),
        status: MemberStatus::Alive,
        datacenter: "dc1".to_owned(),
        zone: String::new(),
        epoch: 1,
        down_ago_ms: None,
        name_conflict: false,
        link_silent_ms: None,
    };
    writer.apply_member(OWN, KnownMember { member, down_since: None, link_silent_since: None });
}
