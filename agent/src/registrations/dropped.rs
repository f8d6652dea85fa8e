//! What an instance loses that is registered anew.

use std::collections::BTreeSet;

use hobnob_api::Dropped;

use crate::storage::StoredRegistration;

/// What an instance loses that is registered anew. None, if it is of the same service and has all checks still.
pub(super) fn dropped(before: &StoredRegistration, after: &StoredRegistration) -> Option<Dropped> {
    let is_another = (&before.namespace, &before.service) != (&after.namespace, &after.service);
    let names = |of: &StoredRegistration| {
        of.checks.iter().map(|check| check.name.clone()).collect::<BTreeSet<_>>()
    };
    let (had, has) = (names(before), names(after));
    // A check of another service is another one, also under the same name.
    let checks: Vec<String> = match is_another {
        true => had.into_iter().collect(),
        false => had.difference(&has).cloned().collect(),
    };
    (is_another || !checks.is_empty()).then(|| Dropped {
        service: is_another.then(|| before.service.clone()),
        namespace: before.namespace.clone(),
        checks,
    })
}

#[cfg(test)]
mod tests {
    use hobnob_api::{Check, Probe, Registration};

    use super::*;

    fn stored(service: &str, checks: &[&str]) -> StoredRegistration {
        let check = |name: &&str| {
            let name = (*name).to_owned();
            Check { name, ..Check::new(Probe::http("http://127.0.0.1/".to_owned())) }
        };
        let checks = checks.iter().map(check).collect();
        let id = Some("x".to_owned());
        (&Registration { id, checks, ..Registration::new(service, 80) }).into()
    }

    #[test]
    fn another_service_and_checks_that_are_gone_are_told() {
        let before = stored("web", &["http", "lease"]);
        assert_eq!(dropped(&before, &stored("web", &["lease", "http", "tcp"])), None);
        let of = |service: Option<&str>, checks: &[&str]| {
            let checks = checks.iter().map(|name| (*name).to_owned()).collect();
            let namespace = "default".to_owned();
            Some(Dropped { service: service.map(str::to_owned), namespace, checks })
        };
        assert_eq!(dropped(&before, &stored("web", &["http"])), of(None, &["lease"]));
        let another = dropped(&before, &stored("api", &["http"]));
        assert_eq!(another, of(Some("web"), &["http", "lease"]));
        assert_eq!(dropped(&stored("web", &[]), &stored("api", &[])), of(Some("web"), &[]));
    }
}
