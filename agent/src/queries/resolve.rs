//! Lists of services, and of the instances of a service.

use std::collections::BTreeSet;

use hobnob_api::{ApiError, ErrorCode, Grade, Instances, Query, ServiceSummary, Services};
use hobnob_balancer::{Selector, SelectorError};
use hobnob_membership::record::Text;
use hobnob_membership::view::Instance;

use super::asked::{Length, check_scope, service_key, too_long};
use crate::services::{Registry, Scope, Service, ServiceKey, Shown, matches};

/// The instances of a service that match a query: those that are offered among them, or all.
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
        let instances = service.instances();
        let matching: Vec<_> =
            instances.values().filter(|instance| is_match(query, &selector, instance)).collect();
        let grades = matching.iter().map(|instance| instance.grade());
        let offered = Grade::offered(grades, query.strict);
        let shows_all = query.all && !query.strict;
        let mut length = Length::new();
        for instance in matching {
            if !shows_all && !instance.is_offered(offered) {
                continue;
            }
            let instance = registry.show(instance, offered);
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
    let service = &instance.service;
    let has_meta = |(key, value): (&String, &String)| service.meta.get(key) == Some(value.as_str());
    query.tags.iter().all(|tag| service.tags.contains(tag))
        && query.meta.iter().all(has_meta)
        && matches(selector, &query.datacenter, instance)
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
    let healthy = instances.values().filter(|instance| instance.is_healthy()).count();
    let tags: BTreeSet<String> = instances
        .values()
        .flat_map(|instance| instance.service.tags.iter())
        .map(Text::to_string)
        .collect();
    let report = service.whole().report_of_nearest();
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

#[cfg(test)]
mod tests {
    use hobnob_membership::view::InstanceStatus;
    use serde_json::{Value, json};

    use super::*;
    use crate::services::testing::{OTHER, instance, placed, registry};

    /// The ids of the answer, each with whether it is offered.
    fn found(registry: &Registry, query: Value) -> Vec<(String, bool)> {
        let query = serde_json::from_value(query).expect("a query");
        let answer = resolve(registry, &query).expect("no error");
        let shown = answer.instances.iter();
        shown.map(|shown| (shown.entry().id.to_string(), shown.is_offered())).collect()
    }

    #[tokio::test]
    async fn the_best_that_matches_is_found_and_all_or_only_healthy_ones_when_asked() {
        let (registry, mut writer) = registry();
        writer.apply(placed("failing", "dc1", "z1", InstanceStatus::Unhealthy));
        writer.apply(placed("lost", "dc1", "z1", InstanceStatus::Unknown));
        writer.apply(placed("healthy", "dc2", "z1", InstanceStatus::Healthy));
        writer.publish();
        let one = |id: &str, offered| (id.to_owned(), offered);
        assert_eq!(found(&registry, json!({ "service": "web" })), [one("healthy", true)]);
        let there = |more: &str| {
            let mut query = json!({ "service": "web", "datacenter": "dc1" });
            if !more.is_empty() {
                query[more] = json!(true);
            }
            query
        };
        assert_eq!(found(&registry, there("")), [one("lost", true)], "as a pick from there");
        assert_eq!(found(&registry, there("all")), [one("failing", false), one("lost", true)]);
        assert_eq!(found(&registry, there("strict")), []);
        let both = json!({ "service": "web", "all": true, "strict": true });
        assert_eq!(found(&registry, both), [one("healthy", true)]);
        writer.apply(instance(OTHER, "healthy", InstanceStatus::Gone));
        writer.publish();
        assert_eq!(found(&registry, json!({ "service": "web" })), [one("lost", true)]);
    }
}
