//! Tests of a data directory over several lives: starts, crashes, damage.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::Path;

use hobnob_membership::{Epoch, NodeId};
use tempfile::TempDir;

use super::fake_disk::{FakeDisk, Writes};
use super::*;

fn new_dir() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn open(dir: &TempDir) -> DataDir {
    DataDir::open(dir.path(), "default").expect("opened")
}

fn registration(id: &str, port: u16) -> StoredRegistration {
    StoredRegistration {
        service: "web".into(),
        id: id.into(),
        namespace: "default".into(),
        address: Some("127.0.0.1".into()),
        port,
        tags: BTreeSet::from(["v1".into()]),
        meta: BTreeMap::from([("line\nbreak".into(), "\"quoted\" \0".into())]),
        weight: 1,
        checks: Vec::new(),
        balancing: StoredBalancing::default(),
        scope: None,
        source: None,
        check_ids: BTreeMap::new(),
    }
}

fn ids(dir: &DataDir) -> Vec<String> {
    dir.registrations().map(|registration| registration.id.clone()).collect()
}

fn log_path(dir: &TempDir) -> std::path::PathBuf {
    dir.path().join(log::FILE)
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new()
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .expect("appended");
}

#[test]
fn it_can_move_to_a_thread_of_its_own() {
    fn movable<T: Send + 'static>() {}
    movable::<DataDir>();
}

#[test]
fn an_identity_is_made_once() {
    let dir = new_dir();
    let first = open(&dir);
    let (node_id, key) = (first.node_id(), first.instance_key());
    assert_ne!(node_id, NodeId(0));
    drop(first);
    let second = open(&dir);
    assert_eq!((second.node_id(), second.instance_key()), (node_id, key));
    assert_ne!(open(&new_dir()).node_id(), node_id);
}

#[test]
fn a_second_agent_is_refused_with_the_directory_and_the_process() {
    let dir = new_dir();
    let first = open(&dir);
    let message = DataDir::open(dir.path(), "default").err().expect("refused").to_string();
    assert!(message.contains(&dir.path().display().to_string()), "{message}");
    assert!(message.contains(&format!("process id {}", std::process::id())), "{message}");
    drop(first);
    open(&dir);
}

#[test]
fn a_directory_of_another_cluster_is_refused_and_left_alone() {
    let dir = new_dir();
    let node_id = open(&dir).node_id();
    let message = DataDir::open(dir.path(), "green").err().expect("refused").to_string();
    for part in ["`default`", "`green`"] {
        assert!(message.contains(part), "no {part} in: {message}");
    }
    assert_eq!(open(&dir).node_id(), node_id);
}

#[test]
fn epochs_grow_even_when_the_clock_goes_back() {
    let dir = new_dir();
    let mut life = open(&dir);
    assert_eq!(life.mint_epoch(1_000, 7).expect("minted"), Epoch(1_000));
    assert_eq!(life.mint_epoch(5, 0).expect("minted"), Epoch(1_001));
    drop(life);
    let mut life = open(&dir);
    assert_eq!(life.mint_epoch(1_001, 7).expect("minted"), Epoch(1_009));
    life.save_epoch(Epoch(2_000)).expect("saved");
    life.save_epoch(Epoch(7)).expect("a lower one is no error");
    drop(life);
    let mut life = open(&dir);
    assert_eq!(life.mint_epoch(3_000, 7).expect("minted"), Epoch(3_000));
    assert_eq!(life.mint_epoch(u64::MAX, 7).expect("minted"), Epoch(3_008), "no clock");
    assert_eq!(life.mint_epoch(0, 7).expect("minted"), Epoch(3_016));
}

