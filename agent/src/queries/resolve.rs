//! Lists of services, and of the instances of a service.

use std::collections::BTreeSet;

use hobnob_api::{ApiError, ErrorCode, Instances, Query, ServiceSummary, Services};
use hobnob_balancer::{Selector, SelectorError};
use hobnob_membership::record::Text;
use hobnob_membership::view::{Instance, InstanceStatus};

use super::asked::{Length, check_scope, service_key, too_long};
use crate::services::{Registry, Scope, Service, ServiceKey, Shown, matches};

/// The instances of a service that match a query.
///
/// # Errors
/// The selector cannot be read, a name breaks a rule, or the answer would be too long.
pub(crate) fn resolve(registry: &Registry, query: &Query) -> Result<Instances<Shown>, ApiError> {
    let key = service_key(query.namespace.clone(), query.service.clone())?;
    check_scope(&Scope { datacenter: query.datacenter.clone(), ..Scope::default() })?;
    let selector = query.selector.as_deref().unwrap_or_default();
    let selector = selector.parse().map_err(|error| bad_selector(&error))?;
    let revision = registry.revision();
    let mut shown = Vec::new();
    if let Some(service) = registry.service(&key) {
        let (instances, last_known) = (service.instances(), service.offers_last_known());
        let matching = instances.values().filter(|instance| is_match(query, &selector, instance));
        let mut length = Length::new();
        for instance in matching {
            let instance = registry.show(instance, last_known);
            if !length.add(&instance) {
                let remedy = "ask for a part of them with a selector, or watch the service";
                return Err(too_long(&format!("all instances of `{}`", key.service), remedy));
            }
            shown.push(instance);
        }
    }
    Ok(Instances { revision, isolated: registry.is_isolated(), instances: shown })
}

fn is_match(query: &Query, selector: &Selector, instance: &Instance) -> bool {
    let healthy = instance.status == InstanceStatus::Healthy;
    let service = &instance.service;
    let has_meta = |(key, value): (&String, &String)| service.meta.get(key) == Some(value.as_str());
    (query.all || healthy)
        && query.tags.iter().all(|tag| service.tags.contains(tag))
        && query.meta.iter().all(has_meta)
        && matches(selector, query.datacenter.as_deref(), instance)
}

/// The services of a namespace, or all.
pub(crate) fn services(registry: &Registry, namespace: Option<&str>) -> Services {
    let revision = registry.revision();
    let services = registry.services();
    let is_asked = |key: &ServiceKey| namespace.is_none_or(|namespace| key.namespace == namespace);
    let asked = services.iter().filter(|(key, _)| is_asked(key));
    let services = asked.map(|(key, service)| summary(key, service)).collect();
    Services { revision, isolated: registry.is_isolated(), services }
}

fn summary(key: &ServiceKey, service: &Service) -> ServiceSummary {
    let instances = service.instances();
    let healthy =
        instances.values().filter(|instance| instance.status == InstanceStatus::Healthy).count();
    let tags: BTreeSet<String> = instances
        .values()
        .flat_map(|instance| instance.service.tags.iter())
        .map(Text::to_string)
        .collect();
    let report = service.whole().report();
    ServiceSummary {
        service: key.service.clone(),
        namespace: key.namespace.clone(),
        instances: instances.len(),
        healthy,
        tags,
        efficiency: report.efficiency(),
        fairness: report.fairness(),
    }
}

/// The refusal of a selector that cannot be read.
pub(crate) fn bad_selector(error: &SelectorError) -> ApiError {
    ApiError::new(ErrorCode::SelectorInvalid, error.to_string())
}
