//! The ids by which clients of Consul's API name the checks of this agent's instances.
//!
//! A check gets its ids when it is registered, and has them for as long as it is registered with its instance: what is registered
//! later never takes one away. No two checks of a namespace share an id.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use imbl::OrdMap;

use crate::storage::StoredRegistration;

/// The ids of all checks. The registrar is the only writer; readers wait for nothing.
#[derive(Debug, Default)]
pub(super) struct CheckIds(ArcSwap<KnownIds>);

/// A check of an instance of this agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckOf {
    pub(crate) instance: Arc<str>,
    /// The name of the check.
    pub(crate) check: Arc<str>,
}

/// The ids at one moment. There are two for each check at most.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownIds {
    /// By namespace and id.
    checks: OrdMap<(Arc<str>, Arc<str>), CheckOf>,
    /// By the id of the instance.
    instances: OrdMap<Arc<str>, Arc<IdsOf>>,
}

#[derive(Debug)]
struct IdsOf {
    namespace: Arc<str>,
    /// The name of the check by its id.
    ids: BTreeMap<String, String>,
}

impl CheckIds {
    pub(super) fn of<'a>(registrations: impl Iterator<Item = &'a StoredRegistration>) -> Self {
        let mut known = KnownIds::default();
        registrations.for_each(|registration| known.set(registration));
        Self(ArcSwap::from_pointee(known))
    }

    pub(super) fn known(&self) -> Arc<KnownIds> {
        self.0.load_full()
    }

    pub(super) fn set(&self, registration: &StoredRegistration) {
        let mut known = KnownIds::clone(&self.0.load());
        known.set(registration);
        self.0.store(Arc::new(known));
    }

    pub(super) fn remove(&self, instance: &str) {
        let mut known = KnownIds::clone(&self.0.load());
        known.remove(instance);
        self.0.store(Arc::new(known));
    }
}

impl KnownIds {
    /// The check with this id.
    pub(crate) fn find(&self, namespace: &str, id: &str) -> Option<&CheckOf> {
        self.checks.get(&(namespace.into(), id.into()))
    }

    /// The id of a check that is shown: its name if that is one, else the first.
    pub(crate) fn shown(&self, instance: &str, check: &str) -> Option<&str> {
        let ids = &self.instances.get(instance)?.ids;
        let of_check = || ids.iter().filter(|(_, name)| *name == check).map(|(id, _)| id.as_str());
        of_check().find(|id| *id == check).or_else(|| of_check().next())
    }

    pub(super) fn set(&mut self, registration: &StoredRegistration) {
        self.remove(&registration.id);
        let (namespace, ids) = (Arc::from(registration.namespace.as_str()), ids_of(registration));
        if ids.is_empty() {
            return;
        }
        let instance: Arc<str> = registration.id.as_str().into();
        for (id, check) in &ids {
            let of = CheckOf { instance: instance.clone(), check: check.as_str().into() };
            self.checks.insert((Arc::clone(&namespace), id.as_str().into()), of);
        }
        self.instances.insert(instance, Arc::new(IdsOf { namespace, ids }));
    }

    fn remove(&mut self, instance: &str) {
        let Some(of) = self.instances.remove(instance) else { return };
        for id in of.ids.keys() {
            self.checks.remove(&(of.namespace.clone(), id.as_str().into()));
        }
    }

    /// A registration with an id for each of its checks. A check that was there `before` keeps its ids.
    pub(super) fn assign(
        &self,
        before: Option<&StoredRegistration>,
        after: StoredRegistration,
    ) -> StoredRegistration {
        let before = before.filter(|before| before.namespace == after.namespace);
        let mut ids = before.map(ids_of).unwrap_or_default();
        ids.extend(after.check_ids.clone());
        ids.retain(|_, name| after.checks.iter().any(|check| check.name == *name));
        let is_free = |ids: &BTreeMap<String, String>, id: &str| {
            let holder = self.find(&after.namespace, id);
            !ids.contains_key(id) && holder.is_none_or(|holder| *holder.instance == *after.id)
        };
        for (place, check) in after.checks.iter().map(|check| &check.name).enumerate() {
            if ids.values().any(|name| name == check) {
                continue;
            }
            // A program that registers a check without an id knows it by this one.
            let of_place = match after.checks.len() {
                1 => format!("service:{}", after.id),
                _ => format!("service:{}:{}", after.id, place + 1),
            };
            let given = Some(check.clone()).filter(|name| !is_made(name));
            let wanted = [given, Some(of_place)];
            let wanted: Vec<_> =
                wanted.into_iter().flatten().filter(|id| is_free(&ids, id)).collect();
            let is_any = !wanted.is_empty();
            ids.extend(wanted.into_iter().map(|id| (id, check.clone())));
            if !is_any {
                let own = format!("service:{}:{check}", after.id);
                let more = (2..).map(|number| format!("{own}:{number}"));
                let mut all = std::iter::once(own.clone()).chain(more);
                let free = all.find(|id| is_free(&ids, id)).unwrap_or(own);
                ids.insert(free, check.clone());
            }
        }
        StoredRegistration { check_ids: ids, ..after }
    }
}

/// A registration with the ids of all its checks.
pub(super) fn with_ids(registration: &StoredRegistration) -> StoredRegistration {
    StoredRegistration { check_ids: ids_of(registration), ..registration.clone() }
}

