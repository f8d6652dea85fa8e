//! The one writer of the registry: collects changes, then publishes the services that they touch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hobnob_balancer::Config;
use hobnob_membership::view::{Change, Instance, InstanceStatus};
use hobnob_membership::{NodeId, Time};

use super::{Registry, Service, ServiceKey};

/// Writes what the driver learns. Nothing is visible before [`Writer::publish`], then each service at once.
pub(crate) struct Writer {
    registry: Arc<Registry>,
    services: BTreeMap<ServiceKey, BTreeMap<(String, NodeId), Arc<Instance>>>,
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
            let gone = instances.is_empty();
            let service = services.get(&key).cloned().unwrap_or_else(|| {
                names_changed = true;
                let service = Arc::new(Service::new(Config::default(), self.registry.here.clone()));
                if service.is_timed() {
                    self.registry.keep_time(&service);
                }
                service
            });
            service.publish(instances, isolated);
            if gone {
                names_changed = true;
                self.services.remove(&key);
                services.remove(&key);
                service.retire();
            } else {
                services.insert(key, service);
            }
        }
        if names_changed {
            self.registry.services.store(Arc::new(services));
        }
        if !self.changes.is_empty() {
            self.registry.changes.append(self.changes.drain(..));
        }
    }
}
