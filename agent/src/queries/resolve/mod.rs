//! Lists of services, and of the instances of a service.

pub(crate) mod pages;
pub(crate) mod waiting;

use std::collections::BTreeSet;
use std::sync::Arc;

use hobnob_api::{
    ApiError, Consistency, ErrorCode, Grade, Instances, Query, ServiceSummary, Services,
};
use hobnob_balancer::{Selector, SelectorError};
use hobnob_membership::record::Text;
use hobnob_membership::view::Instance;

use crate::clock::millis;
use crate::queries::asked::{Length, check_scope, service_key, too_long};
use crate::services::{self, Entry, Registry, Scope, Service, ServiceKey, Shown, matches};

/// The instances of a service that match a query: those that are offered among them, or all. With `is_paged` there may be more
/// than fit an answer.
///
/// # Errors
/// The selector cannot be read, a name breaks a rule, the answer would be too long, or all of it too old.
pub(crate) fn resolve(
    registry: &Registry,
    query: &Query,
    is_paged: bool,
) -> Result<Instances<Shown>, ApiError> {
    let key = service_key(query.namespace.clone(), query.service.clone())?;
    let service = registry.service(&key);
    let instances = service.as_ref().map(|service| service.instances()).unwrap_or_default();
    let answer = answer(registry, query, instances.values(), is_paged)?;
    let settings = service.map(|service| service.settings());
    Ok(Instances { settings: settings.filter(|told| told.instance.is_some()), ..answer })
}

/// Those of some instances of a service that match a query, as [`resolve`] answers them, without the settings of the service.
///
/// # Errors
/// The same.
pub(crate) fn answer<'a>(
    registry: &Registry,
    query: &Query,
    instances: impl IntoIterator<Item = &'a Arc<Entry>>,
    is_paged: bool,
) -> Result<Instances<Shown>, ApiError> {
    check_scope(&Scope { datacenter: query.datacenter.clone(), ..Scope::default() })?;
    let selector = query.selector.as_deref().unwrap_or_default();
    let selector = selector.parse().map_err(|error| bad_selector(&error))?;
    let revision = registry.revision();
    let instances = instances.into_iter();
    let mut matching: Vec<_> =
        instances.filter(|instance| is_match(query, &selector, instance)).collect();
    if let Some(max_age_ms) = query.max_age_ms {
        matching = not_older(registry, query, matching, max_age_ms)?;
    }
    let grades = matching.iter().map(|instance| instance.grade());
    let offered = Grade::offered(grades, query.strict);
    let shows_all = query.all && !query.strict;
    let (mut shown, mut length) = (Vec::new(), Length::new());
    for instance in matching {
        if !shows_all && !instance.is_offered(offered) {
            continue;
        }
        let instance = registry.show(instance, offered);
        if !is_paged && !length.add(&instance) {
            let remedy = "ask for it in pages, or for a part with a selector, or watch the service";
            return Err(too_long(&format!("all instances of `{}`", query.service), remedy));
        }
        shown.push(instance);
    }
    let (isolated, consistency) = (registry.is_isolated(), Consistency::Eventual);
    Ok(Instances { revision, isolated, consistency, settings: None, instances: shown })
}

/// The instances that are not older than the query allows.
///
/// # Errors
/// None of those that are offered without the limit is among them. What stands in for those is no answer: a [pick](super::pick)
/// chooses none of it either.
fn not_older<'a>(
    registry: &Registry,
    query: &Query,
    matching: Vec<&'a Arc<Entry>>,
    max_age_ms: u64,
) -> Result<Vec<&'a Arc<Entry>>, ApiError> {
    let offered = |entries: &[&Arc<Entry>]| {
        Grade::offered(entries.iter().map(|entry| entry.grade()), query.strict)
    };
    let before = offered(&matching);
    let age = |entry: &Arc<Entry>| millis(registry.age(entry));
    let (young, old): (Vec<_>, Vec<_>) =
        matching.into_iter().partition(|entry| age(entry) <= max_age_ms);
    if before.is_some() && offered(&young) != before {
        let youngest = old.iter().filter(|entry| entry.grade() == before).map(|entry| age(entry));
        return Err(too_old(&query.service, youngest.min().unwrap_or_default(), max_age_ms));
    }
    Ok(young)
}

