//! The records that the catalog holds of a registration.

use hobnob_membership::record::{Balancing, Key, ServiceRecord, Value};

use crate::driver::RecordChanges;
use crate::storage::{StoredBalancing, StoredRegistration};

/// The key and the value that define an instance. One without an address of its own has the default address.
pub(super) fn service(registration: &StoredRegistration, default_address: &str) -> (Key, Value) {
    let record = ServiceRecord {
        service: registration.service.as_str().into(),
        namespace: registration.namespace.as_str().into(),
        address: registration.address.as_deref().unwrap_or(default_address).into(),
        port: registration.port,
        tags: registration.tags.iter().collect(),
        meta: registration.meta.iter().collect(),
        weight: registration.weight,
        checked: !registration.checks.is_empty(),
        balancing: balancing(&registration.balancing),
    };
    (Key::Service(registration.id.as_str().into()), Value::Service(record.into()))
}

/// The removal of an instance with its health.
pub(super) fn removal(id: &str) -> RecordChanges {
    vec![(Key::Service(id.into()), None), health_removal(id)]
}

/// The removal of an instance's health.
pub(super) fn health_removal(id: &str) -> (Key, Option<Value>) {
    (Key::Health(id.into()), None)
}

fn balancing(settings: &StoredBalancing) -> Balancing {
    Balancing {
        strategy: settings.strategy.as_deref().map(Into::into),
        failure_threshold: settings.failure_threshold,
        recovery_timeout_ms: settings.recovery_timeout_ms,
    }
}
