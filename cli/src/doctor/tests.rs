//! The status of what an agent and its members say.

use std::net::SocketAddr;

use hobnob_api::{ApiError, ErrorCode, Settings};
use serde_json::{Value, json};

use super::finding::{Findings, Status};
use super::*;

fn member(number: u64, status: &str) -> Value {
    json!({
        "name": format!("a{number}"), "node_id": format!("{number:016x}"),
        "gossip_address": format!("10.0.0.{number}:7946"), "status": status,
        "datacenter": "eu", "zone": "", "epoch": 7,
    })
}

fn said(change: impl FnOnce(&mut Value), members: Value, settings: &[(&str, &str)]) -> Said {
    let mut info = json!({
        "api": 1, "revision": 4, "isolated": false, "name": "a1", "cluster": "prod",
        "node_id": "0000000000000001", "epoch": 7, "version": "0.1.0", "datacenter": "eu", "zone": "",
        "gossip_address": "10.0.0.1:7946", "sync_address": "10.0.0.1:7947", "pid": 42,
        "uptime_ms": 61_000, "last_contact_ago_ms": 20, "duplicate": null, "takes_tcp_probes": true,
        "udp_blocked": false, "active_members": 2, "instances": 5, "catalog_digest": "0",
        "counters": {}, "protocol": {},
    });
    change(&mut info);
    let settings: Vec<Value> = settings
        .iter()
        .map(|(key, value)| json!({"key": key, "value": value, "origin": "flag"}))
        .collect();
    let settings: Settings = serde_json::from_value(json!({ "settings": settings })).unwrap();
    let members = serde_json::from_value(members).unwrap();
    Said { info: serde_json::from_value(info).unwrap(), members, settings: Some(settings) }
}

fn two() -> Value {
    json!([member(1, "alive"), member(2, "alive")])
}

/// The status of one check, which is looked at once.
fn status(findings: &Findings, check: &str) -> Status {
    let of = findings.of(check);
    assert_eq!(of.len(), 1, "{check}: {of:?}");
    of[0].status
}

fn echoes(members: &Value, versions: &Value) -> Echoes {
    serde_json::from_value(json!({
        "isolated": false, "living": 2, "members": members, "versions": versions,
    }))
    .unwrap()
}

fn echo(name: &str, udp: &str, quic: &str, offset: i64) -> Value {
    json!({
        "name": name, "node_id": "0000000000000002", "gossip_address": "10.0.0.2:7946", "udp": udp,
        "udp_us": (udp == "answered").then_some(400), "quic": quic, "udp_back": udp, "quic_back": quic,
        "clock_offset_ms": offset,
    })
}

#[test]
fn an_agent_that_is_well_has_nothing_to_be_done() {
    let mut findings = Findings::default();
    let sealed = json!({"key": "K", "token": "T", "generation": 3, "revoked": false});
    let said = said(|info| info["sealed"] = sealed, two(), &[]);
    agent::look(&mut findings, &said);
    assert_eq!(findings.worst(), Status::Ok, "{:?}", findings.lines());
    assert_eq!(findings.lines().last().unwrap(), "5 ok, 0 warnings, 0 failures");
}

