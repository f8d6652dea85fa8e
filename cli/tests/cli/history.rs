//! `hobnob history` and `hobnob services --local` against an agent that answers from a script.

use hobnob_api::{
    ByKind, EventBy, EventKind, History, HistoryEvent, Maintenance, RegisteredBy, Registrations,
    Request, Response,
};
use serde_json::{Value, json};

use crate::support::{ScriptedAgent, stderr, stdout};

fn event(what: EventKind) -> HistoryEvent {
    HistoryEvent {
        number: 7,
        at: "2026-11-29T03:00:00.007Z".to_owned(),
        what,
        by: EventBy { kind: ByKind::Client, uid: Some(1_000), ..EventBy::default() },
        instance: Some("web-1".to_owned()),
        service: Some("web".to_owned()),
        check: None,
        member: None,
        datacenter: None,
        from: None,
        to: None,
        why: Some("new disk\u{1b}[31m".to_owned()),
        count: 1,
        last_at: None,
    }
}

fn history(events: Vec<HistoryEvent>, did_you_mean: Option<&str>) -> Vec<Vec<Response>> {
    let history = History {
        revision: 1,
        isolated: false,
        member: "a1".to_owned(),
        events,
        more: false,
        did_you_mean: did_you_mean.map(str::to_owned),
    };
    vec![vec![Response::History(Box::new(history))]]
}

#[test]
fn history_asks_for_what_was_typed_and_prints_a_line_for_each_event() {
    let agent = ScriptedAgent::start(history(vec![event(EventKind::MaintenanceOn)], None));
    let (output, requests) = agent.run(&["history", "web", "--since", "2d", "-n", "5"]);
    let Request::History(query) = &requests[0] else { panic!("{requests:?}") };
    assert_eq!(query.subject.as_deref(), Some("web"));
    assert_eq!((query.since_ms, query.limit), (Some(2 * 86_400_000), Some(5)));
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line = text.lines().nth(1).unwrap();
    assert!(line.starts_with("2026-11-29T03:00:00.007Z  maintenance_on  web-1 "), "{text}");
    assert!(line.contains("uid 1000") && line.contains("new disk"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn history_prints_the_object_of_the_api() {
    let agent = ScriptedAgent::start(history(vec![event(EventKind::MaintenanceOn)], None));
    let (output, _) = agent.run(&["history", "--json"]);
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        answer,
        json!({ "revision": 1, "isolated": false, "member": "a1", "events": [{
            "number": 7, "at": "2026-11-29T03:00:00.007Z", "what": "maintenance_on",
            "actor": { "kind": "client", "uid": 1000 }, "instance": "web-1", "service": "web",
            "why": "new disk\u{1b}[31m"
        }] })
    );
}

#[test]
fn history_of_nothing_exits_with_3_and_names_what_was_meant() {
    let (output, _) = ScriptedAgent::start(history(vec![], Some("web"))).run(&["history", "wbe"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(3), ""));
    assert_eq!(stderr(&output), "error: `a1` has no event of `wbe`\nhelp: did you mean `web`?\n");
    let (output, _) = ScriptedAgent::start(history(vec![], None)).run(&["history", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("\"events\":[]"));
}

#[test]
fn history_refuses_a_time_without_a_unit() {
    let output = crate::support::hobnob(&["history", "--since", "60"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("such as 30m, 1h or 2d"), "{}", stderr(&output));
}

fn registrations(ids: &[&str], more: bool) -> Vec<Response> {
    let local = |id: &&str| {
        let check = serde_json::from_value(json!({
            "name": "http", "kind": "http", "status": "critical", "target": "http://127.0.0.1:8001/",
            "interval_ms": 1_000, "output": "503 Service Unavailable", "changed_ago_ms": 5
        }));
        let check = check.unwrap();
        let by = RegisteredBy {
            uid: 1_000,
            pid: Some(42),
            at_ms: 1_700_000_000_007,
            agent: None,
            file: None,
        };
        hobnob_api::LocalRegistration {
            instance: crate::commands::instance(id, hobnob_api::InstanceStatus::Unhealthy),
            hidden: None,
            health: "failing".to_owned(),
            checks: vec![check],
            maintenance: None,
            drain: None,
            registered_by: Some(by),
            since: Some("2023-11-14T22:13:20.007Z".to_owned()),
            restored: true,
            version: 3,
            health_version: Some(4),
        }
    };
    let maintenance =
        Maintenance { reason: "kernel".to_owned(), since: "2026-11-29T03:00:00.000Z".to_owned() };
    vec![Response::Registrations(Box::new(Registrations {
        revision: 1,
        isolated: false,
        member: "a1".to_owned(),
        maintenance: Some(maintenance),
        registrations: ids.iter().map(local).collect(),
        more,
    }))]
}

#[test]
fn services_local_asks_page_after_page_and_shows_everything() {
    let pages = vec![registrations(&["web-1", "web-2"], true), registrations(&["web-3"], false)];
    let (output, requests) = ScriptedAgent::start(pages).run(&["services", "--local"]);
    let after: Vec<_> = requests
        .iter()
        .map(|request| match request {
            Request::Registrations { namespace: None, after } => after.as_deref(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(after, [None, Some("web-2")]);
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 4, "{text}");
    let parts =
        ["web-1", "unhealthy", "http critical: 503", "uid 1000, pid 42, restored", "2023-11-14T22"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    let told =
        "`a1` is in maintenance with all of its instances since 2026-11-29T03:00:00.000Z: kernel\n";
    assert_eq!(stderr(&output), told);
}

#[test]
fn services_local_prints_the_object_of_the_api() {
    let agent = ScriptedAgent::start(vec![registrations(&["web-1"], false)]);
    let (output, _) = agent.run(&["services", "--local", "--json"]);
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(answer["maintenance"]["reason"], "kernel");
    let one = &answer["registrations"][0];
    assert_eq!((&one["instance"], &one["record_version"]), (&json!("web-1"), &json!(3)));
    assert_eq!(one["checks"][0]["output"], "503 Service Unavailable");
    assert_eq!(one["registered_by"]["pid"], 42);
    assert_eq!(one["restored"], true);
}

#[test]
fn services_local_of_an_empty_namespace_exits_with_3() {
    let agent = ScriptedAgent::start(vec![registrations(&[], false)]);
    let (output, _) = agent.run(&["services", "--local", "--namespace", "none"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("nothing is registered with `a1` in namespace `none`"));
}
