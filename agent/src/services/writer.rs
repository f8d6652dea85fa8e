//! The one writer of the registry: collects changes, then publishes the services that they touch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hobnob_membership::record::{Balancing, Text};
use hobnob_membership::view::{Change, Instance, InstanceStatus};
use hobnob_membership::{NodeId, Time};

use super::{Registry, ServiceKey};

/// Writes what the driver learns. Nothing is visible before [`Writer::publish`], then each service at once.
pub(crate) struct Writer {
    registry: Arc<Registry>,
    services: BTreeMap<ServiceKey, BTreeMap<(Text, NodeId), Arc<Instance>>>,
    dirty: BTreeSet<ServiceKey>,
    changes: Vec<(ServiceKey, Arc<Instance>)>,
}

impl Writer {
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        Self { registry, services: BTreeMap::new(), dirty: BTreeSet::new(), changes: Vec::new() }
    }

    pub(crate) fn apply(&mut self, Change { instance }: Change) {
        let key = ServiceKey::of(&instance);
        let instances = self.services.entry(key.clone()).or_default();
        let id = (instance.id.clone(), instance.origin);
        if instance.status == InstanceStatus::Gone {
            instances.remove(&id);
        } else {
            instances.insert(id, instance.clone());
        }
        self.dirty.insert(key.clone());
        self.changes.push((key, instance));
    }

    /// Whether we hear nobody decides what services without a healthy instance offer.
    pub(crate) fn set_isolated(&mut self, isolated: bool) {
        if self.registry.isolated.swap(isolated, Ordering::Relaxed) != isolated {
            self.dirty.extend(self.services.keys().cloned());
        }
    }

    pub(crate) fn set_last_contact(&self, at: Option<Time>) {
        let micros = at.map_or(u64::MAX, Time::as_micros);
        self.registry.last_contact.store(micros, Ordering::Relaxed);
    }

    /// Shows when each origin last lived, in the order of their ids.
    pub(crate) fn set_last_alive(&self, origins: Vec<(NodeId, Time)>) {
        self.registry.last_alive.store(Arc::new(origins));
    }

    /// Shows what was applied.
    pub(crate) fn publish(&mut self) {
        if self.dirty.is_empty() {
            return;
        }
        let isolated = self.registry.is_isolated();
        let published = self.registry.services.load();
        let mut services = (**published).clone();
        let mut names_changed = false;
        for key in std::mem::take(&mut self.dirty) {
            let instances: Vec<_> =
                self.services.get(&key).into_iter().flat_map(BTreeMap::values).cloned().collect();
            let balancing = balancing_of(&instances);
            let known = services.remove(&key);
            let kept = known
                .clone()
                .filter(|known| !instances.is_empty() && *known.balancing() == balancing);
            names_changed |= kept.is_none();
            if let Some(outdated) = known.filter(|_| kept.is_none()) {
                outdated.retire();
            }
            if instances.is_empty() {
                self.services.remove(&key);
                continue;
            }
            let service = kept.unwrap_or_else(|| self.registry.new_service(balancing));
            service.publish(instances, isolated);
            services.insert(key, service);
        }
        if names_changed {
            self.registry.services.store(Arc::new(services));
        }
        if !self.changes.is_empty() {
            self.registry.changes.append(self.changes.drain(..));
        }
    }
}

/// Of the instances that say how to balance, the first by id and node speaks for the service.
fn balancing_of(instances: &[Arc<Instance>]) -> Balancing {
    let mut said = instances.iter().map(|instance| &instance.service.balancing);
    said.find(|said| **said != Balancing::default()).cloned().unwrap_or_default()
}
