//! Tests with recorded files of this format, and with files as a later version may write them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use hobnob_membership::{Epoch, NodeId};
use xxhash_rust::xxh3::xxh3_64;

use super::fake_disk::FakeDisk;
use super::*;

/// Written by version 0.1.0. These bytes never change: a version that cannot read them needs a new format.
const NODE: &str = r#"{"format":2,"written_by":"0.1.0","node_id":"00000000000000ab","instance_key":"000000000000000000000000000000cd","cluster":"default"}
"#;
const EPOCH: &str = r#"{"format":2,"written_by":"0.1.0","epoch":1700000000000}
"#;
const PEERS: &str = r#"{"format":2,"written_by":"0.1.0","peers":["127.0.0.1:7946","[::1]:7946"]}
"#;
const LOG: &str = r#"0f76342dc7ab7410 {"format":2,"written_by":"0.1.0"}
9a73c1703679df05 {"put":{"service":"web","id":"web-1","namespace":"default","address":null,"port":8001,"tags":["v1"],"meta":{"team":"shop"},"weight":2,"checks":[{"name":"check","kind":"http","target":"http://127.0.0.1:8001/health","interval_ms":1000,"timeout_ms":500,"success_before_passing":1,"failures_before_failing":3}],"balancing":{"strategy":"weighted","failure_threshold":5,"recovery_timeout_ms":null}}}
921d0eb2582e521e {"put":{"service":"db","id":"db","namespace":"default","address":"10.0.0.5","port":5432,"tags":[],"meta":{},"weight":1,"checks":[],"balancing":{"strategy":null,"failure_threshold":null,"recovery_timeout_ms":null}}}
7ae09b4584af2915 {"remove":"db"}
"#;

fn web() -> StoredRegistration {
    StoredRegistration {
        service: "web".into(),
        id: "web-1".into(),
        namespace: "default".into(),
        address: None,
        port: 8001,
        tags: BTreeSet::from(["v1".into()]),
        meta: BTreeMap::from([("team".into(), "shop".into())]),
        weight: 2,
        checks: vec![StoredCheck {
            name: "check".into(),
            kind: "http".into(),
            target: "http://127.0.0.1:8001/health".into(),
            interval_ms: 1_000,
            timeout_ms: 500,
            success_before_passing: 1,
            failures_before_critical: 3,
            listener_watch: true,
            ..StoredCheck::default()
        }],
        balancing: StoredBalancing {
            strategy: Some("weighted".into()),
            failure_threshold: Some(5),
            recovery_timeout_ms: None,
            ..StoredBalancing::default()
        },
        scope: None,
        source: None,
        check_ids: BTreeMap::new(),
    }
}

/// The line of a registration whose process is known, as later builds of 0.1.0 write it. These bytes never change either.
const REGISTERED_BY: &str = r#"{"put":{"service":"db","id":"db","namespace":"default","address":"10.0.0.5","port":5432,"tags":[],"meta":{},"weight":1,"checks":[],"balancing":{"strategy":null,"failure_threshold":null,"recovery_timeout_ms":null}},"registered_by":{"uid":1000,"pid":4242,"at_ms":1700000000000}}"#;

/// These texts as lines of a log, with their checksums.
fn sealed(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("{:016x} {text}\n", xxh3_64(text.as_bytes()))).collect()
}

fn disk_with(log: &str) -> FakeDisk {
    let disk = FakeDisk::new();
    for (file, content) in
        [("node.json", NODE), ("epoch.json", EPOCH), ("peers.json", PEERS), (log::FILE, log)]
    {
        disk.set_content(file, content);
    }
    disk
}

fn open(disk: &FakeDisk) -> Result<DataDir, OpenError> {
    DataDir::open_on(Box::new(disk.clone()), "default")
}

fn opened(disk: &FakeDisk) -> DataDir {
    open(disk).expect("opened")
}

