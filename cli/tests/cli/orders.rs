//! `hobnob keys`, `hobnob revoke` and credentials, against an agent that answers from a script.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use hobnob_api::{
    ApiError, ErrorCode, ForceLeft, HeldGeneration, KeyHolder, Keys, LongToken, Member,
    MemberStatus, Members, NodeId, Request, Response, Revocation, RevokedKind, RevokedNow, Rotated,
    Signed, TrustedNow,
};
use hobnob_keys::{
    CaKey, Command, Generation, Limits, Name, NodeKey, Revoked, Roles, SignedCommand, Token,
    Validity,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{ScriptedAgent, stderr, stdout};

const HASH: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90";

fn ca() -> CaKey {
    CaKey::found("prod".parse().unwrap(), &[1; 32])
}

fn token(roles: Roles) -> Token {
    let limits = Limits {
        cluster_name: "prod".parse::<Name>().unwrap(),
        name: None,
        services: vec![],
        datacenter: None,
        roles,
        no_gateway: false,
        validity: Validity { from_ms: 0, until_ms: Validity::MAX_MS },
    };
    ca().token(&[2; 32], limits, vec![]).unwrap()
}

/// A file with a token in it, and the folder that it goes with.
fn file(content: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("operator.token");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

fn operator_file() -> (TempDir, String) {
    file(&format!("{}\n", *token(Roles::OPERATOR).to_text()))
}

fn key(id: u8) -> hobnob_keys::PublicKey {
    NodeKey::from_seed(&[100 + id; 32]).public_key()
}

fn holder(name: &str, id: u8, has_all: bool) -> KeyHolder {
    KeyHolder {
        name: name.to_owned(),
        node_id: NodeId(key(id).node_id().0),
        status: MemberStatus::Alive,
        public_key: Some(key(id).to_string()),
        token: Some("7c0ffee1d2a94b5c8e3f60718293a4b5".to_owned()),
        authority: Some(ca().public_key().fingerprint().to_string()),
        shown_ago_ms: Some(40),
        generation: Some(5),
        has_newest: has_all,
        has_revocations: has_all,
        has_authorities: has_all,
        revoked: false,
    }
}

fn held(members: Vec<KeyHolder>) -> Keys {
    Keys {
        cluster_id: ca().cluster().to_string(),
        authorities: vec![ca().public_key().fingerprint().to_string()],
        operator: false,
        generation: Some(HeldGeneration {
            number: 5,
            hash: HASH.to_owned(),
            held_for_ms: Some(60_000),
        }),
        next: None,
        members,
        revocations: vec![],
        long_tokens: vec![],
        untimely_tokens: 0,
        unkept: None,
        isolated: false,
    }
}

fn keys(members: Vec<KeyHolder>) -> Vec<Response> {
    vec![Response::Keys(Box::new(held(members)))]
}

fn all_hold() -> Vec<Response> {
    keys(vec![holder("a1", 1, true), holder("a2", 2, true)])
}

fn one_lacks() -> Vec<Response> {
    keys(vec![holder("a1", 1, true), holder("a2", 2, false)])
}

fn rotated(number: u64, begun: bool) -> Vec<Response> {
    vec![Response::Rotated(Rotated { number, hash: HASH.to_owned(), begun, unkept: None })]
}

fn refusal(code: ErrorCode) -> Vec<Response> {
    vec![Response::Error(ApiError::new(code, "no"))]
}

#[test]
fn status_shows_who_lacks_what_and_warns_of_long_tokens() {
    let down = KeyHolder { status: MemberStatus::Down, ..holder("a3", 3, false) };
    let gone =
        KeyHolder { status: MemberStatus::ForceLeft, revoked: true, ..holder("gone", 4, false) };
    let long = LongToken {
        fingerprint: "7c0ffee1d2a94b5c8e3f60718293a4b5".to_owned(),
        valid_until_ms: 1_800_000_000_000,
        valid_for_ms: 90 * 86_400_000,
        members: vec!["a1".to_owned()],
    };
    let members = vec![holder("a1", 1, true), holder("a2", 2, false), down, gone];
    let answer = Keys { long_tokens: vec![long], untimely_tokens: 2, ..held(members) };
    let answer = || vec![Response::Keys(Box::new(answer.clone()))];
    let (output, requests) = ScriptedAgent::start(vec![answer()]).run(&["keys", "status"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(requests, [Request::Keys {}]);
    let text = stdout(&output);
    for part in [
        "5 (a1b2c3d4), held for 1m",
        "1 of 2 living members have confirmed; not yet: a2",
        "2 newcomers",
        "a3    down",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    assert!(!text.contains("gone"), "{text}");
    let warning = stderr(&output);
    assert!(warning.contains("7c0ffee1d2a94b5c8e3f60718293a4b5"), "{warning}");
    assert!(warning.contains("joined with it: a1"), "{warning}");

    let (output, _) = ScriptedAgent::start(vec![answer()]).run(&["keys", "status", "--json"]);
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (&json["generation"]["number"], &json["members"][1]["has_newest"]),
        (&json!(5), &json!(false))
    );
}

#[test]
fn a_clear_agent_says_how_to_seal() {
    let agent = ScriptedAgent::start(vec![refusal(ErrorCode::NotSealed)]);
    let (output, _) = agent.run(&["keys", "status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("hobnob init"), "{}", stderr(&output));
}

#[test]
fn rotate_waits_until_all_hold_the_generation() {
    let script = vec![rotated(5, true), one_lacks(), all_hold()];
    let (output, requests) = ScriptedAgent::start(script).run(&["keys", "rotate", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(requests[0], Request::Rotate { generation: None, again: false });
    assert!(stderr(&output).contains("not yet: a2"), "{}", stderr(&output));
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(json["rotated"]["number"], 5);
    assert_eq!(
        (&json["confirmed"], &json["members"], &json["lacking"]),
        (&json!(2), &json!(2), &json!([]))
    );
}

#[test]
fn a_rotation_under_way_is_shown_and_one_that_is_not_confirmed_has_an_exit_code_of_its_own() {
    let script = vec![rotated(5, false), one_lacks(), one_lacks(), one_lacks()];
    let (output, _) = ScriptedAgent::start(script).run(&["keys", "rotate", "--wait", "1ms"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("on its way already"), "{}", stderr(&output));
    assert!(stdout(&output).contains("not yet: a2"), "{}", stdout(&output));

    let script = vec![rotated(6, true), all_hold()];
    let (output, requests) = ScriptedAgent::start(script).run(&["keys", "rotate", "--again"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(requests[0], Request::Rotate { generation: None, again: true });
}

fn trusted(new: bool) -> Vec<Response> {
    vec![Response::Trusted(TrustedNow { authorities: vec![], new, unkept: None })]
}

#[test]
fn a_succession_is_handed_in_and_followed_and_another_file_is_not() {
    let succession = ca().succession(&ca().successor(&[6; 32])).unwrap();
    let (_folder, path) = file(&format!("{}\n", succession.to_text()));
    let script = vec![trusted(true), one_lacks(), all_hold()];
    let (output, requests) = ScriptedAgent::start(script).run(&["keys", "trust", &path]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(requests[0], Request::Trust { succession: Signed::new(&succession.encode()) });
    assert!(stderr(&output).contains("not yet: a2"), "{}", stderr(&output));
    let fingerprint = succession.new_key().fingerprint().to_string();
    assert!(stdout(&output).contains(&fingerprint), "{}", stdout(&output));

    let script = vec![trusted(false), one_lacks(), one_lacks(), one_lacks()];
    let (output, _) = ScriptedAgent::start(script).run(&["keys", "trust", &path, "--wait", "1ms"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stdout(&output).contains("was trusted before"), "{}", stdout(&output));

    let (_folder, path) = file("hobnob1_AAAA");
    let (output, requests) = ScriptedAgent::start(vec![]).run(&["keys", "trust", &path]);
    assert_eq!((output.status.code(), requests.len()), (Some(2), 0));
    assert!(stderr(&output).contains("operator.token"), "{}", stderr(&output));
}

#[test]
fn status_names_who_holds_certificates_of_the_old_ca_key() {
    let second = ca().successor(&[6; 32]).public_key().fingerprint().to_string();
    let renewed = KeyHolder { authority: Some(second.clone()), ..holder("a2", 2, true) };
    let mut keys = held(vec![holder("a1", 1, true), renewed]);
    keys.authorities.push(second);
    let script = vec![vec![Response::Keys(Box::new(keys))]];
    let (output, _) = ScriptedAgent::start(script).run(&["keys", "status"]);
    let shown = stdout(&output);
    assert!(shown.contains("1 living members have certificates of it: a1"), "{shown}");
}

#[test]
fn an_agent_without_the_role_is_refused_with_the_way_to_a_credential() {
    for args in [&["keys", "rotate"][..], &["force-leave", "a2"]] {
        let agent = ScriptedAgent::start(vec![refusal(ErrorCode::RoleMissing)]);
        let (output, _) = agent.run(args);
        assert_eq!(output.status.code(), Some(1));
        let error = stderr(&output);
        assert!(
            error.contains("--credential FILE") && error.contains("--role operator"),
            "{error}"
        );
    }
}

#[test]
fn an_order_that_the_asked_agent_has_not_kept_is_not_done() {
    let unkept = Keys {
        unkept: Some("cannot write keys.tmp: no space".to_owned()),
        ..held(vec![holder("a1", 1, true)])
    };
    let unkept = || vec![Response::Keys(Box::new(unkept.clone()))];
    let script = vec![rotated(6, true), unkept(), all_hold()];
    let (output, _) = ScriptedAgent::start(script).run(&["keys", "rotate"]);
    assert_eq!(output.status.code(), Some(0), "it kept it later: {}", stderr(&output));
    assert!(stderr(&output).contains("not kept it on its disk: cannot write keys.tmp: no space"));

    let script = vec![rotated(6, true), unkept(), unkept()];
    let args = ["keys", "rotate", "--wait", "1ms", "--json"];
    let (output, _) = ScriptedAgent::start(script).run(&args);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&json["lacking"], &json["unkept"].is_string()), (&json!([]), &true));
}

#[test]
fn an_isolated_agent_is_told_of_once() {
    let isolated = Keys { isolated: true, ..held(vec![holder("a1", 1, false)]) };
    let isolated = || vec![Response::Keys(Box::new(isolated.clone()))];
    let alone = || vec![Response::Keys(Box::new(Keys { isolated: true, ..held(vec![]) }))];
    for (script, args) in [
        (vec![isolated()], &["keys", "status"][..]),
        (vec![rotated(6, true), isolated(), alone()], &["keys", "rotate", "--wait", "1ms"]),
        (vec![all_hold(), revoked(true), isolated(), alone()], &["revoke", "a2", "--wait", "1ms"]),
    ] {
        let (output, _) = ScriptedAgent::start(script).run(args);
        let confirmed = if args.contains(&"status") { Some(0) } else { Some(4) };
        assert_eq!(output.status.code(), confirmed, "{args:?}");
        assert_eq!(stderr(&output).matches("hears no other member").count(), 1, "{args:?}");
    }
}

#[test]
fn a_token_that_nobody_joined_with_may_be_a_slip() {
    let fingerprint = "7c0ffee1d2a94b5c8e3f60718293a4b5";
    for (members, warns) in [(vec![], true), (vec!["a2".to_owned()], false)] {
        let mut answer = revoked(true);
        let [Response::Revoked(now)] = &mut answer[..] else { unreachable!() };
        let (kind, node_id) = (RevokedKind::Token, None);
        now.revocation = Revocation { kind, node_id, members, ..now.revocation.clone() };
        let script = vec![all_hold(), answer, all_hold()];
        let (output, _) = ScriptedAgent::start(script).run(&["revoke", "--token", fingerprint]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(stderr(&output).contains("look for a slip"), warns, "{}", stderr(&output));
    }
}

#[test]
fn a_credential_signs_the_next_generation() {
    let (_folder, path) = operator_file();
    let script = vec![all_hold(), rotated(6, true), all_hold()];
    let args = ["keys", "rotate", "--credential", &path];
    let (output, requests) = ScriptedAgent::start(script).run(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let Request::Rotate { generation: Some(signed), again: false } = &requests[1] else {
        panic!("{requests:?}")
    };
    let generation = Generation::decode(signed.as_bytes()).unwrap();
    assert_eq!(generation.id().number, 6);
    generation.verify(&ca().trust(), &Default::default()).unwrap();
    assert!(!format!("{requests:?}").contains(&format!("{:?}", &signed.as_bytes()[1..9])));
}

#[test]
fn a_credential_has_to_be_a_token_with_the_role() {
    for (content, says) in
        [("nonsense", "the token alone"), (&*token(Roles::FOUNDER).to_text(), "--role operator")]
    {
        let (_folder, path) = file(content);
        let args = ["keys", "rotate", "--credential", &path];
        let (output, requests) = ScriptedAgent::start(vec![]).run(&args);
        assert_eq!(requests, []);
        assert_eq!(output.status.code(), Some(2));
        let error = stderr(&output);
        assert!(error.contains(&path) && error.contains(says), "{error}");
    }
}

fn revoked(new: bool) -> Vec<Response> {
    let revocation = Revocation {
        kind: RevokedKind::Node,
        fingerprint: "7c0ffee1d2a94b5c8e3f60718293a4b5".to_owned(),
        node_id: Some(NodeId(key(2).node_id().0)),
        members: vec!["a2".to_owned()],
        by: "operator".to_owned(),
        by_token: "00000000000000000000000000000000".to_owned(),
    };
    let rotated =
        new.then(|| Rotated { number: 6, hash: HASH.to_owned(), begun: true, unkept: None });
    vec![Response::Revoked(RevokedNow { revocation, new, rotated, unkept: None })]
}

#[test]
fn revoke_names_the_node_and_says_who_has_applied_it() {
    let script = vec![all_hold(), revoked(true), one_lacks(), keys(vec![holder("a1", 1, true)])];
    let (output, requests) = ScriptedAgent::start(script).run(&["revoke", "a2", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let member = Some(NodeId(key(2).node_id().0).to_string());
    let expected = Request::Revoke { member, token: None, signed: None, myself: false };
    assert_eq!(requests[1], expected);
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (&json["new"], &json["members"], &json["confirmed"]),
        (&json!(true), &json!(1), &json!(1))
    );

    let script = vec![all_hold(), revoked(false), one_lacks(), one_lacks(), one_lacks()];
    let (output, _) = ScriptedAgent::start(script).run(&["revoke", "a2", "--yes", "--wait", "1ms"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("was revoked before"), "{}", stderr(&output));

    let (output, requests) = ScriptedAgent::start(vec![all_hold()]).run(&["revoke", "nobody"]);
    assert_eq!((output.status.code(), requests.len()), (Some(3), 1), "{}", stderr(&output));
}

#[test]
fn a_credential_signs_the_revocation_and_the_generation_after_it() {
    let (_folder, path) = operator_file();
    let fingerprint = "7c0ffee1d2a94b5c8e3f60718293a4b5";
    for (subject, expected) in [
        (&["a2"][..], Revoked::Key(key(2))),
        (&["--token", fingerprint], Revoked::Token(fingerprint.parse().unwrap())),
    ] {
        let script = vec![all_hold(), revoked(true), all_hold()];
        let args = [&["revoke"], subject, &["--credential", &path, "--yes-myself"]].concat();
        let (output, requests) = ScriptedAgent::start(script).run(&args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let Request::Revoke { member: None, token: None, signed: Some(signed), myself: true } =
            &requests[1]
        else {
            panic!("{requests:?}")
        };
        let command = SignedCommand::decode(signed.command.as_bytes()).unwrap();
        assert_eq!(command.verify(&ca().trust()).unwrap().0, Command::Revoke(expected));
        let generation = Generation::decode(signed.generation.as_bytes()).unwrap();
        assert_eq!(generation.id().number, 6);
    }
}

#[test]
fn a_credential_signs_a_force_leave_and_a_prune_of_one_life() {
    let (_folder, path) = operator_file();
    let member = |name: &str, id, status, down_ago_ms| Member {
        name: name.to_owned(),
        node_id: NodeId(id),
        gossip_address: String::new(),
        status,
        datacenter: "dc1".to_owned(),
        zone: String::new(),
        epoch: 77,
        down_ago_ms,
        name_conflict: false,
        link_silent_ms: None,
    };
    let known = Members {
        revision: 1,
        isolated: false,
        members: vec![
            member("a2", 2, MemberStatus::Alive, None),
            member("a2", 3, MemberStatus::Down, Some(5)),
            member("a4", 4, MemberStatus::Left, Some(7_200_000)),
        ],
    };
    let known = || vec![Response::Members(known.clone())];
    let gone =
        ForceLeft { name: "a2".to_owned(), node_id: NodeId(3), instances: 0, left_ago_ms: None };
    let script = vec![known(), vec![Response::ForceLeft(gone)]];
    let (_, requests) =
        ScriptedAgent::start(script).run(&["force-leave", "a2", "--credential", &path]);
    let Request::ForceLeave { member: named, signed: Some(signed) } = &requests[1] else {
        panic!("{requests:?}")
    };
    let order = SignedCommand::decode(signed.as_bytes()).unwrap().verify(&ca().trust()).unwrap().0;
    assert_eq!(order, Command::ForceLeave { node_id: hobnob_keys::NodeId(3), epoch: 77 });
    assert_eq!(named, "0000000000000003");

    for (names, pruned) in [(&[][..], vec![4]), (&["a2"], vec![3])] {
        let args = [&["prune"], names, &["--credential", &path]].concat();
        let (_, requests) = ScriptedAgent::start(vec![known(), vec![]]).run(&args);
        let Request::Prune { signed, .. } = &requests[1] else { panic!("{requests:?}") };
        let orders = signed.iter().map(|signed| SignedCommand::decode(signed.as_bytes()).unwrap());
        let orders: Vec<Command> = orders.map(|order| *order.unverified().unwrap()).collect();
        let expected =
            pruned.iter().map(|id| Command::Prune { node_id: hobnob_keys::NodeId(*id), epoch: 77 });
        assert_eq!(orders, expected.collect::<Vec<_>>());
    }
}