#[test]
fn registrations_survive_a_restart() {
    let dir = new_dir();
    let mut life = open(&dir);
    life.put_registration(&registration("b", 1), None).expect("put");
    life.put_registration(&registration("a", 2), None).expect("put");
    life.put_registration(&registration("b", 3), None).expect("replaced");
    life.put_registration(&registration("c", 4), None).expect("put");
    assert!(life.remove_registration("c").expect("removed"));
    assert!(!life.remove_registration("c").expect("already gone"));
    drop(life);
    let life = open(&dir);
    let found: Vec<_> = life.registrations().cloned().collect();
    assert_eq!(found, [registration("a", 2), registration("b", 3)]);
    assert_eq!(life.torn_tail(), None);
}

#[test]
fn putting_what_is_there_writes_nothing() {
    let dir = new_dir();
    let mut life = open(&dir);
    life.put_registration(&registration("a", 1), None).expect("put");
    let len = fs::metadata(log_path(&dir)).expect("there").len();
    life.put_registration(&registration("a", 1), None).expect("put");
    assert_eq!(fs::metadata(log_path(&dir)).expect("there").len(), len);
}

/// Tries every length to which a crash can cut the last append.
#[test]
fn a_torn_tail_is_cut_off_and_reported() {
    let dir = new_dir();
    let mut life = open(&dir);
    life.put_registration(&registration("a", 1), None).expect("put");
    let whole = fs::metadata(log_path(&dir)).expect("there").len();
    life.put_registration(&registration("b", 2), None).expect("put");
    drop(life);
    let content = fs::read(log_path(&dir)).expect("readable");
    for len in whole as usize..content.len() {
        fs::write(log_path(&dir), &content[..len]).expect("written");
        let life = open(&dir);
        assert_eq!(ids(&life), ["a"], "cut to {len} bytes");
        let torn = life.torn_tail().map(|torn| (torn.line, torn.bytes));
        assert_eq!(
            torn,
            (len as u64 > whole).then_some((3, len - whole as usize)),
            "cut to {len} bytes"
        );
        assert_eq!(fs::metadata(log_path(&dir)).expect("there").len(), whole);
    }
}

#[test]
fn a_tail_of_blocks_that_never_reached_the_disk_is_torn() {
    let dir = new_dir();
    let mut life = open(&dir);
    life.put_registration(&registration("a", 1), None).expect("put");
    drop(life);
    append(&log_path(&dir), b"\0\0\0\0\0\0\0\0\"port\":1}\n");
    let mut life = open(&dir);
    assert_eq!(life.torn_tail().map(|torn| torn.line), Some(3));
    life.put_registration(&registration("b", 2), None).expect("the log goes on behind the cut");
    drop(life);
    assert_eq!(ids(&open(&dir)), ["a", "b"]);
}

