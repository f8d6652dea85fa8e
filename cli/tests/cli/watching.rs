//! `hobnob watch --all` and `--members` against an agent that answers from a script.

use crate::support::{ScriptedAgent, stderr, stdout};
use hobnob_api::{
    Changes, Consistency, Instance, Instances, LostTogether, MassLoss, Member, MemberChange,
    MemberChanges, MemberEventKind, Members, NodeId, Request, Response, WatchAllQuery,
    WatchMembersQuery,
};
use serde_json::{Value, json};

fn member(name: &str, status: &str) -> Member {
    let member = json!({
        "name": name, "node_id": format!("{:016x}", name.len()), "gossip_address": "10.0.0.1:7946",
        "status": status, "datacenter": "dc1", "zone": "", "epoch": 7,
    });
    serde_json::from_value(member).unwrap()
}

fn instance(service: &str, id: &str) -> Instance {
    let instance = json!({
        "service": service, "id": id, "node": "a1", "node_id": NodeId(1), "datacenter": "dc1", "zone": "",
        "address": "10.0.0.1", "port": 80, "tags": [], "meta": {}, "weight": 1, "namespace": "default",
        "status": "healthy", "offered": true, "basis": "current", "age_ms": 0,
    });
    serde_json::from_value(instance).unwrap()
}

#[test]
fn a_watch_of_all_services_names_the_service_of_each_instance() {
    let first = vec![instance("web", "web-1"), instance("db", "db-1")];
    let script = vec![
        Response::Instances(Instances {
            revision: 1,
            isolated: false,
            consistency: Consistency::Eventual,
            settings: None,
            instances: first,
        }),
        Response::Changes(Changes {
            revision: 2,
            isolated: false,
            settings: None,
            instances: vec![instance("api", "api-1")],
        }),
    ];
    let agent = ScriptedAgent::start(vec![script]);
    let (output, requests) = agent.run(&["watch", "--all", "--since", "ab:1"]);
    let text = stdout(&output);
    let ends: Vec<_> = text.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(ends, ["web", "db", "api"], "{text}");
    let (since, run) = (Some(1), Some("ab".to_owned()));
    let expected = WatchAllQuery { since, run, ..WatchAllQuery::default() };
    assert_eq!(requests, [Request::WatchAll(expected)]);
}

#[test]
fn a_watch_of_members_prints_what_happened_to_whom() {
    let all = vec![member("a1", "alive"), member("a22", "alive")];
    let change = |event, member| MemberChange { event, member };
    let silent = || Member { link_silent_ms: Some(7_000), ..member("a1", "alive") };
    let loss =
        |back| MassLoss { ago_ms: 9_000, lost: 12, of: 20, back, missing: 12 - back, exited: 0 };
    let script = || {
        vec![
            Response::Members(Members {
                revision: 1,
                isolated: false,
                members: all.clone(),
                mass_losses: vec![loss(0)],
            }),
            Response::MemberChanges(MemberChanges {
                revision: 2,
                isolated: false,
                changes: vec![change(MemberEventKind::Down, member("a22", "down"))],
                lost_together: vec![
                    LostTogether { lost: 12, of: 20, exited: 0 },
                    LostTogether { lost: 12, of: 20, exited: 12 },
                ],
                mass_losses: None,
            }),
            Response::MemberChanges(MemberChanges {
                revision: 3,
                isolated: false,
                changes: vec![change(MemberEventKind::Changed, silent())],
                lost_together: vec![],
                mass_losses: Some(vec![loss(4)]),
            }),
            Response::MemberChanges(MemberChanges {
                revision: 4,
                isolated: false,
                changes: vec![],
                lost_together: vec![],
                mass_losses: Some(vec![]),
            }),
        ]
    };
    let (output, requests) = ScriptedAgent::start(vec![script()]).run(&["watch", "--members"]);
    assert_eq!(requests, [Request::WatchMembers(WatchMembersQuery::default())]);
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 8, "{text} {}", stderr(&output));
    assert!(stderr(&output).contains("lost at once: 12 of 20, 9s ago"), "{}", stderr(&output));
    assert!(lines[0].contains("  alive        a1 "), "{text}");
    assert!(lines[2].contains("  down         a22 "), "{text}");
    assert!(lines[3].ends_with("  lost 12 of 20 at once: probably a cut"), "{text}");
    assert!(lines[4].ends_with("  lost 12 of 20 at once: their processes exited"), "{text}");
    assert!(
        lines[5].contains("  changed      a1 ") && lines[5].contains("link silent 7s"),
        "{text}"
    );
    assert!(lines[6].contains("probably a cut; 4 of 12 are back"), "{text}");
    assert!(lines[7].ends_with("  most of those that were lost at once are back or gone for good"));

    let (output, _) = ScriptedAgent::start(vec![script()]).run(&["watch", "--members", "--json"]);
    let text = stdout(&output);
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["members"]["members"][1]["member"], "a22");
    assert_eq!(events[1]["member_changes"]["changes"][0]["event"], "down");
    assert_eq!(events[1]["member_changes"]["lost_together"][0]["lost_count"], 12);
    assert_eq!(events[2]["member_changes"]["changes"][0]["link_silent_ms"], 7_000);
    assert_eq!(events[2]["member_changes"]["mass_losses"][0]["missing_count"], 8);
    assert_eq!(events[3]["member_changes"]["mass_losses"].as_array().unwrap().len(), 0);
}