#[test]
fn recorded_files_are_read_and_written_alike() {
    let disk = disk_with(LOG);
    let mut dir = opened(&disk);
    assert_eq!((dir.node_id(), dir.instance_key()), (NodeId(0xab), 0xcd));
    assert_eq!(dir.registrations().collect::<Vec<_>>(), [&web()]);
    let peers: Vec<SocketAddr> =
        ["127.0.0.1:7946", "[::1]:7946"].map(|peer| peer.parse().expect("an address")).into();
    let peers = Peers { members: peers, elsewhere: Vec::new() };
    assert_eq!(dir.peers(), peers);
    assert_eq!(dir.mint_epoch(0, 0).expect("minted"), Epoch(1_700_000_000_001));

    // Written anew, the same content may differ only in the version of the writer.
    let fresh = FakeDisk::new();
    fresh.set_content("node.json", NODE);
    let mut dir = opened(&fresh);
    dir.save_epoch(Epoch(1_700_000_000_000)).expect("saved");
    dir.save_peers(&peers).expect("saved");
    dir.put_registration(&web(), None).expect("put");
    let written = |file| {
        let text = String::from_utf8(fresh.content(file)).expect("text");
        text.replace(env!("CARGO_PKG_VERSION"), "0.1.0")
    };
    assert_eq!(written("epoch.json"), EPOCH);
    assert_eq!(written("peers.json"), PEERS);
    let put = LOG.lines().nth(1).expect("the line of web-1");
    assert_eq!(written(log::FILE).lines().nth(1), Some(put));
}

#[test]
fn the_process_of_a_registration_is_kept_beside_it() {
    let registrant =
        StoredRegistrant { uid: 1_000, pid: Some(4_242), at_ms: 1_700_000_000_000, agent: None };
    let disk = disk_with(&format!("{LOG}{}", sealed(&[REGISTERED_BY])));
    let dir = opened(&disk);
    assert_eq!(dir.registrant("db"), Some(registrant));
    assert_eq!(dir.registrant("web-1"), None, "an earlier version did not ask for it");
    let db = dir.registration("db").expect("there").clone();

    let fresh = FakeDisk::new();
    let mut dir = opened(&fresh);
    dir.put_registration(&db, Some(registrant)).expect("put");
    let written = String::from_utf8(fresh.content(log::FILE)).expect("text");
    assert!(written.ends_with(&sealed(&[REGISTERED_BY])), "{written}");
    let other = StoredRegistrant { uid: 0, ..registrant };
    dir.put_registration(&db, Some(other)).expect("unchanged");
    assert_eq!(dir.registrant("db"), Some(registrant), "the other process changed nothing");
    assert!(dir.remove_registration("db").expect("removed"));
    assert_eq!(dir.registrant("db"), None);
}

#[test]
fn files_with_fields_of_a_later_version_are_read() {
    let with_new =
        |text: &str| text.replace("\"written_by\"", "\"new\":{\"deep\":[1]},\"written_by\"");
    let disk = disk_with(LOG);
    for (file, content) in [("node.json", NODE), ("epoch.json", EPOCH), ("peers.json", PEERS)] {
        disk.set_content(file, with_new(content));
    }
    let dir = opened(&disk);
    assert_eq!(dir.node_id(), NodeId(0xab));
    assert_eq!(dir.peers().members.len(), 2);
}

/// A log of a later version: fields in every object, an entry of another kind, a check of another kind.
fn later_log() -> (String, [String; 2]) {
    let put = r#"{"put":{"service":"web","id":"web-1","port":8001,"tier":"gold","limits":{"rps":5},"checks":[{"name":"deep","kind":"quic","service":"shop","alpn":"h9","interval_ms":1000,"timeout_ms":500,"success_before_passing":1,"failures_before_failing":3}],"balancing":{"slow_start_ms":1000}},"by":"alice","registered_by":{"uid":7,"at_ms":5,"user":"alice"}}"#;
    let drain = r#"{"drain":{"id":"web-1","until":12345678901234567890123}}"#;
    let head = r#"{"format":2,"written_by":"0.9.0","compressed":false}"#;
    (sealed(&[head, put, drain]), [sealed(&[put]), sealed(&[drain])])
}