#[test]
fn what_the_agent_says_of_itself_is_judged() {
    let judged = |check: &str, change: fn(&mut Value), members: Value| {
        let mut findings = Findings::default();
        agent::look(&mut findings, &said(change, members, &[]));
        status(&findings, check)
    };
    let as_it_is: fn(&mut Value) = |_| {};
    let down = json!([member(1, "alive"), member(2, "down")]);
    assert_eq!(judged("members", as_it_is, down), Status::Warn);
    assert_eq!(judged("members", |info| info["isolated"] = true.into(), two()), Status::Fail);
    assert_eq!(
        judged("ports", |info| info["takes_tcp_probes"] = false.into(), two()),
        Status::Warn
    );
    let duplicate: fn(&mut Value) = |info| {
        info["duplicate"] = json!({
            "gossip_address": "10.0.0.9:7946", "silent": true, "same_key": true,
            "noticed_ago_ms": 1, "proven_ago_ms": 1,
        });
    };
    assert_eq!(judged("names", duplicate, two()), Status::Fail);
    let mut twice = member(2, "alive");
    twice["name_conflict"] = true.into();
    assert_eq!(judged("names", as_it_is, json!([twice])), Status::Warn);
    let mut silent = member(2, "alive");
    silent["link_silent_ms"] = 9_000.into();
    assert_eq!(judged("links", as_it_is, json!([silent])), Status::Fail);
    assert_eq!(judged("seal", as_it_is, two()), Status::Warn, "not on loopback");
    let maintained: fn(&mut Value) = |info| {
        info["maintenance"] = json!({"reason": "disk", "since": "2026-01-01T00:00:00Z"});
    };
    assert_eq!(judged("maintenance", maintained, two()), Status::Warn);
    let out: fn(&mut Value) = |info| info["out_of_service"] = json!(["web-1"]);
    assert_eq!(judged("maintenance", out, two()), Status::Warn);
    let broken: fn(&mut Value) = |info| {
        info["file_problems"] = json!(["services.d/web.toml:2: there is no key `prot`"]);
    };
    assert_eq!(judged("config", broken, two()), Status::Fail);
    let votes: fn(&mut Value) = |info| info["voter"] = json!({"standing": "votes"});
    assert_eq!(judged("voter", votes, two()), Status::Ok);
    let lost: fn(&mut Value) = |info| info["voter"] = json!({"standing": "lost"});
    assert_eq!(judged("voter", lost, two()), Status::Warn);
    let stopped: fn(&mut Value) = |info| {
        info["voter"] = json!({"standing": "stopped", "problem": "cannot append to voter.log"});
    };
    assert_eq!(judged("voter", stopped, two()), Status::Fail);
    let refused: fn(&mut Value) = |info| {
        info["sealed"] = json!({
            "key": "K", "token": "T", "generation": null, "revoked": false, "refusal": "expired",
        });
    };
    assert_eq!(judged("seal", refused, two()), Status::Fail);
}

#[test]
fn a_way_on_which_some_or_all_are_silent_is_told_with_their_names() {
    let judged = |members: Value| {
        let mut findings = Findings::default();
        let echoes = echoes(&members, &json!({"0.1.0": 2}));
        network::look(&mut findings, &said(|_| {}, two(), &[]), Ok(&echoes));
        findings
    };
    let well = echo("a2", "answered", "answered", 3);
    assert_eq!(judged(json!([well])).worst(), Status::Ok);
    let some = judged(json!([well, echo("a3", "silent", "answered", 3)]));
    assert_eq!(status(&some, "udp"), Status::Warn);
    let found = &some.of("udp")[0].found;
    assert_eq!(found, "1 of 2 answer, the slowest after 0.4 ms; silent: a3");
    assert_eq!(status(&some, "quic"), Status::Ok);
    let none = judged(json!([echo("a3", "refused", "silent", 3)]));
    assert_eq!((status(&none, "udp"), status(&none, "quic")), (Status::Fail, Status::Fail));
    assert!(none.of("udp")[0].found.contains("refused, so nothing listens there: a3"));
    let older = judged(json!([echo("a2", "answered", "not_tried", 3)]));
    assert_eq!(status(&older, "quic"), Status::Ok);
    assert_eq!(status(&judged(json!([])), "udp"), Status::Ok, "there is nobody to ask");
}

#[test]
fn several_versions_and_clocks_that_differ_are_told() {
    let mut findings = Findings::default();
    let mixed = echoes(&json!([]), &json!({"0.1.0": 2, "0.2.0": 1}));
    network::look(&mut findings, &said(|_| {}, two(), &[]), Ok(&mixed));
    assert_eq!(status(&findings, "versions"), Status::Warn);
    for (offset, synchronized, expected) in [
        (-1_900, None, Status::Ok),
        (-2_000, Some(true), Status::Warn),
        (400_000, Some(true), Status::Fail),
        (0, Some(false), Status::Warn),
    ] {
        let mut findings = Findings::default();
        let members = json!([
            echo("a2", "answered", "answered", 1),
            echo("a3", "answered", "answered", offset)
        ]);
        clock::look(&mut findings, Some(&echoes(&members, &json!({}))), synchronized);
        assert_eq!(status(&findings, "clock"), expected, "{offset}");
    }
}

