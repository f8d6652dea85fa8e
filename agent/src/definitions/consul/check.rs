//! A check of Consul, in the form of the API.

use serde_json::{Map, Value, json};

use super::Notes;
use super::object::Object;

/// The keys of a check that count here.
const KEYS: [&str; 24] = [
    "name",
    "check_id",
    "status",
    "args",
    "http",
    "method",
    "header",
    "body",
    "tcp",
    "udp",
    "grpc",
    "grpc_use_tls",
    "ttl",
    "alias_service",
    "alias_node",
    "interval",
    "timeout",
    "tls_server_name",
    "tls_skip_verify",
    "success_before_passing",
    "failures_before_warning",
    "failures_before_critical",
    "deregister_critical_service_after",
    "notes",
];

/// Consul's timeout of a probe.
const TIMEOUT_MS: u64 = 10_000;
/// Consul's timeout of a script.
const SCRIPT_TIMEOUT_MS: u64 = 30_000;

/// The value that the API has for a check; `None` when it has no probe that could run.
pub(super) fn to_api(check: &mut Object<'_>, notes: &mut Notes) -> Option<Value> {
    let mut made = Map::new();
    let given = [check.text("check_id", notes), check.text("id", notes), check.text("name", notes)];
    if let Some(name) = given.into_iter().flatten().next() {
        made.insert("name".to_owned(), plain_name(&name).into());
    }
    let probes = probes(check, notes);
    thresholds(check, &mut made, notes);
    unsupported(check, notes);
    let (interval, timeout) = (check.millis("interval", notes), check.millis("timeout", notes));
    let path = check.path.clone();
    check.refuse_rest(&KEYS, notes);
    let [(kind, probe)] = &probes[..] else {
        let what = if probes.is_empty() {
            "there is nothing to check: name one of http, tcp, udp, grpc, args, ttl, alias_service and alias_node".to_owned()
        } else {
            let kinds: Vec<_> = probes.iter().map(|(kind, _)| *kind).collect();
            format!("{} are given together: make a check of each", kinds.join(" and "))
        };
        notes.problems.push(format!("{path}: {what}"));
        return None;
    };
    made.insert("probe".to_owned(), probe.clone());
    if !matches!(*kind, "ttl" | "alias") {
        match interval {
            Some(interval) => drop(made.insert("interval_ms".to_owned(), interval.into())),
            None => notes.problems.push(format!("{path}: `interval` is missing")),
        }
        let default = if *kind == "args" { SCRIPT_TIMEOUT_MS } else { TIMEOUT_MS };
        made.insert(
            "timeout_ms".to_owned(),
            timeout.filter(|ms| *ms > 0).unwrap_or(default).into(),
        );
    }
    Some(Value::Object(made))
}

/// Each probe that is given, with the key that asks for it.
fn probes(check: &mut Object<'_>, notes: &mut Notes) -> Vec<(&'static str, Value)> {
    let mut probes = Vec::new();
    let tls = tls(check, notes);
    let http = (check.text("method", notes), headers(check, notes), check.text("body", notes));
    if let Some(url) = check.text("http", notes) {
        let mut probe = json!({ "url": url });
        let (method, headers, body) = http;
        set(&mut probe, "method", method.map(Value::from));
        set(&mut probe, "headers", headers);
        set(&mut probe, "body", body.map(Value::from));
        set(&mut probe, "tls", tls.clone());
        probes.push(("http", json!({ "http": probe })));
    }
    if let Some(address) = check.text("tcp", notes) {
        probes.push(("tcp", json!({ "tcp": { "address": address } })));
    }
    if let Some(address) = check.text("udp", notes) {
        // Consul takes silence until the timeout for a success.
        probes.push(("udp", json!({ "udp": { "address": address, "silence_passes": true } })));
    }
    let uses_tls = check.flag("grpc_use_tls", notes);
    if let Some(target) = check.text("grpc", notes) {
        let (address, service) = target.split_once('/').unwrap_or((&target, ""));
        let mut probe = json!({ "address": address });
        set(&mut probe, "service", (!service.is_empty()).then(|| service.into()));
        set(&mut probe, "tls", uses_tls.then(|| tls.clone().unwrap_or_else(|| json!({}))));
        probes.push(("grpc", json!({ "grpc": probe })));
    }
    let args = [check.texts("args", notes), check.texts("script_args", notes)];
    if let Some(args) = args.into_iter().flatten().next() {
        probes.push(("args", json!({ "script": { "args": args } })));
    }
    if let Some(ttl_ms) = check.millis("ttl", notes).filter(|ms| *ms > 0) {
        probes.push(("ttl", json!({ "ttl": { "ttl_ms": ttl_ms } })));
    }
    match (check.text("alias_service", notes), check.text("alias_node", notes)) {
        (Some(id), None) => probes.push(("alias", json!({ "alias": { "instance": id } }))),
        (None, Some(name)) => probes.push(("alias", json!({ "alias": { "member": name } }))),
        (Some(_), Some(_)) => notes.problems.push(format!(
            "{}.alias_node: an alias follows an instance of this agent or a member, not an instance of another agent",
            check.path
        )),
        (None, None) => {}
    }
    probes
}

