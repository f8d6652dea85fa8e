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
        "check": {"id": "api", "tcp": "10.0.0.7:80", "interval": "10s", "timeout": 700_000_000_u64}
    }});
    let camel = json!({"Services": [{
        "Name": "web", "ID": "web-1", "Tags": ["v1"], "Meta": {"version": "2"}, "Address": "10.0.0.7", "Port": 80,
        "Weights": {"Passing": 5, "Warning": 5}, "EnableTagOverride": false, "TaggedAddresses": null,
        "Checks": [{"CheckID": "api", "TCP": "10.0.0.7:80", "Interval": 10_000_000_000_u64, "Timeout": "700ms"}]
    }]});
    let (one, warnings, problems) = parsed(&snake);
    assert_eq!((warnings, problems), (vec![], vec![]));
    assert_eq!((&one, vec![], vec![]), (&parsed(&camel).0, parsed(&camel).1, parsed(&camel).2));
    let made = &one[0];
    assert_eq!((&made["weight"], &made["checks"][0]["name"]), (&json!(5), &json!("api")));
    let check = &made["checks"][0];
    assert_eq!((&check["interval_ms"], &check["timeout_ms"]), (&json!(10_000), &json!(700)));
}

#[test]
fn consul_s_defaults_hold_for_its_checks() {
    let service = json!({"service": {"name": "web", "port": 80, "checks": [
        {"name": "Is it up?", "http": "http://127.0.0.1/", "interval": "5s"}
    ]}});
    let (made, _, problems) = parsed(&service);
    assert_eq!(problems, Vec::<String>::new());
    let check: Check = serde_json::from_value(made[0]["checks"][0].clone()).expect("a check");
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
        (
            json!({"service": {"name": "w", "port": 70_000}}),
            "service.port: `port` takes a whole number",
        ),
        (json!({"service": {"name": "w", "port": 1, "adress": "h"}}), "did you mean `address`?"),
        (
            service("Connect", json!({"SidecarService": {"Port": 1}})),
            "services[0].Connect: there is no service mesh",
        ),
        (service("connect", json!({"sidecar_service": {}})), "connect: there is no service mesh"),
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
        (
            check(json!({"http": "http://h/", "header": ["a"], "interval": "1s"})),
            "check.header: expected an object",
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
fn a_check_at_the_top_belongs_to_the_service_that_it_names() {
    let service = |id: &str| json!({"name": "web", "id": id, "port": 80});
    let tcp = json!({"id": "tcp", "tcp": "h:1", "interval": "1s"});
    let with = |id: &str, key: &str| {
        let mut check = tcp.clone();
        check[key] = json!(id);
        check
    };
    for file in [
        json!({"service": service("web-1"), "check": with("web-1", "service_id")}),
        json!({"Services": [service("web-1")], "Checks": [with("web-1", "ServiceID")]}),
        json!({"service": {"name": "web-1", "port": 80}, "checks": [with("web-1", "service_id")]}),
    ] {
        let (made, warnings, problems) = parsed(&file);
        assert_eq!((warnings, problems), (vec![], vec![]), "{file}");
        assert_eq!(made[0]["checks"][0]["name"], "tcp", "{file}");
    }
    for check in [tcp.clone(), with("api-1", "service_id")] {
        let (_, _, problems) = parsed(&json!({"service": service("web-1"), "check": check}));
        assert!(problems[0].contains("name one there with `service_id`"), "{problems:?}");
    }
}

#[test]
fn a_service_without_a_port_is_told_what_to_add() {
    let (_, _, problems) = parsed(&json!({"service": {"name": "web"}}));
    assert!(problems[0].contains("Add `\"port\": 8080`"), "{problems:?}");
}

#[test]
fn an_error_of_json_has_its_line() {
    let parsed = parse(Path::new("c.json"), "{\n\"service\": {,}}");
    assert!(parsed.problems[0].to_string().starts_with("c.json:2: "), "{:?}", parsed.problems);
}

#[test]
fn every_kind_of_check_has_its_form_here() {
    for (consul, api) in [
        (
            json!({"http": "https://h/", "method": "POST", "header": {"X-Key": ["a", "b"]}, "body": "{}",
                   "tls_server_name": "h.example", "tls_skip_verify": true, "interval": "1s", "timeout": "1s"}),
            json!({"http": {"url": "https://h/", "method": "POST", "headers": {"x-key": "a, b"}, "body": "{}",
                   "tls": {"server_name": "h.example", "skip_verify": true}}}),
        ),
        (json!({"TCP": "h:1", "Interval": "1s"}), json!({"tcp": {"address": "h:1"}})),
        (
            json!({"udp": "h:1", "interval": "1s"}),
            json!({"udp": {"address": "h:1", "silence_passes": true}}),
        ),
        (
            json!({"grpc": "h:1/shop.Cart", "interval": "1s"}),
            json!({"grpc": {"address": "h:1", "service": "shop.Cart"}}),
        ),
        (
            json!({"GRPC": "h:1", "GRPCUseTLS": true, "TLSSkipVerify": true, "interval": "1s"}),
            json!({"grpc": {"address": "h:1", "tls": {"skip_verify": true}}}),
        ),
        (
            json!({"grpc": "h:1", "grpc_use_tls": true, "interval": "1s"}),
            json!({"grpc": {"address": "h:1", "tls": {}}}),
        ),
        (
            json!({"ScriptArgs": ["/bin/check", "-v"], "interval": "1s"}),
            json!({"script": {"args": ["/bin/check", "-v"]}}),
        ),
        (json!({"ttl": "30s"}), json!({"ttl": {"ttl_ms": 30_000}})),
        (json!({"alias_service": "db-1"}), json!({"alias": {"instance": "db-1"}})),
        (json!({"AliasNode": "a2"}), json!({"alias": {"member": "a2"}})),
    ] {
        let (made, warnings, problems) =
            parsed(&json!({"service": {"name": "w", "port": 1, "check": consul.clone()}}));
        assert_eq!((warnings, problems), (vec![], vec![]), "{consul}");
        assert_eq!(made[0]["checks"][0]["probe"], api, "{consul}");
    }
}

#[test]
fn thresholds_count_as_consul_counts_them() {
    let check = |check: Value| {
        let mut all = json!({"ttl": "1s"});
        all.as_object_mut().expect("fields").extend(check.as_object().expect("fields").clone());
        let (made, _, problems) =
            parsed(&json!({"service": {"name": "w", "port": 1, "check": all}}));
        assert_eq!(problems, Vec::<String>::new());
        let check = made[0]["checks"][0].clone();
        serde_json::from_value::<Check>(check).expect("a check")
    };
    let default = check(json!({}));
    assert_eq!((default.success_before_passing, default.failures_before_critical), (1, 1));
    assert_eq!((default.failures_before_warning, default.initial), (None, None));
    let tuned = check(json!({
        "SuccessBeforePassing": 0, "FailuresBeforeWarning": 1, "FailuresBeforeCritical": 3, "Status": "passing",
        "DeregisterCriticalServiceAfter": "90m"
    }));
    assert_eq!((tuned.success_before_passing, tuned.failures_before_critical), (1, 3));
    assert_eq!(tuned.failures_before_warning, Some(1));
    assert_eq!(tuned.initial, Some(hobnob_api::CheckStatus::Passing));
    assert_eq!(tuned.deregister_critical_after_ms, Some(5_400_000));
}

#[test]
fn checks_of_one_name_get_names_of_their_own() {
    let check = json!({"name": "up", "ttl": "1s"});
    let file = json!({"service": {"name": "w", "port": 1, "checks": [check.clone(), check, {"ttl": "1s"}]}});
    let (made, _, _) = parsed(&file);
    let checks = made[0]["checks"].as_array().expect("checks");
    let names: Vec<_> = checks.iter().map(|check| check["name"].clone()).collect();
    assert_eq!(names, ["up", "up-2", "check-3"]);
}
