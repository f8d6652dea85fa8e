//! Checks beside the services of a file that name one of them: Consul has them at the top, with a `service_id`.

use serde_json::{Map, Value};

/// Moves each check that names a service of the same file into that service. The others stay, and are refused.
pub(super) fn assign(file: &mut Value) {
    let Some(fields) = file.as_object_mut() else { return };
    for (key, is_list) in [("check", false), ("checks", true)] {
        let Some(name) = find(fields, key) else { continue };
        let Some(given) = fields.remove(&name) else { continue };
        let checks = match given {
            Value::Array(checks) if is_list => checks,
            other => vec![other],
        };
        let rest: Vec<Value> = checks.into_iter().filter_map(|it| move_in(fields, it)).collect();
        match (rest.len(), is_list) {
            (0, _) => {}
            (1, false) => drop(fields.insert(name, rest.into_iter().next().unwrap_or_default())),
            _ => drop(fields.insert(name, Value::Array(rest))),
        }
    }
}

/// Moves a check into the service that it names. Returns it if it names none of the file.
fn move_in(fields: &mut Map<String, Value>, mut check: Value) -> Option<Value> {
    let named = check.as_object().and_then(|check| {
        let key = find(check, "service_id")?;
        Some((key.clone(), check.get(&key)?.as_str()?.to_owned()))
    });
    let Some((key, id)) = named else { return Some(check) };
    let Some(service) = service_named(fields, &id) else { return Some(check) };
    if let Some(check) = check.as_object_mut() {
        check.remove(&key);
    }
    let checks = find(service, "checks").unwrap_or_else(|| "checks".to_owned());
    match service.entry(checks).or_insert_with(|| Value::Array(Vec::new())) {
        Value::Array(checks) => checks.push(check),
        // It is refused as it is.
        _ => return Some(check),
    }
    None
}

/// The service with this id. A service without one has its name as id.
fn service_named<'a>(
    fields: &'a mut Map<String, Value>,
    id: &str,
) -> Option<&'a mut Map<String, Value>> {
    let services = fields.iter_mut().flat_map(|(key, value)| match &*key.to_ascii_lowercase() {
        "service" => vec![value],
        "services" => value.as_array_mut().into_iter().flatten().collect(),
        _ => Vec::new(),
    });
    let mut services = services.filter_map(Value::as_object_mut);
    services.find(|service| {
        let own = find(service, "id").or_else(|| find(service, "name"));
        own.and_then(|own| service.get(&own)).and_then(Value::as_str) == Some(id)
    })
}

/// The key of an object that means this one, in either spelling.
fn find(fields: &Map<String, Value>, key: &str) -> Option<String> {
    let plain = |key: &str| key.replace('_', "").to_ascii_lowercase();
    fields.keys().find(|known| plain(known) == plain(key)).cloned()
}