/// How a server is verified; `None` for the usual way.
fn tls(check: &mut Object<'_>, notes: &mut Notes) -> Option<Value> {
    let (name, skip) = (check.text("tls_server_name", notes), check.flag("tls_skip_verify", notes));
    let mut tls = json!({});
    set(&mut tls, "server_name", name.map(Value::from));
    set(&mut tls, "skip_verify", skip.then_some(Value::Bool(true)));
    (tls != json!({})).then_some(tls)
}

/// `header`: a list of values for each name.
fn headers(check: &mut Object<'_>, notes: &mut Notes) -> Option<Value> {
    let (path, value) = check.take("header")?;
    let mut headers = Map::new();
    let Some(fields) = value.as_object() else {
        notes.problems.push(format!("{path}: expected an object"));
        return None;
    };
    for (name, values) in fields {
        let values = match values {
            Value::String(text) => Some(text.clone()),
            Value::Array(items) => {
                let items: Option<Vec<_>> = items.iter().map(Value::as_str).collect();
                items.map(|items| items.join(", "))
            }
            _ => None,
        };
        match values {
            Some(values) => drop(headers.insert(name.to_ascii_lowercase(), values.into())),
            None => notes.problems.push(format!("{path}.{name}: expected a list of texts")),
        }
    }
    (!headers.is_empty()).then_some(Value::Object(headers))
}

fn thresholds(check: &mut Object<'_>, made: &mut Map<String, Value>, notes: &mut Notes) {
    // To Consul, 0 and 1 are one: the first result counts. Without a number, that is its default.
    let passing = check.number("success_before_passing", notes).unwrap_or(1).max(1);
    let critical = check.number("failures_before_critical", notes).unwrap_or(1).max(1);
    made.insert("success_before_passing".to_owned(), passing.into());
    made.insert("failures_before_critical".to_owned(), critical.into());
    if let Some(warning) = check.number("failures_before_warning", notes)
        && warning.max(1) < critical
    {
        made.insert("failures_before_warning".to_owned(), warning.max(1).into());
    }
    match check.text("status", notes).as_deref() {
        None => {}
        Some(status @ ("passing" | "warning" | "critical")) => {
            made.insert("initial".to_owned(), status.into());
        }
        Some(other) => notes.problems.push(format!(
            "{}.status: expected passing, warning or critical, not `{other}`",
            check.path
        )),
    }
    if let Some(after) =
        check.millis("deregister_critical_service_after", notes).filter(|ms| *ms > 0)
    {
        made.insert("deregister_critical_after_ms".to_owned(), after.into());
    }
}

fn unsupported(check: &mut Object<'_>, notes: &mut Notes) {
    for (key, why) in [
        ("script", "give the program and its arguments as a list: `args`"),
        ("tcp_use_tls", "a TCP check speaks no TLS; use `http` with an https:// URL"),
        ("h2ping", "there is no check by HTTP/2 ping; use `http`, `grpc` or `tcp`"),
        (
            "docker_container_id",
            "there are no checks within containers; use `http`, `tcp` or `args`",
        ),
        ("os_service", "there are no checks of services of the system; use `args`"),
        ("service_id", "a check belongs to the service that it stands in"),
    ] {
        check.refuse(key, why, notes);
    }
    for (key, why) in [
        ("token", "the agent needs none"),
        ("output_max_size", "the output has one limit for all checks"),
        ("shell", "it is for checks within containers"),
        ("disable_redirects", "redirects are never followed"),
    ] {
        check.ignore(key, why, notes);
    }
    for key in ["notes", "h2ping_use_tls", "namespace", "partition", "enterprise_meta"] {
        check.skip(key);
    }
}

fn set(object: &mut Value, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        object[key] = value;
    }
}

/// A name as this agent takes it: no spaces and no commas.
pub(super) fn plain_name(name: &str) -> String {
    let name = name.replace(|c: char| c.is_whitespace() || c == ',' || c.is_control(), "-");
    name.chars().take(64).collect()
}
