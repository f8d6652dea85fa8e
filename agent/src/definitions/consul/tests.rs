use serde_json::json;

use super::*;

fn parsed(value: &Value) -> (Vec<Value>, Vec<String>, Vec<String>) {
    let Parsed { definitions, warnings, problems } = parse(Path::new("c.json"), &value.to_string());
    let told = |all: Vec<Problem>| all.iter().map(ToString::to_string).collect();
    let made = definitions
        .iter()
        .map(|one| serde_json::to_value(&one.registration).expect("JSON"))
        .collect();
    (made, told(warnings), told(problems))
}

#[test]
fn both_spellings_make_one_registration() {
    let snake = json!({"service": {
        "name": "web", "id": "web-1", "tags": ["v1"], "meta": {"version": "2"}, "address": "10.0.0.7", "port": 80,
        "weights": {"passing": 5, "warning": 5},
        "check": {"id": "api", "tcp": "10.0.0.7:80", "interval": "10s", "timeout": 500_000_000_u64}
    }});
    let camel = json!({"Services": [{
        "Name": "web", "ID": "web-1", "Tags": ["v1"], "Meta": {"version": "2"}, "Address": "10.0.0.7", "Port": 80,
        "Weights": {"Passing": 5, "Warning": 5}, "EnableTagOverride": false, "TaggedAddresses": null,
        "Checks": [{"CheckID": "api", "TCP": "10.0.0.7:80", "Interval": 10_000_000_000_u64, "Timeout": "500ms"}]
    }]});
    let (one, warnings, problems) = parsed(&snake);
    assert_eq!((warnings, problems), (vec![], vec![]));
    assert_eq!((&one, vec![], vec![]), (&parsed(&camel).0, parsed(&camel).1, parsed(&camel).2));
    let made = &one[0];
    assert_eq!((&made["weight"], &made["checks"][0]["name"]), (&json!(5), &json!("api")));
    let check = &made["checks"][0];
    assert_eq!((&check["interval_ms"], &check["timeout_ms"]), (&json!(10_000), &json!(500)));
}

#[test]
fn consul_s_defaults_hold_for_its_checks() {
    let service = json!({"service": {"name": "web", "port": 80, "checks": [
        {"name": "Is it up?", "http": "http://127.0.0.1/", "interval": "5s"}
    ]}});
    let (made, _, problems) = parsed(&service);
    assert_eq!(problems, Vec::<String>::new());
    let check: hobnob_api::Check =
        serde_json::from_value(made[0]["checks"][0].clone()).expect("a check");
    assert_eq!((check.name.as_str(), check.timeout_ms), ("Is-it-up?", 10_000));
    assert_eq!(check.success_before_passing, 1);
}

#[test]
fn what_would_change_something_is_refused_and_the_rest_is_warned_of() {
    let check = |check: Value| json!({"service": {"name": "w", "port": 1, "check": check}});
    let service = |key: &str, value: Value| {
        let mut service = json!({"name": "w", "port": 1});
        service[key] = value;
        json!({"services": [service]})
    };
    for (file, says) in [
        (json!([]), "no object with `service`"),
        (json!({}), "neither `service` nor `services`"),
        (json!({"servces": []}), "did you mean `services`?"),
        (json!({"services": {}}), "services: expected a list"),
        (json!({"service": {"port": 1}}), "service: `name` is missing"),
        (json!({"service": {"name": "w"}}), "service: `port` is missing"),
        (json!({"service": {"name": "w", "port": 70_000}}), "service.port: invalid value"),
        (json!({"service": {"name": "w", "port": 1, "adress": "h"}}), "did you mean `address`?"),
        (
            service("Connect", json!({"SidecarService": {"Port": 1}})),
            "services[0].Connect: there is no service mesh",
        ),
        (service("tagged_addresses", json!({"wan": {"address": "h"}})), "has one address"),
        (service("kind", json!("connect-proxy")), "service mesh"),
        (check(json!({"interval": "1s"})), "service.check: there is nothing to check"),
        (check(json!({"tcp": "h:1"})), "`interval` is missing"),
        (
            check(json!({"tcp": "h:1", "http": "http://h/", "interval": "1s"})),
            "http and tcp are given together",
        ),
        (
            check(json!({"tcp": "h:1", "interval": "soon"})),
            "service.check.interval: expected a duration",
        ),
        (
            check(json!({"tcp": "h:1", "interval": "1s", "intervl": "2s"})),
            "did you mean `interval`?",
        ),
        (check(json!({"h2ping": "h:1", "interval": "1s"})), "HTTP/2 ping"),
        (
            check(json!({"tcp": "h:1", "interval": "1s", "Status": "good"})),
            "expected passing, warning or critical",
        ),
        (check(json!({"tcp": "h:1", "Interval": "1s", "interval": "1s"})), "both spellings"),
    ] {
        let (made, _, problems) = parsed(&file);
        assert!(made.is_empty(), "{file}");
        assert!(problems.iter().any(|told| told.contains(says)), "{file}: {problems:?}");
        assert!(problems.iter().all(|told| told.starts_with("c.json: ")), "{problems:?}");
    }
    let (made, warnings, problems) = parsed(&service("Token", json!("secret")));
    assert_eq!((made.len(), problems.len()), (1, 0));
    assert!(warnings[0].starts_with("c.json: services[0].Token has no effect"), "{warnings:?}");
    assert!(!warnings[0].contains("secret"));
}

#[test]
fn an_error_of_json_has_its_line() {
    let parsed = parse(Path::new("c.json"), "{\n\"service\": {,}}");
    assert!(parsed.problems[0].to_string().starts_with("c.json:2: "), "{:?}", parsed.problems);
}