/// The refusal of an answer that rests on older news than the request allows.
pub(crate) fn too_old(service: &str, age_ms: u64, max_age_ms: u64) -> ApiError {
    let message = format!(
        "what is known of the instances of `{service}` that could be offered is {age_ms} ms old or older, and {max_age_ms} ms \
         were allowed"
    );
    ApiError::new(ErrorCode::AnswerTooOld, message)
}

fn is_match(query: &Query, selector: &Selector, instance: &Instance) -> bool {
    let service = &instance.service;
    let has_meta = |(key, value): (&String, &String)| service.meta.get(key) == Some(value.as_str());
    query.tags.iter().all(|tag| service.tags.contains(tag))
        && query.meta.iter().all(has_meta)
        && matches(selector, &query.datacenter, instance)
}

/// A service at one moment.
pub(crate) struct Snapshot {
    key: ServiceKey,
    service: Arc<Service>,
    instances: services::Instances,
}

/// The services of a namespace, or all, at this moment, by namespace and name.
pub(crate) fn snapshots(registry: &Registry, namespace: Option<&str>) -> Vec<Snapshot> {
    let services = registry.services();
    let is_asked = |key: &ServiceKey| namespace.is_none_or(|namespace| key.namespace == namespace);
    let asked = services.iter().filter(|(key, _)| is_asked(key));
    let snapshot = |(key, service): (&ServiceKey, &Arc<Service>)| Snapshot {
        key: key.clone(),
        service: service.clone(),
        instances: service.instances(),
    };
    asked.map(snapshot).collect()
}

/// The services of a namespace, or all.
pub(crate) fn services(registry: &Registry, namespace: Option<&str>) -> Services {
    let revision = registry.revision();
    let services = snapshots(registry, namespace).iter().map(summary).collect();
    Services { revision, isolated: registry.is_isolated(), services }
}

pub(super) fn summary(Snapshot { key, service, instances }: &Snapshot) -> ServiceSummary {
    let healthy = instances.values().filter(|instance| instance.is_healthy()).count();
    let tags: BTreeSet<String> = instances
        .values()
        .flat_map(|instance| instance.service.tags.iter())
        .map(Text::to_string)
        .collect();
    let report = service.report_of_nearest();
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
    use std::time::Duration;

    use hobnob_membership::Time;
    use hobnob_membership::view::InstanceStatus;
    use serde_json::{Value, json};

    use super::*;
    use crate::services::testing::{OTHER, OWN, instance, placed, registry};

    /// The ids of the answer, each with whether it is offered.
    fn found(registry: &Registry, query: Value) -> Vec<(String, bool)> {
        let query = serde_json::from_value(query).expect("a query");
        let answer = resolve(registry, &query, false).expect("no error");
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

    #[tokio::test(start_paused = true)]
    async fn an_answer_rests_on_nothing_older_than_was_allowed() {
        let (registry, mut writer) = registry();
        writer.apply(instance(OTHER, "far", InstanceStatus::Healthy));
        writer.apply(instance(OWN, "near", InstanceStatus::Healthy));
        writer.publish();
        writer.set_last_alive(vec![(OTHER, Time::ZERO)]);
        tokio::time::advance(Duration::from_secs(5)).await;
        let young = |max_age_ms: u64| json!({ "service": "web", "max_age_ms": max_age_ms });
        let one = |id: &str| (id.to_owned(), true);
        assert_eq!(found(&registry, young(2_000)), [one("near")]);
        assert_eq!(found(&registry, young(5_000)), [one("far"), one("near")]);
        writer.apply(instance(OWN, "near", InstanceStatus::Gone));
        writer.publish();
        for more in ["all", "strict"] {
            let mut query = young(4_999);
            query[more] = json!(true);
            let query = serde_json::from_value(query).expect("a query");
            let refused = resolve(&registry, &query, false).expect_err("too old");
            assert_eq!(refused.code, ErrorCode::AnswerTooOld);
            assert!(refused.message.contains("5000 ms old or older"), "{refused}");
        }
        writer.apply(instance(OWN, "near", InstanceStatus::Unknown));
        writer.publish();
        let query = serde_json::from_value(young(1)).expect("a query");
        let refused = resolve(&registry, &query, false).expect_err("too old");
        assert!(refused.message.contains("5000 ms old or older"), "{refused}");
        writer.apply(instance(OWN, "near", InstanceStatus::Gone));
        writer.apply(instance(OTHER, "far", InstanceStatus::Unhealthy));
        writer.publish();
        assert_eq!(found(&registry, young(1)), [], "there is nothing to offer at any age");
    }
}