#[test]
fn a_log_of_a_later_version_is_read_and_what_is_not_known_is_kept() {
    let (log, kept) = later_log();
    let disk = disk_with(&log);
    let mut dir = opened(&disk);
    let known = dir.registration("web-1").expect("there").clone();
    assert_eq!((known.port, known.weight, known.namespace.as_str()), (8001, 1, "default"));
    assert_eq!(known.checks.len(), 1);
    let registrant = StoredRegistrant { uid: 7, pid: None, at_ms: 5, agent: None };
    assert_eq!(dir.registrant("web-1"), Some(registrant));
    assert_eq!(known.checks[0].to_check(), None, "this version cannot run it");

    // Make enough changes for the log to be rewritten.
    let mut bulky = web();
    bulky.id = "bulky".into();
    for round in 0..40_u32 {
        bulky.meta.insert("blob".into(), format!("{round}{}", "x".repeat(8_000)));
        dir.put_registration(&bulky, None).expect("put");
    }
    dir.put_registration(&known, None).expect("unchanged");
    let content = String::from_utf8(disk.content(log::FILE)).expect("text");
    assert!(!content.contains("0.9.0"), "it was rewritten");
    for line in &kept {
        assert!(content.contains(line.as_str()), "lost: {line}");
    }
    drop(dir);
    assert_eq!(opened(&disk).registration("web-1"), Some(&known));
}

#[test]
fn a_registration_that_is_replaced_here_has_nothing_of_the_later_version() {
    let (log, [put, _]) = later_log();
    let disk = disk_with(&log);
    let mut dir = opened(&disk);
    dir.put_registration(&web(), None).expect("put");
    drop(dir);
    assert_eq!(opened(&disk).registration("web-1"), Some(&web()));
    let content = String::from_utf8(disk.content(log::FILE)).expect("text");
    assert!(content.contains(put.as_str()), "the log still has the line before");
}

#[test]
fn a_rewritten_log_keeps_the_order_of_its_lines() {
    let drain = r#"{"drain":{"id":"web-1","until":1}}"#;
    let disk = disk_with(&sealed(&[r#"{"format":2,"written_by":"0.9.0"}"#, drain]));
    let mut dir = opened(&disk);
    dir.put_registration(&web(), None).expect("put");
    for version in 0..40 {
        let meta = BTreeMap::from([("v".into(), format!("{version}{}", "x".repeat(4_000)))]);
        let large = StoredRegistration { id: "large".into(), meta, ..web() };
        dir.put_registration(&large, None).expect("put");
    }
    let content = String::from_utf8(disk.content(log::FILE)).expect("text");
    let place = |part: &str| content.find(part).expect(part);
    assert!(content.matches("\"large\"").count() < 40, "it was rewritten");
    assert!(place("drain") < place("\"web-1\",\"namespace\""), "{content}");
}

#[test]
fn a_newer_format_is_refused_with_both_versions_and_left_alone() {
    let newer = |text: &str| text.replace("\"format\":2", "\"format\":3").replace("0.1.0", "0.9.0");
    for (file, newer) in [
        ("node.json", newer(NODE)),
        ("epoch.json", newer(EPOCH)),
        (log::FILE, sealed(&[r#"{"format":3,"written_by":"0.9.0"}"#])),
    ] {
        let disk = disk_with(LOG);
        disk.set_content(file, newer.as_str());
        let message = open(&disk).err().expect("refused").to_string();
        for part in [file, "format 3", "0.9.0", "format 2", env!("CARGO_PKG_VERSION")] {
            assert!(message.contains(part), "no {part} in: {message}");
        }
        assert_eq!(disk.content(file), newer.as_bytes(), "nothing was touched");
    }
    let disk = disk_with(LOG);
    disk.set_content("epoch.json", EPOCH.replace("\"format\":2", "\"format\":99999999999"));
    let message = open(&disk).err().expect("refused").to_string();
    assert!(message.contains("format 99999999999"), "{message}");
    let disk = disk_with(LOG);
    disk.set_content("peers.json", newer(PEERS));
    assert_eq!(
        opened(&disk).peers(),
        Peers::default(),
        "hints that cannot be read are no reason to stop"
    );
}
