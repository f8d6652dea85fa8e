//! A voter log: what it finds, and what it takes for proof.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};

use hobnob_membership::quorum::{Entry, Place, Stamp};
use hobnob_membership::{Epoch, NodeId};

use super::*;
use crate::storage::fake_disk::{FakeDisk, Writes};

#[derive(Clone, Default)]
struct FakeMark(Arc<Mutex<(Option<Vec<u8>>, bool)>>);

impl Mark for FakeMark {
    fn read(&self) -> Option<Vec<u8>> {
        self.0.lock().expect("no panic").0.clone()
    }

    fn write(&mut self, mark: &[u8]) -> io::Result<()> {
        let mut held = self.0.lock().expect("no panic");
        if held.1 {
            return Err(ErrorKind::PermissionDenied.into());
        }
        held.0 = Some(mark.to_vec());
        Ok(())
    }
}

fn change(version: u64, value: &[u8]) -> Change {
    let place = Place { service: "s".into(), origin: NodeId(7), id: "a".into() };
    let stamp = Stamp { epoch: Epoch(3), version };
    Change::Entry(Entry { place, stamp, value: Some(value.into()) })
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
    log.append(&[change(1, b"x")]).expect("written");
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
    let len = disk.content(FILE).len();
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