#[test]
fn damage_in_the_middle_is_refused_with_file_and_line() {
    let dir = new_dir();
    let mut life = open(&dir);
    life.put_registration(&registration("a", 1), None).expect("put");
    life.put_registration(&registration("b", 2), None).expect("put");
    drop(life);
    let content = fs::read_to_string(log_path(&dir)).expect("readable");
    let damaged = content.replacen("\"port\":1", "\"port\":7", 1);
    fs::write(log_path(&dir), &damaged).expect("written");
    let message = DataDir::open(dir.path(), "default").err().expect("refused").to_string();
    for part in ["line 2", &log_path(&dir).display().to_string(), "checksum"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(
        fs::read_to_string(log_path(&dir)).expect("readable"),
        damaged,
        "nothing was touched"
    );

    let without: Vec<&str> =
        damaged.lines().enumerate().filter(|(index, _)| *index != 1).map(|(_, l)| l).collect();
    fs::write(log_path(&dir), without.join("\n") + "\n").expect("written");
    assert_eq!(ids(&open(&dir)), ["b"], "without the line, it opens");
}

#[test]
fn damage_in_an_acknowledged_last_line_is_refused() {
    let dir = new_dir();
    let mut life = open(&dir);
    life.put_registration(&registration("a", 1), None).expect("put");
    drop(life);
    let content = fs::read_to_string(log_path(&dir)).expect("readable");
    fs::write(log_path(&dir), content.replace("\"port\":1", "\"port\":7")).expect("written");
    assert!(matches!(
        DataDir::open(dir.path(), "default"),
        Err(OpenError::CorruptLog { line: 2, .. })
    ));
}

#[test]
fn a_log_without_its_first_line_is_refused() {
    let dir = new_dir();
    drop(open(&dir));
    for content in ["", "no checksum\n"] {
        fs::write(log_path(&dir), content).expect("written");
        assert!(
            matches!(
                DataDir::open(dir.path(), "default"),
                Err(OpenError::CorruptLog { line: 1, .. })
            ),
            "{content:?}"
        );
    }
}

#[test]
fn garbage_is_compacted_away() {
    let dir = new_dir();
    let mut life = open(&dir);
    life.put_registration(&registration("kept", 1), None).expect("put");
    let mut bulky = registration("bulky", 2);
    let mut largest = 0;
    for round in 0..40_u32 {
        bulky.meta.insert("blob".into(), format!("{round}{}", "x".repeat(8_000)));
        life.put_registration(&bulky, None).expect("put");
        largest = largest.max(fs::metadata(log_path(&dir)).expect("there").len());
    }
    assert!(largest < 100_000, "the log grew to {largest} bytes");
    drop(life);
    let life = open(&dir);
    assert_eq!(life.registrations().cloned().collect::<Vec<_>>(), [bulky, registration("kept", 1)]);
}

#[test]
fn a_registration_beyond_the_limits_is_refused_and_harms_nothing() {
    let dir = new_dir();
    let mut life = open(&dir);
    life.put_registration(&registration("a", 1), None).expect("put");
    let mut huge = registration("huge", 2);
    huge.meta.insert("blob".into(), "x".repeat(MAX_REGISTRATION_BYTES));
    assert!(matches!(life.put_registration(&huge, None), Err(WriteError::TooLarge { .. })));
    drop(life);
    assert_eq!(ids(&open(&dir)), ["a"]);
}

/// The disk is full with half of a line on it, and then has room again.
#[test]
fn a_failed_write_is_not_acknowledged_and_the_log_recovers() {
    let disk = FakeDisk::new();
    let open = || DataDir::open_on(Box::new(disk.clone()), "default").expect("opened");
    let mut life = open();
    life.put_registration(&registration("a", 1), None).expect("put");
    disk.set_writes(Writes::Fail(ErrorKind::StorageFull));
    let error = life.put_registration(&registration("b", 2), None).expect_err("full").to_string();
    assert!(error.contains(log::FILE), "{error}");
    life.remove_registration("a").expect_err("still full");
    assert_eq!(ids(&life), ["a"]);
    disk.set_writes(Writes::Succeed);
    assert_eq!(ids(&open()), ["a"], "half of a line is torn");
    life.put_registration(&registration("c", 3), None).expect("rewritten and appended");
    drop(life);
    assert_eq!(ids(&open()), ["a", "c"]);
}

/// A line that could be written and not flushed is there, unless it is cut off.
#[test]
fn a_refused_registration_is_not_back_after_a_restart_unless_it_was_said_so() {
    let disk = FakeDisk::new();
    let open = || DataDir::open_on(Box::new(disk.clone()), "default").expect("opened");
    let mut life = open();
    life.put_registration(&registration("a", 1), None).expect("put");
    disk.set_writes(Writes::FailToFlush(ErrorKind::Other));
    let error = life.put_registration(&registration("b", 2), None).expect_err("not flushed");
    assert!(matches!(error, WriteError::Io { .. }), "{error}");
    life.remove_registration("a").expect_err("not flushed");
    assert_eq!(ids(&open()), ["a"]);
    disk.set_writes(Writes::Fail(ErrorKind::Other));
    let error =
        life.put_registration(&registration("b", 2), None).expect_err("neither done nor undone");
    assert!(error.to_string().contains("may be there after a restart"), "{error}");
    disk.set_writes(Writes::Succeed);
    life.put_registration(&registration("c", 3), None).expect("the rest of `b` is cut off first");
    assert_eq!(ids(&open()), ["a", "c"]);
}

#[test]
fn a_log_that_cannot_be_compacted_still_grows() {
    let disk = FakeDisk::new();
    let open = || DataDir::open_on(Box::new(disk.clone()), "default").expect("opened");
    let mut life = open();
    disk.set_writes(Writes::FailToReplace(ErrorKind::StorageFull));
    let mut bulky = registration("bulky", 2);
    for round in 0..40_u32 {
        bulky.meta.insert("blob".into(), format!("{round}{}", "x".repeat(8_000)));
        life.put_registration(&bulky, None).expect("appended");
    }
    assert!(disk.content(log::FILE).len() > 300_000);
    assert_eq!(open().registrations().cloned().collect::<Vec<_>>(), [bulky.clone()]);
    disk.set_writes(Writes::Succeed);
    for round in 0..20_u32 {
        bulky.meta.insert("blob".into(), format!("{round}{}", "y".repeat(8_000)));
        life.put_registration(&bulky, None).expect("put");
    }
    assert!(disk.content(log::FILE).len() < 200_000, "compacted once that works");
}

/// The last line is torn as well, and cannot be cut off.
#[test]
fn on_a_full_disk_it_opens_with_what_is_there_and_refuses_changes() {
    let disk = FakeDisk::new();
    let open = || DataDir::open_on(Box::new(disk.clone()), "default");
    let mut life = open().expect("opened");
    life.put_registration(&registration("a", 1), None).expect("put");
    let first = life.mint_epoch(1, 0).expect("minted");
    drop(life);
    let torn = [disk.content(log::FILE), b"torn".to_vec()].concat();
    disk.set_content(log::FILE, torn);
    disk.set_writes(Writes::Fail(ErrorKind::StorageFull));
    for _ in 0..3 {
        let mut life = open().expect("opened");
        assert_eq!(ids(&life), ["a"]);
        assert!(life.mint_epoch(1, 0).expect("minted in reserved room") > first);
        life.put_registration(&registration("b", 2), None).expect_err("full");
        life.remove_registration("a").expect_err("full");
        life.save_peers(&Peers::default()).expect_err("full");
    }
    disk.set_writes(Writes::Succeed);
    let mut life = open().expect("opened");
    life.put_registration(&registration("b", 2), None).expect("there is room again");
    assert_eq!(ids(&open().expect("opened")), ["a", "b"]);
}

#[test]
fn peers_are_remembered_up_to_the_limit() {
    let dir = new_dir();
    let mut life = open(&dir);
    assert_eq!(life.peers(), Peers::default());
    let peers: Vec<SocketAddr> =
        (1..=100).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
    life.save_peers(&Peers { members: peers.clone(), elsewhere: peers.clone() }).expect("saved");
    let kept = peers[..MAX_PEERS].to_vec();
    assert_eq!(life.peers(), Peers { members: kept.clone(), elsewhere: kept });
    let v6: Vec<SocketAddr> = vec!["[::1]:7946".parse().expect("an address")];
    let v6 = Peers { members: v6.clone(), elsewhere: v6 };
    life.save_peers(&v6).expect("saved");
    drop(life);
    let life = open(&dir);
    assert_eq!(life.peers(), v6);
    fs::write(dir.path().join("peers.json"), "garbage").expect("written");
    assert_eq!(life.peers(), Peers::default(), "hints that cannot be read are no reason to stop");
}

const LATE_EPOCH: &str = r#"{"format":2,"epoch":18446744073709551615}"#;

#[test]
fn damage_to_the_small_files_is_refused() {
    for (file, content) in [("node.json", "{}"), ("epoch.json", "soon"), ("epoch.json", LATE_EPOCH)]
    {
        let dir = new_dir();
        drop(open(&dir));
        fs::write(dir.path().join(file), content).expect("written");
        let message = DataDir::open(dir.path(), "default").err().expect("refused").to_string();
        assert!(message.contains(file), "{message}");
    }
}
