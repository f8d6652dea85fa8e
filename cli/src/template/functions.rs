//! The functions that templates ask by, and the values that they get.

use std::collections::{BTreeMap, BTreeSet};
use std::env::{self, VarError};
use std::sync::Arc;

use hobnob_api::address::HostPort;
use hobnob_api::balancer::Selector;
use hobnob_api::{DEFAULT_NAMESPACE, Datacenters, Grade, Instance, InstanceStatus, Member, names};
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::render::Rendering;
use super::topic::{Known, ServiceKey, Topic};
use crate::output;

/// `service(name, tag=, dc=, namespace=, selector=, healthy=, all=)`: the instances that a pick may choose.
pub(super) fn service(
    rendering: &Rendering,
    service: &str,
    options: &Kwargs,
) -> Result<Value, Error> {
    let wanted = Wanted::read(options)?;
    let namespace: Option<String> = options.get("namespace")?;
    options.assert_all_used()?;
    let namespace = namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    for (field, name) in [("service", service), ("namespace", &namespace)] {
        names::check(field, name).map_err(|error| wrong(error.to_string()))?;
    }
    let key = ServiceKey { namespace, service: service.to_owned() };
    let topic = Topic::Service(key.clone());
    rendering.asks(topic.clone());
    let known = rendering.view.get(&Topic::Services).or_else(|| rendering.view.get(&topic));
    let services = match known {
        Some(Ok(Known::Services(services))) => services,
        Some(Err(refusal)) => return Err(wrong(refusal.clone())),
        Some(Ok(Known::Members(_))) | None => {
            rendering.misses();
            return Ok(Value::from(Vec::<Value>::new()));
        }
    };
    let all = services.get(&key).map(Vec::as_slice).unwrap_or_default();
    let found = wanted.among(all);
    rendering.note(|notes| {
        if found.is_empty() {
            notes.without_instances.insert(service.to_owned());
        } else if !wanted.all && found.iter().all(|one| one.status != InstanceStatus::Healthy) {
            notes.not_healthy.insert(service.to_owned());
        }
    });
    Ok(found.into_iter().map(instance).collect())
}

/// `services()`: all services of all namespaces, by namespace and name.
pub(super) fn services(rendering: &Rendering) -> Result<Value, Error> {
    rendering.asks(Topic::Services);
    match rendering.view.get(&Topic::Services) {
        Some(Ok(Known::Services(services))) => {
            Ok(services.iter().map(|(key, instances)| summary(key, instances)).collect())
        }
        Some(Err(refusal)) => Err(wrong(refusal.clone())),
        Some(Ok(Known::Members(_))) | None => {
            rendering.misses();
            Ok(Value::from(Vec::<Value>::new()))
        }
    }
}

/// `members(dc=)`: the members that are not gone for good, by name.
pub(super) fn members(rendering: &Rendering, options: &Kwargs) -> Result<Value, Error> {
    let datacenters = datacenters(options)?;
    options.assert_all_used()?;
    rendering.asks(Topic::Members);
    match rendering.view.get(&Topic::Members) {
        Some(Ok(Known::Members(members))) => {
            let within = members.iter().filter(|one| datacenters.contains(&one.datacenter));
            Ok(within.map(member).collect())
        }
        Some(Err(refusal)) => Err(wrong(refusal.clone())),
        Some(Ok(Known::Services(_))) | None => {
            rendering.misses();
            Ok(Value::from(Vec::<Value>::new()))
        }
    }
}

/// `env(name, default=)`: a variable of this process.
pub(super) fn env(name: &str, options: &Kwargs) -> Result<Value, Error> {
    let default: Option<Value> = options.get("default")?;
    options.assert_all_used()?;
    match (env::var(name), default) {
        (Ok(value), _) => Ok(value.into()),
        (Err(VarError::NotPresent), Some(default)) => Ok(default),
        (Err(VarError::NotPresent), None) => {
            Err(wrong(format!("the variable `{name}` is not set: set it, or give env() a default")))
        }
        (Err(VarError::NotUnicode(_)), _) => {
            Err(wrong(format!("the variable `{name}` is not text in UTF-8")))
        }
    }
}

/// The instances that a template wants of a service.
struct Wanted {
    tags: BTreeSet<String>,
    datacenters: Datacenters,
    selector: Selector,
    /// Only healthy ones, also when none is left.
    healthy: bool,
    /// Those that are not offered, too.
    all: bool,
}

impl Wanted {
    fn read(options: &Kwargs) -> Result<Self, Error> {
        let selector: Option<String> = options.get("selector")?;
        let selector = selector.unwrap_or_default().parse();
        let wanted = Self {
            tags: texts(options, "tag")?.into_iter().collect(),
            datacenters: datacenters(options)?,
            selector: selector.map_err(|error| wrong(format!("{error}")))?,
            healthy: options.get::<Option<bool>>("healthy")?.unwrap_or_default(),
            all: options.get::<Option<bool>>("all")?.unwrap_or_default(),
        };
        if wanted.healthy && wanted.all {
            return Err(wrong("service() takes healthy=true or all=true, not both"));
        }
        Ok(wanted)
    }

