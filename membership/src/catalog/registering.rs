//! The records that a registration writes and a deregistration deletes.
//!
//! An instance consists of two records of its origin: a definition and a health. The agent and the simulator both write
//! them through these functions, so that a simulated registration changes the catalog as a real one does.

use crate::catalog::delta::Entry;
use crate::catalog::record::{Health, Key, RecordError, ServiceRecord, Text, Value};

/// Records to write in one step. `None` deletes the record of its key.
pub type RecordChanges = Vec<(Key, Option<Value>)>;

/// The health of an instance at the moment of its registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialHealth {
    /// The registration replaces an instance with the same check of the same address, so the health that this check
    /// found still holds.
    Kept,
    /// No check has run yet.
    Unknown,
    /// A check has run already.
    Found(Health),
}

/// The record that defines an instance.
#[must_use]
pub fn definition(id: &Text, service: ServiceRecord) -> (Key, Value) {
    (Key::Service(id.clone()), Value::Service(service.into()))
}

/// Checks that a node may write this record.
///
/// # Errors
/// The first rule that it breaks.
pub fn check(key: &Key, value: &Value) -> Result<(), RecordError> {
    Entry::own(1, key.clone(), Some(value.clone())).map(drop)
}

/// The record of an instance's health.
#[must_use]
pub fn health(id: &Text, health: Health) -> (Key, Value) {
    (Key::Health(id.clone()), Value::Health(health))
}

/// The changes that register an instance, or replace the instance with this id.
#[must_use]
pub fn register(id: &Text, service: ServiceRecord, initial: InitialHealth) -> RecordChanges {
    let (key, value) = definition(id, service);
    let mut records = vec![(key, Some(value))];
    match initial {
        InitialHealth::Kept => {}
        InitialHealth::Unknown => records.push((Key::Health(id.clone()), None)),
        InitialHealth::Found(found) => records.extend(set_health(id, found)),
    }
    records
}

/// The change for a new verdict of an instance's check.
#[must_use]
pub fn set_health(id: &Text, verdict: Health) -> RecordChanges {
    let (key, value) = health(id, verdict);
    vec![(key, Some(value))]
}

/// The changes that deregister an instance.
#[must_use]
pub fn deregister(id: &Text) -> RecordChanges {
    vec![(Key::Service(id.clone()), None), (Key::Health(id.clone()), None)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::record::{Balancing, DEFAULT_NAMESPACE, Meta, Tags};

    fn service() -> ServiceRecord {
        ServiceRecord {
            service: "web".into(),
            namespace: DEFAULT_NAMESPACE.into(),
            address: "10.0.0.1".into(),
            port: 80,
            tags: Tags::default(),
            meta: Meta::default(),
            weight: 1,
            checked: true,
            balancing: Balancing::default(),
            scope: Default::default(),
            upkeep: Default::default(),
        }
    }

    /// The health, after these changes, of an instance that was passing.
    fn health_after(changes: RecordChanges) -> Option<Value> {
        let id = Key::Health("web-1".into());
        let passing = Some(Value::Health(Health::Passing));
        changes.into_iter().rev().find(|(key, _)| *key == id).map_or(passing, |(_, value)| value)
    }

    #[test]
    fn a_registration_keeps_forgets_or_sets_the_health() {
        let register = |health| register(&"web-1".into(), service(), health);
        assert_eq!(
            health_after(register(InitialHealth::Kept)),
            Some(Value::Health(Health::Passing))
        );
        assert_eq!(health_after(register(InitialHealth::Unknown)), None);
        let found = InitialHealth::Found(Health::Failing);
        assert_eq!(health_after(register(found)), Some(Value::Health(Health::Failing)));
    }

    #[test]
    fn a_deregistration_deletes_both_records_and_a_registration_writes_valid_ones() {
        let id = Text::from("web-1");
        for (key, value) in register(&id, service(), InitialHealth::Found(Health::Passing)) {
            let value = value.expect("a registration with a health deletes nothing");
            assert_eq!(value.validate(&key), Ok(()));
            assert!(deregister(&id).contains(&(key, None)));
        }
    }
}
