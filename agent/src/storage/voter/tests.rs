//! A voter log: what it finds, and what it takes for proof.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex};

use hobnob_membership::quorum::{Configuration, Entry, Place, Seat, Stamp};
use hobnob_membership::{Epoch, NodeId};

use super::*;
use crate::storage::disk::OsDisk;
use crate::storage::fake_disk::{FakeDisk, Writes};

#[derive(Clone, Default)]
struct FakeMark(Arc<Mutex<(Option<Vec<u8>>, bool)>>);

impl Mark for FakeMark {
    fn read(&self) -> Option<Vec<u8>> {
        self.0.lock().expect("no panic").0.clone()
    }

    fn write(&mut self, mark: &[u8]) -> Result<(), FileError> {
        let mut held = self.0.lock().expect("no panic");
        if held.1 {
            let error = ErrorKind::PermissionDenied.into();
            return Err(FileError::of("replace", Path::new("/fake/mark"))(error));
        }
        held.0 = Some(mark.to_vec());
        Ok(())
    }
}

fn change(version: u64, value: &[u8]) -> Change {
    let place = Place { service: "s".into(), origin: NodeId(7), id: "a".into() };
    let stamp = Stamp { epoch: Epoch(3), version };
    Change::Entry(Entry { place, stamp, value: Some(value.into()), elsewhere: None })
}

fn founded() -> Change {
    let seats = (1..=3).map(|node| Seat { node: NodeId(node), token: node }).collect();
    Change::Founded(Configuration { number: 1, seats })
}

fn open(disk: &FakeDisk, mark: &FakeMark, is_first: bool) -> (VoterLog, FoundVoter) {
    let (disk, mark) = (Box::new(disk.clone()), Box::new(mark.clone()));
    VoterLog::open(disk, mark, is_first).expect("it opens")
}

fn version(found: &FoundVoter) -> Option<u64> {
    let live = found.image.ledger().live(&"s".into());
    live.first().map(|entry| entry.stamp.version)
}

#[test]
fn what_was_written_is_found_and_proven_by_the_mark() {
    let (disk, mark) = (FakeDisk::new(), FakeMark::default());
    let (mut log, found) = open(&disk, &mark, true);
    assert_eq!(found.provenance, Provenance::New);
    assert_eq!(open(&disk, &mark, false).1.provenance, Provenance::Proven, "an empty one");
    log.append(&[change(1, b"x"), change(2, b"y")]).expect("written");
    let (_, found) = open(&disk, &mark, false);
    assert_eq!((found.provenance, version(&found)), (Provenance::Proven, Some(2)));
    let (_, found) = open(&disk, &FakeMark::default(), false);
    assert_eq!((found.provenance, version(&found)), (Provenance::Unproven, Some(2)));
}

#[test]
fn an_older_image_of_the_disk_is_not_proven() {
    let (disk, mark) = (FakeDisk::new(), FakeMark::default());
    let (mut log, _) = open(&disk, &mark, true);
    log.append(&[founded(), change(1, b"x")]).expect("written");
    let old = disk.content(FILE);
    log.append(&[change(2, b"x")]).expect("written");
    let new = disk.content(FILE);
    disk.set_content(FILE, old);
    let (_, found) = open(&disk, &mark, false);
    assert_eq!((found.provenance, version(&found)), (Provenance::Unproven, Some(1)));
    let (mut log, _) = open(&disk, &mark, false);
    log.append(&[change(3, b"x")]).expect("written");
    assert_eq!(open(&disk, &mark, false).1.provenance, Provenance::Proven);
    disk.set_content(FILE, new);
    let (_, found) = open(&disk, &mark, false);
    assert_eq!(
        (found.provenance, version(&found)),
        (Provenance::Unproven, Some(2)),
        "of another log"
    );
    let other = FakeDisk::new();
    assert_eq!(open(&other, &mark, false).1.provenance, Provenance::Unproven, "no file at all");
}

#[test]
fn an_unfinished_write_is_cut_off_and_the_rest_is_proven() {
    let (disk, mark) = (FakeDisk::new(), FakeMark::default());
    let (mut log, _) = open(&disk, &mark, true);
    log.append(&[change(1, b"x")]).expect("written");
    disk.set_writes(Writes::Fail(ErrorKind::StorageFull));
    assert!(log.append(&[change(2, b"x")]).is_err());
    disk.set_writes(Writes::Succeed);
    assert!(log.append(&[change(3, b"x")]).is_err(), "it writes nothing any more");
    let (mut log, found) = open(&disk, &mark, false);
    assert_eq!((found.provenance, version(&found)), (Provenance::Proven, Some(1)));
    log.append(&[change(4, b"x")]).expect("written");
    assert_eq!(version(&open(&disk, &mark, false).1), Some(4));
}

#[test]
fn a_damaged_log_is_put_aside() {
    let (disk, mark) = (FakeDisk::new(), FakeMark::default());
    let (mut log, _) = open(&disk, &mark, true);
    log.append(&[change(1, b"x")]).expect("written");
    log.append(&[change(2, b"x")]).expect("written");
    let mut bytes = disk.content(FILE);
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    disk.set_content(FILE, bytes.clone());
    let (_, found) = open(&disk, &mark, false);
    assert_eq!((found.provenance, version(&found)), (Provenance::Unproven, None));
    assert_eq!(disk.content(ASIDE), bytes);
    assert_eq!(open(&disk, &mark, false).1.provenance, Provenance::Unproven, "nor later");
}