    /// As a pick chooses: of those that match, the best that there are.
    fn among<'i>(&self, all: &'i [Arc<Instance>]) -> Vec<&'i Instance> {
        let within: Vec<&Instance> =
            all.iter().map(|one| &**one).filter(|one| self.matches(one)).collect();
        if self.all {
            return within;
        }
        let offered = Grade::offered(within.iter().map(|one| one.grade()), self.healthy);
        within.into_iter().filter(|one| Grade::is_offered(one.grade(), offered)).collect()
    }

    /// Metadata are labels; a tag is a label with an empty value.
    fn matches(&self, instance: &Instance) -> bool {
        let label = |name: &str| {
            let tag = || instance.tags.contains(name).then_some("");
            instance.meta.get(name).map(String::as_str).or_else(tag)
        };
        self.tags.is_subset(&instance.tags)
            && self.datacenters.contains(&instance.datacenter)
            && self.selector.matches(label)
    }
}

/// An argument that is a text or a list of texts.
fn texts(options: &Kwargs, name: &str) -> Result<Vec<String>, Error> {
    let Some(value) = options.get::<Option<Value>>(name)? else { return Ok(Vec::new()) };
    let text = |value: &Value| match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(wrong(format!("{name}= takes a text or a list of texts, not {value:?}"))),
    };
    match value.kind() {
        ValueKind::Seq => value.try_iter()?.map(|value| text(&value)).collect(),
        _ => Ok(vec![text(&value)?]),
    }
}

/// The argument `dc`: the names of datacenters, in a list or separated by commas.
fn datacenters(options: &Kwargs) -> Result<Datacenters, Error> {
    let names = texts(options, "dc")?.join(",");
    if names.is_empty() {
        return Ok(Datacenters::All);
    }
    names
        .parse()
        .map_err(|_| wrong("dc= takes 1 to 64 datacenters, such as \"eu\" or [\"eu\", \"us\"]"))
}

fn wrong(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, text.into())
}

/// The word for something, as JSON has it.
fn word(value: &impl serde::Serialize) -> String {
    let word = serde_json::to_value(value).unwrap_or_default();
    word.as_str().unwrap_or_default().to_owned()
}

/// Nothing here changes with time alone, so that a text differs only when something happened.
fn instance(instance: &Instance) -> Value {
    let fields: BTreeMap<&str, Value> = BTreeMap::from([
        ("id", Value::from(&instance.id)),
        ("service", Value::from(&instance.service)),
        ("namespace", Value::from(&instance.namespace)),
        ("address", Value::from(&instance.address)),
        ("port", Value::from(instance.port)),
        ("endpoint", Value::from(output::endpoint(&instance.address, instance.port))),
        ("tags", instance.tags.iter().map(Value::from).collect()),
        ("meta", texts_by_name(&instance.meta)),
        ("weight", Value::from(instance.weight)),
        ("member", Value::from(&instance.node)),
        ("node_id", Value::from(instance.node_id.to_string())),
        ("dc", Value::from(&instance.datacenter)),
        ("zone", Value::from(&instance.zone)),
        ("status", Value::from(output::status_word(instance.status))),
        ("basis", Value::from(word(&instance.basis))),
        ("offered", Value::from(instance.offered)),
        ("draining", Value::from(instance.draining)),
    ]);
    Value::from(fields)
}

fn texts_by_name(texts: &BTreeMap<String, String>) -> Value {
    let texts: BTreeMap<String, Value> =
        texts.iter().map(|(name, text)| (name.clone(), Value::from(text))).collect();
    Value::from(texts)
}

fn summary(key: &ServiceKey, instances: &[Arc<Instance>]) -> Value {
    let healthy = instances.iter().filter(|one| one.status == InstanceStatus::Healthy).count();
    let tags: BTreeSet<&String> = instances.iter().flat_map(|one| &one.tags).collect();
    let fields: BTreeMap<&str, Value> = BTreeMap::from([
        ("name", Value::from(&key.service)),
        ("namespace", Value::from(&key.namespace)),
        ("instances", Value::from(instances.len())),
        ("healthy", Value::from(healthy)),
        ("tags", tags.into_iter().map(Value::from).collect()),
    ]);
    Value::from(fields)
}

fn member(member: &Member) -> Value {
    // Empty while only its records are left.
    let address = member.gossip_address.parse::<HostPort>();
    let host = address.map(|address| address.host.as_str().to_owned()).unwrap_or_default();
    let (status, _) = output::member_status(member.status);
    let fields: BTreeMap<&str, Value> = BTreeMap::from([
        ("name", Value::from(&member.name)),
        ("node_id", Value::from(member.node_id.to_string())),
        ("address", Value::from(host)),
        ("gossip_address", Value::from(&member.gossip_address)),
        ("status", Value::from(status)),
        ("dc", Value::from(&member.datacenter)),
        ("zone", Value::from(&member.zone)),
    ]);
    Value::from(fields)
}
