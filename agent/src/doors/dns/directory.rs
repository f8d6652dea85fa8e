//! What is looked up by other keys than the registry has: members by their names in lower case, services whose names have
//! capital letters, and names by address. Each is made again when what it was made from has changed.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hobnob_api::MemberStatus;
use imbl::OrdMap;

use crate::services::{KnownMember, Registry, Service, ServiceKey};

/// Names of addresses may be this old, since they are gathered from all instances.
const REVERSE_FOR: Duration = Duration::from_secs(1);
/// The most names of an address.
const MAX_NAMES: usize = 16;

/// All services, as the registry shares them.
type Services = OrdMap<ServiceKey, Arc<Service>>;

/// The names of services that have capital letters, by those without.
type Capitals = HashMap<ServiceKey, ServiceKey>;

/// The indexes. Readers share them.
#[derive(Default)]
pub(super) struct Directory {
    cached: Mutex<Cached>,
}

#[derive(Default)]
struct Cached {
    members: Option<(u64, Arc<Members>)>,
    capitals: Option<(Arc<Services>, Arc<Capitals>)>,
    reverse: Option<(Instant, Arc<Reverse>)>,
}

/// The members by their names in lower case.
#[derive(Default)]
pub(super) struct Members {
    by_name: HashMap<String, Vec<Arc<KnownMember>>>,
    datacenters: HashSet<String>,
}

/// The names of addresses.
type Reverse = HashMap<IpAddr, Vec<Named>>;

/// What has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Node { name: String, datacenter: String },
    Service { key: ServiceKey, datacenter: String },
}

impl Members {
    /// The members of this name in lower case: those that live, else all.
    pub(super) fn named(&self, name: &str) -> &[Arc<KnownMember>] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a datacenter has a member.
    pub(super) fn has_datacenter(&self, name: &str) -> bool {
        self.datacenters.contains(name)
    }
}

impl Directory {
    pub(super) fn members(&self, registry: &Registry) -> Arc<Members> {
        let (members, revision) = registry.members();
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        match &cached.members {
            Some((at, index)) if *at == revision => index.clone(),
            _ => {
                let index = Arc::new(index(members.values()));
                cached.members = Some((revision, index.clone()));
                index
            }
        }
    }

    /// The service whose name is this one but for capital letters.
    pub(super) fn service(&self, registry: &Registry, key: &ServiceKey) -> Option<Arc<Service>> {
        if let Some(service) = registry.service(key) {
            return Some(service);
        }
        let services = registry.services();
        let capitals = {
            let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
            match &cached.capitals {
                Some((of, capitals)) if Arc::ptr_eq(of, &services) => capitals.clone(),
                _ => {
                    let capitals = Arc::new(with_capitals(&services));
                    cached.capitals = Some((services.clone(), capitals.clone()));
                    capitals
                }
            }
        };
        services.get(capitals.get(key)?).cloned()
    }

    /// The names of an address, members first.
    pub(super) fn names_of(&self, registry: &Registry, address: IpAddr) -> Vec<Named> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let reverse = match &cached.reverse {
            Some((at, reverse)) if at.elapsed() < REVERSE_FOR => reverse.clone(),
            _ => {
                let reverse = Arc::new(reverse(registry));
                cached.reverse = Some((Instant::now(), reverse.clone()));
                reverse
            }
        };
        drop(cached);
        reverse.get(&address).cloned().unwrap_or_default()
    }
}

fn index<'a>(members: impl Iterator<Item = &'a Arc<KnownMember>>) -> Members {
    let mut index = Members::default();
    for known in members {
        index.datacenters.insert(known.member.datacenter.to_ascii_lowercase());
        let name = known.member.name.to_ascii_lowercase();
        index.by_name.entry(name).or_default().push(known.clone());
    }
    for named in index.by_name.values_mut() {
        if named.iter().any(is_living) {
            named.retain(is_living);
        }
    }
    index
}

fn is_living(known: &Arc<KnownMember>) -> bool {
    matches!(known.member.status, MemberStatus::Alive | MemberStatus::Suspect)
}

/// The IP address of a member; `None` for one of which only records are left.
pub(super) fn address_of(known: &KnownMember) -> Option<IpAddr> {
    known.member.gossip_address.parse::<SocketAddr>().ok().map(|address| address.ip())
}

fn with_capitals(services: &Services) -> Capitals {
    let lower = |key: &ServiceKey| ServiceKey {
        namespace: key.namespace.to_ascii_lowercase(),
        service: key.service.to_ascii_lowercase(),
    };
    services
        .keys()
        .map(|key| (lower(key), key.clone()))
        .filter(|(lower, key)| lower != key)
        .collect()
}

fn reverse(registry: &Registry) -> Reverse {
    let mut reverse = Reverse::new();
    let mut add = |address: IpAddr, named: Named| {
        let names = reverse.entry(address).or_default();
        if names.len() < MAX_NAMES && !names.contains(&named) {
            names.push(named);
        }
    };
    for known in registry.members().0.values() {
        let (name, datacenter) = (known.member.name.clone(), known.member.datacenter.clone());
        if let Some(address) = address_of(known) {
            add(address, Named::Node { name, datacenter });
        }
    }
    for (key, service) in registry.services().iter() {
        for entry in service.instances().values() {
            if let Ok(address) = entry.service.address.parse() {
                let datacenter = entry.node.datacenter.to_string();
                add(address, Named::Service { key: key.clone(), datacenter });
            }
        }
    }
    reverse
}