#[test]
fn a_log_is_rewritten_when_most_of_it_is_out_of_date() {
    let (disk, mark) = (FakeDisk::new(), FakeMark::default());
    let (mut log, _) = open(&disk, &mark, true);
    for version in 1..=600 {
        log.append(&[change(version, &[7; 2_000])]).expect("written");
    }
    let len = disk.content(FILE).len() as u64;
    assert!(len < 2 * MIN_GARBAGE_BYTES, "{len} bytes");
    let (_, found) = open(&disk, &mark, false);
    assert_eq!((found.provenance, version(&found)), (Provenance::Proven, Some(600)));
}

#[test]
fn a_mark_that_cannot_be_replaced_stops_the_voter() {
    let (disk, mark) = (FakeDisk::new(), FakeMark::default());
    let (mut log, _) = open(&disk, &mark, true);
    mark.0.lock().expect("no panic").1 = true;
    assert!(log.append(&[change(1, b"x")]).is_err());
}

#[test]
fn a_mark_in_a_file_is_read_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut mark = MemoryMark::in_dir(dir.path());
    assert_eq!(mark.read(), None);
    mark.write(b"one").expect("written");
    mark.write(b"another").expect("written");
    assert_eq!(mark.read().as_deref(), Some(&b"another"[..]));
}

#[test]
fn a_node_that_may_have_forgotten_a_configuration_has_no_proof_before_it_knows_of_one() {
    let (disk, mark) = (FakeDisk::new(), FakeMark::default());
    let (mut log, found) = open(&disk, &mark, false);
    assert_eq!(found.provenance, Provenance::Unproven);
    log.append(&[change(1, b"x")]).expect("written");
    let (mut log, found) = open(&disk, &mark, false);
    assert_eq!((found.provenance, version(&found)), (Provenance::Unproven, Some(1)));
    log.append(&[founded()]).expect("written");
    assert_eq!(open(&disk, &mark, false).1.provenance, Provenance::Proven);
}

#[test]
fn a_full_disk_refuses_and_loses_nothing_that_was_acknowledged() {
    let (disk, mark) = (FakeDisk::new(), FakeMark::default());
    let (mut log, _) = open(&disk, &mark, true);
    log.append(&[change(1, b"x")]).expect("written");
    // The log cannot be rewritten, which costs only room.
    disk.set_writes(Writes::FailToReplace(ErrorKind::StorageFull));
    for version in 2..=600 {
        log.append(&[change(version, &[7; 2_000])]).expect("written");
    }
    disk.set_writes(Writes::Fail(ErrorKind::StorageFull));
    let error = log.append(&[change(601, b"x")]).expect_err("refused").to_string();
    assert!(error.contains("/fake/voter.log") && error.contains("make room"), "{error}");
    drop(log);
    disk.set_writes(Writes::FailToReplace(ErrorKind::StorageFull));
    let (_, found) = open(&disk, &mark, false);
    assert_eq!((found.provenance, version(&found)), (Provenance::Proven, Some(600)));
}

#[test]
fn a_log_without_a_part_of_its_lines_is_damaged() {
    let (disk, mark) = (FakeDisk::new(), FakeMark::default());
    let (mut log, _) = open(&disk, &mark, true);
    log.append(&[founded(), change(1, b"x")]).expect("written");
    log.append(&[change(2, b"x")]).expect("written");
    log.append(&[change(3, b"x")]).expect("written");
    let content = disk.content(FILE);
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    disk.set_content(FILE, [lines[0], lines[1], lines[3]].concat());
    assert_eq!(version(&open(&disk, &mark, false).1), None, "a write is missing");
    disk.set_content(FILE, content);
    open(&disk, &FakeMark::default(), false);
    let content = disk.content(FILE);
    let head = content.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    disk.set_content(FILE, &content[..head]);
    assert_eq!(version(&open(&disk, &mark, false).1), None, "the image is missing");
    assert_eq!(disk.content(ASIDE), content[..head]);
}

#[test]
fn a_log_of_a_later_version_is_refused_and_stays() {
    let (disk, mark) = (FakeDisk::new(), FakeMark::default());
    open(&disk, &mark, true);
    let head = disk.content(FILE);
    let texts = [
        r#"{"number":1,"changes":["YwA"]}"#,
        r#"{"format":2,"written_by":"9.0.0","log":"1","number":0,"lines":0}"#,
    ];
    for (before, text) in [(head, texts[0]), (Vec::new(), texts[1])] {
        let text: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let line = to_line(&disk, FILE, &text).expect("a line");
        let content = [before, line].concat();
        disk.set_content(FILE, content.clone());
        let opened = VoterLog::open(Box::new(disk.clone()), Box::new(mark.clone()), false);
        let error = opened.err().expect("refused");
        assert!(matches!(error, OpenError::LaterChange { .. } | OpenError::OtherFormat { .. }));
        assert_eq!(disk.content(FILE), content);
    }
}

#[test]
fn a_log_in_a_data_directory_is_found_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || {
        let disk = OsDisk::open(dir.path()).ok().expect("free");
        let mark = MemoryMark::in_dir(dir.path());
        VoterLog::open(Box::new(disk), Box::new(mark), false).expect("it opens")
    };
    let (mut log, _) = open();
    log.append(&[founded(), change(1, b"x")]).expect("written");
    drop(log);
    let (mut log, found) = open();
    assert_eq!((found.provenance, version(&found)), (Provenance::Proven, Some(1)));
    for version in 2..=100 {
        log.append(&[change(version, &[7; 8_000])]).expect("written");
    }
    drop(log);
    let (_, found) = open();
    assert_eq!((found.provenance, version(&found)), (Provenance::Proven, Some(100)));
    assert!(std::fs::metadata(dir.path().join(FILE)).expect("there").len() < 2 * MIN_GARBAGE_BYTES);
}
