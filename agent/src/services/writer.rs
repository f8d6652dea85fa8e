//! The one writer of the registry: collects changes, then publishes the services that they touch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hobnob_membership::record::{Balancing, Text};
use hobnob_membership::view::{Change, InstanceStatus};
use hobnob_membership::{NodeId, Time};

use super::service::Touched;
use super::{Entry, Registry, ServiceKey};

/// Writes what the driver learns. Nothing is visible before [`Writer::publish`], then each service at once.
pub(crate) struct Writer {
    registry: Arc<Registry>,
    services: BTreeMap<ServiceKey, BTreeMap<(Text, NodeId), Arc<Entry>>>,
    /// The instances that were applied since the last publication, as they were before and as they are now.
    touched: BTreeMap<ServiceKey, Vec<Arc<Entry>>>,
    /// Every service has to be published, whatever was applied.
    all_touched: bool,
    changes: Vec<(ServiceKey, Arc<Entry>)>,
}

impl Writer {
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            services: BTreeMap::new(),
            touched: BTreeMap::new(),
            all_touched: false,
            changes: Vec::new(),
        }
    }

    pub(crate) fn apply(&mut self, Change { instance }: Change) {
        let key = ServiceKey::of(&instance);
        let entry = Arc::new(Entry::new(instance));
        let instances = self.services.entry(key.clone()).or_default();
        let id = (entry.id.clone(), entry.origin);
        let before = if entry.status == InstanceStatus::Gone {
            instances.remove(&id)
        } else {
            instances.insert(id, entry.clone())
        };
        let touched = self.touched.entry(key.clone()).or_default();
        touched.extend(before);
        touched.push(entry.clone());
        self.changes.push((key, entry));
    }

    /// Isolation decides which instances a service without a healthy one offers.
    pub(crate) fn set_isolated(&mut self, isolated: bool) {
        self.all_touched |= self.registry.isolated.swap(isolated, Ordering::Relaxed) != isolated;
    }

    pub(crate) fn set_last_contact(&self, at: Option<Time>) {
        let micros = at.map_or(u64::MAX, Time::as_micros);
        self.registry.last_contact.store(micros, Ordering::Relaxed);
    }

    /// Shows when each origin last lived, in the order of their ids.
    pub(crate) fn set_last_alive(&self, origins: Vec<(NodeId, Time)>) {
        self.registry.last_alive.store(Arc::new(origins));
    }

    /// Shows the applied changes.
    pub(crate) fn publish(&mut self) {
        let all_touched = std::mem::take(&mut self.all_touched);
        let mut touched = std::mem::take(&mut self.touched);
        if all_touched {
            for key in self.services.keys() {
                touched.entry(key.clone()).or_default();
            }
        }
        if touched.is_empty() {
            return;
        }
        let isolated = self.registry.is_isolated();
        let published = self.registry.services.load();
        let mut services = (**published).clone();
        let mut names_changed = false;
        for (key, touched) in touched {
            let touched = if all_touched { Touched::All } else { Touched::Some(&touched) };
            let instances: Vec<_> =
                self.services.get(&key).into_iter().flat_map(BTreeMap::values).cloned().collect();
            let balancing = balancing_of(&instances);
            let known = services.get(&key).cloned();
            let kept = known
                .clone()
                .filter(|known| !instances.is_empty() && *known.balancing() == balancing);
            if let Some(kept) = kept {
                kept.publish(instances, &touched, isolated);
                continue;
            }
            names_changed = true;
            if let Some(outdated) = known {
                outdated.retire();
                services.remove(&key);
            }
            if instances.is_empty() {
                self.services.remove(&key);
                continue;
            }
            let service = self.registry.new_service(balancing);
            service.publish(instances, &touched, isolated);
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
fn balancing_of(instances: &[Arc<Entry>]) -> Balancing {
    let mut said = instances.iter().map(|instance| &instance.service.balancing);
    said.find(|said| **said != Balancing::default()).cloned().unwrap_or_default()
}
