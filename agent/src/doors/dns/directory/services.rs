//! Services by their names in lower case, and what stands above a name with dots.

use std::sync::Arc;

use imbl::ordmap::DiffItem;
use imbl::{OrdMap, OrdSet};

use super::{backwards, below};
use crate::services::{Registry, Service, ServiceKey};

/// All services, as the registry shares them.
type Services = OrdMap<ServiceKey, Arc<Service>>;

/// The names of services. A copy shares them.
#[derive(Clone, Default)]
pub(in super::super) struct ServiceNames {
    followed: Arc<Services>,
    /// Those that have capital letters or dots: the namespace and the name in lower case, the name backwards, and the service.
    /// The registry finds the others.
    unusual: OrdSet<(String, String, ServiceKey)>,
}

impl ServiceNames {
    pub(super) fn is_of(&self, services: &Arc<Services>) -> bool {
        Arc::ptr_eq(&self.followed, services)
    }

    /// Takes in what changed.
    pub(super) fn follow(&mut self, services: &Arc<Services>) {
        let before = std::mem::replace(&mut self.followed, services.clone());
        for change in before.diff(services) {
            match change {
                DiffItem::Add(key, _) => self.unusual.extend(unusual(key)),
                DiffItem::Remove(key, _) => {
                    if let Some(entry) = unusual(key) {
                        self.unusual.remove(&entry);
                    }
                }
                DiffItem::Update { .. } => {}
            }
        }
    }

    /// The service of this name, but for capital letters.
    pub(in super::super) fn get(
        &self,
        registry: &Registry,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Service>> {
        let key = ServiceKey { namespace: namespace.to_owned(), service: name.to_owned() };
        if let Some(service) = registry.service(&key) {
            return Some(service);
        }
        let start = entry(namespace, backwards(name));
        let (found_in, found, key) = self.unusual.range(start.clone()..).next()?;
        let is_it = (found_in, found) == (&start.0, &start.1);
        is_it.then(|| registry.service(key)).flatten()
    }

    /// Whether names of services end with this one and have more labels.
    pub(in super::super) fn has_below(&self, namespace: &str, name: &str) -> bool {
        let start = entry(namespace, below(name));
        let next = self.unusual.range(start.clone()..).next();
        next.is_some_and(|(space, name, _)| *space == start.0 && name.starts_with(&start.1))
    }

    /// Whether a namespace has a service. Its name is in lower case.
    pub(in super::super) fn has_namespace(&self, namespace: &str) -> bool {
        let first = ServiceKey { namespace: namespace.to_owned(), service: String::new() };
        let next = self.followed.range(first..).next();
        let start = entry(namespace, String::new());
        let unusual = self.unusual.range(start..).next();
        next.is_some_and(|(key, _)| key.namespace == namespace)
            || unusual.is_some_and(|(space, ..)| space == namespace)
    }
}

/// The first place that an entry of this name may have.
fn entry(namespace: &str, name: String) -> (String, String, ServiceKey) {
    let first = ServiceKey { namespace: String::new(), service: String::new() };
    (namespace.to_owned(), name, first)
}

fn unusual(key: &ServiceKey) -> Option<(String, String, ServiceKey)> {
    let (namespace, name) = (key.namespace.to_ascii_lowercase(), key.service.to_ascii_lowercase());
    let is_unusual = namespace != key.namespace || name != key.service || name.contains('.');
    is_unusual.then(|| (namespace, backwards(&name), key.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::testing::{self, of_service};
    use hobnob_membership::view::{Change, InstanceStatus};

    #[tokio::test]
    async fn services_are_found_in_lower_case_while_they_are_there() {
        let (registry, mut writer) = testing::registry();
        let mut names = ServiceNames::default();
        let found =
            |names: &ServiceNames, name: &str| names.get(&registry, "default", name).is_some();
        for name in ["Db.Main", "WEB", "Web", "cache"] {
            writer.apply(of_service(name, name));
        }
        writer.publish();
        names.follow(&registry.services());
        for name in ["db.main", "web", "cache"] {
            assert!(found(&names, name), "{name}");
        }
        assert!(!found(&names, "main") && names.has_below("default", "main"));
        assert!(!names.has_below("default", "db.main") && !names.has_below("shop", "main"));
        assert!(names.has_namespace("default") && !names.has_namespace("shop"));
        for name in ["Db.Main", "WEB"] {
            let change = of_service(name, name);
            let mut gone = (*change.instance).clone();
            gone.status = InstanceStatus::Gone;
            writer.apply(Change { instance: Arc::new(gone) });
        }
        writer.publish();
        names.follow(&registry.services());
        assert!(!found(&names, "db.main") && !names.has_below("default", "main"));
        assert!(found(&names, "web"), "the other one whose name differs in case only");
    }
}
