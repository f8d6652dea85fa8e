//! The definition of an instance in the catalog, made of its registration.

use hobnob_membership::record::{Balancing, ServiceRecord};

use crate::storage::{StoredBalancing, StoredRegistration};

/// The definition of an instance. Without an address of its own it has the default address.
pub(super) fn service(registration: &StoredRegistration, default_address: &str) -> ServiceRecord {
    ServiceRecord {
        service: registration.service.as_str().into(),
        namespace: registration.namespace.as_str().into(),
        address: registration.address.as_deref().unwrap_or(default_address).into(),
        port: registration.port,
        tags: registration.tags.iter().collect(),
        meta: registration.meta.iter().collect(),
        weight: registration.weight,
        checked: !registration.checks.is_empty(),
        balancing: balancing(&registration.balancing),
    }
}

fn balancing(settings: &StoredBalancing) -> Balancing {
    Balancing {
        strategy: settings.strategy.as_deref().map(Into::into),
        failure_threshold: settings.failure_threshold,
        recovery_timeout_ms: settings.recovery_timeout_ms,
    }
}
