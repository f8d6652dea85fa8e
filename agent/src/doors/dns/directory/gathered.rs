//! What belongs to an address or a tag, gathered from all instances.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::address_of;
use crate::services::{Registry, ServiceKey};

/// The most that it may be old.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// The most names of an address.
pub(in super::super) const MAX_NAMES: usize = 16;

/// The names of addresses, and the tags that are in use.
pub(in super::super) struct Gathered {
    at: Instant,
    names: HashMap<IpAddr, Vec<Named>>,
    /// Tags in lower case by namespace, in each datacenter and in any.
    tags: HashSet<(String, Option<String>, String)>,
}

/// What has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Named {
    Node { name: String, datacenter: String },
    Service { key: ServiceKey, datacenter: String },
}

impl Gathered {
    /// All of the catalog.
    pub(super) fn of(registry: &Registry) -> Self {
        let mut gathered = Self { at: Instant::now(), names: HashMap::new(), tags: HashSet::new() };
        for known in registry.members().0.values() {
            let (name, datacenter) = (known.member.name.clone(), known.member.datacenter.clone());
            if let Some(address) = address_of(known) {
                gathered.name(address, Named::Node { name, datacenter });
            }
        }
        for (key, service) in registry.services().iter() {
            for entry in service.instances().values() {
                let datacenter = entry.node.datacenter.to_string();
                for tag in entry.service.tags.iter() {
                    gathered.tag(key, &datacenter, tag);
                }
                if let Ok(address) = entry.service.address.parse::<IpAddr>() {
                    let named = Named::Service { key: key.clone(), datacenter };
                    gathered.name(address.to_canonical(), named);
                }
            }
        }
        gathered
    }

    fn name(&mut self, address: IpAddr, named: Named) {
        let names = self.names.entry(address).or_default();
        if names.len() < MAX_NAMES && !names.contains(&named) {
            names.push(named);
        }
    }

    fn tag(&mut self, key: &ServiceKey, datacenter: &str, tag: &str) {
        let [namespace, datacenter, tag] =
            [key.namespace.as_str(), datacenter, tag].map(str::to_ascii_lowercase);
        self.tags.insert((namespace.clone(), Some(datacenter), tag.clone()));
        self.tags.insert((namespace, None, tag));
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.at.elapsed() < FRESH_FOR
    }

    /// The names of an address, members first.
    pub(in super::super) fn names_of(&self, address: IpAddr) -> &[Named] {
        self.names.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Whether an instance of a namespace has a tag, in one datacenter or in any. All in lower case.
    pub(in super::super) fn has_tag(
        &self,
        namespace: &str,
        datacenter: Option<&str>,
        tag: &str,
    ) -> bool {
        let key = (namespace.to_owned(), datacenter.map(str::to_owned), tag.to_owned());
        self.tags.contains(&key)
    }
}