#[tokio::test]
async fn a_join_list_is_judged_by_where_it_leads() {
    let three = json!([member(1, "alive"), member(2, "alive"), member(3, "alive")]);
    let alone = json!([member(1, "alive")]);
    for (list, members, expected) in [
        ("10.0.0.2:7946,10.0.0.3:7946", &three, Status::Ok),
        ("10.0.0.2,10.0.0.3", &three, Status::Ok),
        ("10.0.0.2:7946", &three, Status::Warn),
        ("10.0.0.1:7946", &three, Status::Warn),
        ("10.0.0.1", &three, Status::Warn),
        ("10.9.9.1:7946,10.9.9.2:7946", &three, Status::Warn),
        ("", &three, Status::Warn),
        ("", &alone, Status::Warn),
    ] {
        let mut findings = Findings::default();
        joins::look(&mut findings, &said(|_| {}, members.clone(), &[("join", list)])).await;
        assert_eq!(status(&findings, "join"), expected, "{list}");
    }
}

#[test]
fn a_name_of_the_join_list_may_lead_to_this_agent_and_to_others() {
    let [own, a2, a3, stranger] = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.9.9.9"]
        .map(|ip| SocketAddr::new(ip.parse().unwrap(), 7946));
    for (leads, elsewhere, living, members) in [
        (vec![vec![own]], 0, 0, 0),
        (vec![vec![own, a2, a3]], 1, 1, 2),
        (vec![vec![a2], vec![own]], 1, 1, 1),
        (vec![vec![a2], vec![a2]], 2, 2, 1),
        (vec![vec![own, stranger]], 1, 0, 0),
    ] {
        let expected = joins::Reach { elsewhere, living, members };
        assert_eq!(joins::Reach::of(&leads, Some(own), &[a2, a3]), expected, "{leads:?}");
    }
}

#[tokio::test]
async fn a_name_of_the_join_list_that_does_not_resolve_is_told() {
    let members = json!([member(1, "alive"), member(2, "alive"), member(3, "alive")]);
    let mut findings = Findings::default();
    let list = "10.0.0.2:7946,10.0.0.3:7946,no-such-host.invalid:7946";
    joins::look(&mut findings, &said(|_| {}, members, &[("join", list)])).await;
    let of = findings.of("join");
    assert_eq!(of.len(), 2, "{of:?}");
    assert_eq!(of[0].status, Status::Warn);
    let found = &of[0].found;
    // Where no name server answers at all, this takes its time.
    let is_named =
        found.starts_with("1 of 3 listed names do not resolve: no-such-host.invalid:7946 (");
    assert!(is_named || found.starts_with("1 of 3 listed names did not resolve within"), "{found}");
    assert_eq!(of[1].found, "2 of 3 listed addresses lead to other living members");
}

#[test]
fn a_query_socket_may_be_open_to_all_and_the_full_one_may_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    std::fs::write(&path, "").unwrap();
    for (place, mode) in [(folder.path(), 0o755), (&*path, 0o666)] {
        std::fs::set_permissions(place, std::os::unix::fs::PermissionsExt::from_mode(mode))
            .unwrap();
    }
    let judged = |query_socket: Option<&Path>| {
        let mut findings = Findings::default();
        socket::look(&mut findings, &path, query_socket);
        status(&findings, "socket")
    };
    assert_eq!(judged(None), Status::Warn);
    assert_eq!(judged(Some(Path::new("/else.sock"))), Status::Warn);
    assert_eq!(judged(Some(&path)), Status::Ok);
}

#[test]
fn only_an_agent_that_does_not_know_the_question_is_called_older() {
    let judged = |error: ClientError| {
        let mut findings = Findings::default();
        network::look(&mut findings, &said(|_| {}, two(), &[]), Err(&error));
        findings.of("udp")[0].advice.clone().unwrap()
    };
    let refused = |code| ClientError::Api(ApiError::new(code, "m"));
    assert!(judged(refused(ErrorCode::RequestMalformed)).contains("older"));
    assert!(!judged(refused(ErrorCode::AgentUnavailable)).contains("older"));
    let late = ClientError::Timeout { path: "a.sock".into(), within: ANSWER_WITHIN };
    assert!(!judged(late).contains("older"));
}

#[test]
fn a_data_directory_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("node.json"), "{}").unwrap();
    let mut findings = Findings::default();
    folder::look(&mut findings, Some(folder.path()));
    assert!(findings.of("data")[0].found.starts_with("2 B in /"), "{:?}", findings.of("data"));
    let mut findings = Findings::default();
    folder::look(&mut findings, Some(&folder.path().join("none")));
    assert_eq!(status(&findings, "data"), Status::Warn);
}
