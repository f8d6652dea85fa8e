//! `/v1/sd/prometheus`: instances as targets for Prometheus (`http_sd_config`).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use hobnob_api::{Datacenters, InstanceStatus};
use hobnob_membership::record::Text;
use serde::Serialize;

use super::answer::{Refused, json, text_of};
use super::limits::Limit;
use super::parameters::Parameters;
use super::routes::Routes;
use crate::queries::asked::{check, check_datacenters};
use crate::services::{Entry, Registry};
use crate::translate::instance_status;

/// The begin of the name of each label.
const PREFIX: &str = "__meta_hobnob_";

/// A group of targets, as Prometheus reads it. Each instance is one of its own.
#[derive(Debug, Serialize)]
struct Group {
    targets: [String; 1],
    labels: BTreeMap<String, String>,
}

/// Every instance, whatever its status: a scrape tells whether it answers.
pub(super) async fn targets(
    State(routes): State<Arc<Routes>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let mut parameters = Parameters::parse(query.as_deref())?;
    let (service, namespace) = (parameters.text("service")?, parameters.text("namespace")?);
    let datacenters = parameters.all("datacenter");
    parameters.finish(&["service", "namespace", "datacenter"])?;
    service.iter().try_for_each(|name| check("service", name))?;
    namespace.iter().try_for_each(|name| check("namespace", name))?;
    let names =
        datacenters.iter().flat_map(|names| names.split(',')).filter(|name| !name.is_empty());
    let datacenters = match datacenters.is_empty() {
        true => Datacenters::All,
        false => Datacenters::named(names).map_err(|error| Refused::bad(error.to_string()))?,
    };
    check_datacenters(&datacenters)?;
    let handler = routes.handler()?;
    let _place = routes.limits.take(Limit::InFlight)?;
    let is_asked = |entry: &Entry| {
        let record = &entry.service;
        service.as_ref().is_none_or(|name| *record.service == **name)
            && namespace.as_ref().is_none_or(|name| *record.namespace == **name)
            && datacenters.contains(&entry.node.datacenter)
    };
    let groups = groups(&handler.registry, &is_asked);
    json(text_of(&groups, false)?, routes.budget(handler))
}

fn groups(registry: &Registry, is_asked: &dyn Fn(&Entry) -> bool) -> Vec<Group> {
    let services = registry.services();
    let mut groups = Vec::new();
    for service in services.values() {
        let instances = service.instances();
        groups.extend(instances.values().filter(|entry| is_asked(entry)).map(|entry| group(entry)));
    }
    groups
}

fn group(entry: &Entry) -> Group {
    let record = &entry.service;
    let tags: Vec<&str> = record.tags.iter().map(Text::as_str).collect();
    // Commas around each tag, so that an expression finds a whole one, as with Consul.
    let tags = if tags.is_empty() { String::new() } else { format!(",{},", tags.join(",")) };
    let status = match instance_status(entry.status) {
        InstanceStatus::Healthy => "healthy",
        InstanceStatus::Unhealthy => "unhealthy",
        InstanceStatus::Gone => "gone",
        InstanceStatus::Unknown => "unknown",
    };
    let weight = record.weight.to_string();
    let labels = [
        ("service", record.service.as_str()),
        ("namespace", record.namespace.as_str()),
        ("id", entry.id.as_str()),
        ("node", entry.node.name.as_str()),
        ("datacenter", entry.node.datacenter.as_str()),
        ("zone", entry.node.zone.as_str()),
        ("status", status),
        ("tags", tags.as_str()),
        ("weight", weight.as_str()),
    ];
    let labels = labels.map(|(name, value)| (format!("{PREFIX}{name}"), value.to_owned()));
    let meta = record.meta.iter();
    let meta = meta.map(|(key, value)| (format!("{PREFIX}meta_{}", label(key)), value.to_string()));
    Group {
        targets: [target(&record.address, record.port)],
        labels: labels.into_iter().chain(meta).collect(),
    }
}

/// An address with a port. One of IPv6 stands in brackets.
fn target(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// The characters that a name of a label may have; the others become underscores.
fn label(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use hobnob_membership::view::InstanceStatus as Status;

    use super::*;
    use crate::services::testing::{OWN, instance, of_service, placed, registry};

    #[tokio::test]
    async fn each_instance_is_a_target_with_what_is_known_of_it() {
        let (registry, mut writer) = registry();
        writer.apply(placed("far", "dc2", "z-9", Status::Healthy));
        writer.apply(instance(OWN, "a", Status::Unhealthy));
        writer.apply(of_service("api", "b"));
        writer.publish();
        let all = groups(&registry, &|_| true);
        assert_eq!(all.len(), 3);
        let far = groups(&registry, &|entry| *entry.node.datacenter == *"dc2");
        let labels = &far[0].labels;
        for (name, value) in [
            ("service", "web"),
            ("id", "far"),
            ("status", "healthy"),
            ("datacenter", "dc2"),
            ("meta_tier", "z-9"),
        ] {
            assert_eq!(labels[&format!("{PREFIX}{name}")], value, "{name}");
        }
    }

    #[test]
    fn addresses_and_labels_are_those_that_prometheus_takes() {
        assert_eq!(target("10.0.0.1", 80), "10.0.0.1:80");
        assert_eq!(target("::1", 80), "[::1]:80");
        assert_eq!(label("a.b-c/ü"), "a_b_c__");
    }
}
