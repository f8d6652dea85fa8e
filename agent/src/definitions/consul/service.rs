//! A service of Consul, in the form of the API.

use serde_json::{Map, Value, json};

use super::Notes;
use super::check;
use super::object::Object;

/// The keys of a service that count here.
const KEYS: [&str; 11] = [
    "name",
    "id",
    "tags",
    "meta",
    "address",
    "port",
    "weights",
    "check",
    "checks",
    "namespace",
    "partition",
];

/// The value that the API has for a service.
pub(super) fn to_api(service: &mut Object<'_>, notes: &mut Notes) -> Value {
    let mut made = Map::new();
    match service.text("name", notes) {
        Some(name) => drop(made.insert("service".to_owned(), name.into())),
        None => notes.problems.push(format!("{}: `name` is missing", service.path)),
    }
    for key in ["id", "address", "namespace"] {
        if let Some(text) = service.text(key, notes) {
            made.insert(key.to_owned(), text.into());
        }
    }
    match service.number("port", notes) {
        Some(port) if port > 0 => drop(made.insert("port".to_owned(), port.into())),
        _ => notes.problems.push(format!(
            "{}: `port` is missing: an instance is where clients connect to, an address and a port. Add `\"port\": 8080`, or the port that it has",
            service.path
        )),
    }
    if let Some(tags) = service.texts("tags", notes) {
        made.insert("tags".to_owned(), tags.into());
    }
    if let Some((_, meta)) = service.take("meta") {
        made.insert("meta".to_owned(), meta.clone());
    }
    if let Some(weight) = weight(service, notes) {
        made.insert("weight".to_owned(), weight.into());
    }
    if service.text("partition", notes).is_some_and(|partition| partition != "default") {
        notes.problems.push(format!("{}.partition: there are no partitions", service.path));
    }
    unsupported(service, notes);
    let checks = checks(service, notes);
    if !checks.is_empty() {
        made.insert("checks".to_owned(), checks.into());
    }
    service.refuse_rest(&KEYS, notes);
    Value::Object(made)
}

fn weight(service: &mut Object<'_>, notes: &mut Notes) -> Option<u64> {
    let (path, value) = service.take("weights")?;
    let mut weights = Object::of(&path, value, notes)?;
    let passing = weights.number("passing", notes);
    if let Some(warning) = weights.number("warning", notes)
        && warning != passing.unwrap_or(1)
    {
        notes.warnings.push(format!(
            "{path}.warning has no effect: an instance keeps its weight while a check warns"
        ));
    }
    weights.refuse_rest(&["passing", "warning"], notes);
    passing
}

fn unsupported(service: &mut Object<'_>, notes: &mut Notes) {
    for (key, why) in [
        ("tagged_addresses", "an instance has one address: `address`"),
        ("socket_path", "an instance has an address and a port"),
        ("connect", "there is no service mesh"),
        ("proxy", "there is no service mesh"),
        ("ports", "an instance has one port: `port`"),
    ] {
        service.refuse(key, why, notes);
    }
    if service.text("kind", notes).is_some_and(|kind| kind != "typical") {
        notes.problems.push(format!("{}.kind: there is no service mesh", service.path));
    }
    for (key, why) in [
        ("token", "the token of the agent says what it may serve"),
        ("enable_tag_override", "only the agent of an instance changes it"),
        ("locality", "the datacenter and the zone of the agent count"),
    ] {
        service.ignore(key, why, notes);
    }
}

/// `check` and `checks`, with a name of its own for each.
fn checks(service: &mut Object<'_>, notes: &mut Notes) -> Vec<Value> {
    let mut values = Vec::new();
    if let Some((path, value)) = service.take("check") {
        values.push((path, value));
    }
    if let Some((path, value)) = service.take("checks") {
        match value.as_array() {
            Some(items) => {
                let items = items.iter().enumerate();
                values.extend(items.map(|(place, item)| (format!("{path}[{place}]"), item)));
            }
            None => notes.problems.push(format!("{path}: expected a list of checks")),
        }
    }
    let mut made: Vec<Value> = Vec::new();
    for (path, value) in values {
        let Some(mut object) = Object::of(&path, value, notes) else { continue };
        let Some(mut check) = check::to_api(&mut object, notes) else { continue };
        let wanted = check["name"].as_str().map(str::to_owned);
        let wanted = wanted.unwrap_or_else(|| match made.len() {
            0 => "check".to_owned(),
            place => format!("check-{}", place + 1),
        });
        let is_taken = |name: &str| made.iter().any(|other| other["name"] == name);
        let names = std::iter::once(wanted.clone()).chain((2..).map(|n| format!("{wanted}-{n}")));
        let name = names.into_iter().find(|name| !is_taken(name)).unwrap_or(wanted);
        check["name"] = json!(name);
        made.push(check);
    }
    made
}
