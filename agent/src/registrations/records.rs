//! What is made of a registration: the definition of its instance in the catalog, and what its checks know of it.

use hobnob_api::Check;
use hobnob_membership::record::{Balancing, CallSettings, InstanceScope, ServiceRecord};

use crate::checks::Subject;
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
        scope: scope(registration.scope.as_deref()),
        upkeep: Default::default(),
    }
}

/// The instance of a check, as scripts learn of it.
pub(super) fn subject(
    registration: &StoredRegistration,
    check: &Check,
    default_address: &str,
) -> Subject {
    Subject {
        instance: registration.id.as_str().into(),
        service: registration.service.clone(),
        check: check.name.clone(),
        address: registration.address.as_deref().unwrap_or(default_address).to_owned(),
        port: registration.port,
    }
}

/// A scope that a later version stored is narrower than all datacenters.
fn scope(stored: Option<&str>) -> InstanceScope {
    match stored {
        None | Some("global") => InstanceScope::Global,
        Some(_) => InstanceScope::Datacenter,
    }
}

fn balancing(settings: &StoredBalancing) -> Balancing {
    Balancing {
        strategy: settings.strategy.as_deref().map(Into::into),
        failure_threshold: settings.failure_threshold,
        recovery_timeout_ms: settings.recovery_timeout_ms,
        outlier_failures: settings.outlier_failures,
        outlier_interval_ms: settings.outlier_interval_ms,
        ejection_time_ms: settings.ejection_time_ms,
        max_ejection_percent: settings.max_ejection_percent,
        panic_threshold_percent: settings.panic_threshold_percent,
        slow_start_ms: settings.slow_start_ms,
        load_bound_percent: settings.load_bound_percent,
        failover: settings.failover.iter().map(|name| name.as_str().into()).collect(),
        calling: CallSettings {
            call_timeout_ms: settings.call_timeout_ms,
            try_timeout_ms: settings.try_timeout_ms,
            connect_timeout_ms: settings.connect_timeout_ms,
            max_retries: settings.max_retries,
            protocol: settings.protocol.as_deref().map(Into::into),
        }
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_that_this_version_does_not_know_stays_home() {
        use InstanceScope::{Datacenter, Global};
        let scopes = [None, Some("global"), Some("datacenter"), Some("zone")].map(scope);
        assert_eq!(scopes, [Global, Global, Datacenter, Datacenter]);
    }
}