/// The ids of the checks of a registration. One that an early version stored has none.
fn ids_of(registration: &StoredRegistration) -> BTreeMap<String, String> {
    let mut ids = registration.check_ids.clone();
    let StoredRegistration { id, checks, .. } = registration;
    for check in checks {
        if !ids.values().any(|name| *name == check.name) {
            let made = match checks.len() {
                1 => format!("service:{id}"),
                _ => format!("service:{id}:{}", check.name),
            };
            ids.insert(made, check.name.clone());
        }
    }
    ids
}

/// Whether the agent gives this name to a check without one: `check`, `check-2`, `check-3` and so on.
fn is_made(name: &str) -> bool {
    let number = name.strip_prefix("check-");
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name == "check" || number.is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StoredCheck;

    fn registration(id: &str, checks: &[&str]) -> StoredRegistration {
        let json = format!(r#"{{"service":"web","id":"{id}","port":80}}"#);
        let registration: StoredRegistration = serde_json::from_str(&json).expect("read");
        let named =
            |name: &&str| StoredCheck { name: (*name).to_owned(), ..StoredCheck::default() };
        StoredRegistration { checks: checks.iter().map(named).collect(), ..registration }
    }

    fn ids(of: &StoredRegistration) -> Vec<(&str, &str)> {
        of.check_ids.iter().map(|(id, check)| (id.as_str(), check.as_str())).collect()
    }

    /// Registers, as the registrar does.
    fn put(known: &mut KnownIds, registration: StoredRegistration) -> StoredRegistration {
        let assigned = known.assign(None, registration);
        known.set(&assigned);
        assigned
    }

    #[test]
    fn only_names_as_the_agent_makes_them_are_no_names() {
        for made in ["check", "check-1", "check-12"] {
            assert!(is_made(made), "{made}");
        }
        for given in ["check-db", "check-", "checks", "check1", "db", "up-2", "check-1a"] {
            assert!(!is_made(given), "{given}");
        }
    }

    #[test]
    fn a_later_registration_takes_no_id_away() {
        let mut known = KnownIds::default();
        let first = put(&mut known, registration("web-1", &["alive"]));
        assert_eq!(ids(&first), [("alive", "alive"), ("service:web-1", "alive")]);
        let second = put(&mut known, registration("web-2", &["alive", "disk"]));
        let expected =
            [("disk", "disk"), ("service:web-2:1", "alive"), ("service:web-2:2", "disk")];
        assert_eq!(ids(&second), expected);
        let third = put(&mut known, registration("web-3", &["check"]));
        assert_eq!(ids(&third), [("service:web-3", "check")]);
        let found = known.find("default", "alive").expect("known");
        assert_eq!((&*found.instance, &*found.check), ("web-1", "alive"));
        assert_eq!(known.shown("web-1", "alive"), Some("alive"));
        assert_eq!(known.shown("web-2", "alive"), Some("service:web-2:1"));
        let fourth = put(&mut known, registration("web-4", &["service:web-5"]));
        let fifth = put(&mut known, registration("web-5", &["alive"]));
        assert_eq!(ids(&fourth)[0].0, "service:web-4");
        assert_eq!(ids(&fifth), [("service:web-5:alive", "alive")], "the others are taken");

        // The holder goes, and the others keep theirs.
        known.remove("web-1");
        assert_eq!(known.find("default", "service:web-1"), None);
        let again = known.assign(Some(&second), registration("web-2", &["alive", "disk"]));
        assert_eq!(again, second);
    }

    #[test]
    fn a_check_keeps_its_ids_while_others_come_and_go() {
        let mut known = KnownIds::default();
        let first = put(&mut known, registration("web-1", &["alive"]));
        let more = known.assign(Some(&first), registration("web-1", &["alive", "disk"]));
        let of_first = [("alive", "alive"), ("disk", "disk"), ("service:web-1", "alive")];
        let expected: Vec<_> = of_first.into_iter().chain([("service:web-1:2", "disk")]).collect();
        assert_eq!(ids(&more), expected);
        known.set(&more);
        let left = known.assign(Some(&more), registration("web-1", &["disk"]));
        let expected = [("disk", "disk"), ("service:web-1:2", "disk")];
        assert_eq!(ids(&left), expected, "its id is not that of the one before");
    }

    #[test]
    fn a_namespace_has_ids_of_its_own() {
        let mut known = KnownIds::default();
        let there = StoredRegistration {
            namespace: "there".to_owned(),
            ..registration("other", &["alive"])
        };
        put(&mut known, there);
        let here = put(&mut known, registration("web-1", &["alive"]));
        assert_eq!(known.shown("web-1", "alive"), Some("alive"));
        let moved = StoredRegistration { namespace: "there".to_owned(), ..here.clone() };
        let moved = StoredRegistration { check_ids: BTreeMap::new(), ..moved };
        let moved = known.assign(Some(&here), moved);
        assert_eq!(ids(&moved), [("service:web-1", "alive")]);
    }

    #[test]
    fn a_check_of_an_early_version_has_the_id_that_it_is_found_by() {
        let mut known = KnownIds::default();
        known.set(&registration("web-1", &["alive"]));
        known.set(&registration("web-2", &["alive", "disk"]));
        assert_eq!(known.shown("web-1", "alive"), Some("service:web-1"));
        assert_eq!(known.shown("web-2", "disk"), Some("service:web-2:disk"));
        let again = known
            .assign(Some(&registration("web-1", &["alive"])), registration("web-1", &["alive"]));
        assert_eq!(again, with_ids(&registration("web-1", &["alive"])), "nothing changes");
        let more = known.assign(
            Some(&registration("web-1", &["alive"])),
            registration("web-1", &["alive", "b"]),
        );
        let expected = [("b", "b"), ("service:web-1", "alive"), ("service:web-1:2", "b")];
        assert_eq!(ids(&more), expected);
    }
}
