//! Tests of the files of the history: recorded bytes, other versions, damage, and disks that refuse.

use std::io::ErrorKind;

use super::*;
use crate::storage::fake_disk::{FakeDisk, Writes};

/// Written by version 0.1.0. These texts never change: a version that cannot read them needs a new format.
const RECORDED: &[&str] = &[
    r#"{"format":1,"written_by":"0.1.0"}"#,
    r#"{"number":1,"at_ms":1700000000000,"what":"registered","by":{"kind":"client","uid":1000,"gid":100,"pid":42,"program":"deploy"},"instance":"web-1","service":"web"}"#,
    r#"{"number":3,"at_ms":1700000000002,"what":"agent_stopped","why":"it leaves the cluster"}"#,
];

fn event(number: u64, why: &str) -> StoredEvent {
    let what = "check_changed".to_owned();
    StoredEvent { number, at_ms: 5, what, why: Some(why.to_owned()), ..StoredEvent::default() }
}

fn sealed(texts: &[&str]) -> Vec<u8> {
    let line = |text: &&str| {
        format!("{:016x} {text}\n", xxhash_rust::xxh3::xxh3_64(text.as_bytes())).into_bytes()
    };
    texts.iter().flat_map(line).collect()
}

fn opened(disk: &FakeDisk) -> (HistoryFiles, Vec<StoredEvent>) {
    let (files, [acts, sights]) = HistoryFiles::open(Box::new(disk.clone()));
    (files, acts.into_values().chain(sights.into_values()).collect())
}

#[test]
fn recorded_events_are_read_and_written_alike() {
    let (disk, fresh) = (FakeDisk::new(), FakeDisk::new());
    disk.set_content(Shelf::Acts.file(), sealed(RECORDED));
    let (_, events) = opened(&disk);
    assert_eq!((events[0].by.pid, events[1].number), (Some(42), 3));
    opened(&fresh).0.append(Shelf::Acts, &events).expect("appended");
    let written = String::from_utf8(fresh.content(Shelf::Acts.file())).expect("text");
    for (line, recorded) in written.lines().zip(RECORDED).skip(1) {
        assert_eq!(&line[17..], *recorded);
    }
}

#[test]
fn a_link_in_the_place_of_a_file_makes_room_for_one_and_is_never_followed() {
    use crate::storage::disk::OsDisk;

    let (dir, other) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let at = |name: &str| dir.path().join(name);
    let target = other.path().join("nothing");
    let Ok(disk) = OsDisk::open(dir.path()) else { panic!("no other process has it") };
    std::os::unix::fs::symlink(&target, at(Shelf::Acts.file())).expect("linked");
    let (mut files, _) = HistoryFiles::open(disk.again());
    assert!(files.append(Shelf::Acts, &[event(1, "a")]).is_err(), "through a link");
    files.append(Shelf::Acts, &[event(1, "a"), event(2, "b")]).expect("healed");
    assert!(!target.exists());
    assert!(std::fs::symlink_metadata(at(Shelf::Acts.foreign_file())).expect("kept").is_symlink());
    let (_, [acts, _]) = HistoryFiles::open(disk.again());
    assert_eq!(acts.into_values().collect::<Vec<_>>(), [event(1, "a"), event(2, "b")]);
}

#[test]
fn the_later_of_two_lines_with_one_number_counts() {
    let disk = FakeDisk::new();
    let mut files = opened(&disk).0;
    files.append(Shelf::Sights, &[event(1, "a"), event(2, "b")]).expect("appended");
    files.append(Shelf::Sights, &[event(1, "c")]).expect("appended");
    assert_eq!(opened(&disk).1, [event(1, "c"), event(2, "b")]);
}

#[test]
fn a_torn_tail_and_damaged_lines_are_skipped_and_the_next_line_is_whole() {
    let disk = FakeDisk::new();
    let file = Shelf::Acts.file();
    opened(&disk).0.append(Shelf::Acts, &[event(1, "a"), event(2, "b")]).expect("appended");
    let whole = disk.content(file);
    for cut in 0..whole.len() {
        disk.set_content(file, &whole[..cut]);
        let (mut files, before) = opened(&disk);
        assert!(before.iter().eq([event(1, "a"), event(2, "b")].iter().take(before.len())));
        files.append(Shelf::Acts, &[event(3, "c")]).expect("appended");
        let after = opened(&disk).1;
        assert_eq!(after.last(), Some(&event(3, "c")), "cut at {cut}");
    }
    let mut damaged = whole.clone();
    let place = whole.len() - 5;
    damaged[place] ^= 1;
    disk.set_content(file, damaged);
    assert_eq!(opened(&disk).1, [event(1, "a")]);
}

#[test]
fn a_file_of_another_version_is_left_out_and_not_written_to() {
    let disk = FakeDisk::new();
    let (file, old) = (Shelf::Acts.file(), Shelf::Acts.old_file());
    disk.set_content(old, sealed(&RECORDED[..2]));
    for other in [sealed(&[r#"{"format":9,"written_by":"9.0.0"}"#]), b"garbage".to_vec()] {
        disk.set_content(file, &*other);
        let (mut files, events) = opened(&disk);
        assert_eq!(events.len(), 1, "the older file is read");
        files.append(Shelf::Acts, &[event(2, "a")]).expect("appended");
        assert_eq!(disk.content(Shelf::Acts.foreign_file()), other);
        assert_eq!(opened(&disk).1[1..], [event(2, "a")]);
    }
    let later = r#"{"number":4,"at_ms":5,"what":"of_later","mood":{"any":1}}"#;
    disk.set_content(file, sealed(&[RECORDED[0], later, r#"{"number":18446744073709551615}"#]));
    let read = opened(&disk).1;
    assert_eq!(read.len(), 1 + 1, "fields of later versions are skipped, and wrong numbers");
}

#[test]
fn a_shelf_never_takes_more_than_two_segments() {
    let disk = FakeDisk::new();
    let mut files = opened(&disk).0;
    let long = "x".repeat(400);
    for number in 0..10_000 {
        files.append(Shelf::Sights, &[event(number, &long)]).expect("appended");
    }
    let (old, new) =
        (disk.content(Shelf::Sights.old_file()).len(), disk.content(Shelf::Sights.file()).len());
    assert!(old <= SEGMENT_BYTES && new <= SEGMENT_BYTES && old > SEGMENT_BYTES / 2, "{old} {new}");
    let read = opened(&disk).1;
    assert_eq!(read.last(), Some(&event(9_999, &long)));
    assert!(read.len() > 2_000, "{}", read.len());
}

#[test]
fn what_a_disk_refuses_can_be_appended_again() {
    let disk = FakeDisk::new();
    let mut files = opened(&disk).0;
    files.append(Shelf::Acts, &[event(1, "a")]).expect("appended");
    disk.set_writes(Writes::Fail(ErrorKind::StorageFull));
    for _ in 0..3 {
        files.append(Shelf::Acts, &[event(2, "b")]).expect_err("refused");
    }
    disk.set_writes(Writes::Succeed);
    files.append(Shelf::Acts, &[event(2, "b")]).expect("appended");
    assert_eq!(opened(&disk).1, [event(1, "a"), event(2, "b")]);
}

#[test]
fn a_refused_format_names_both_versions() {
    let head = |text| head_of(Path::new("history-acts.log"), &sealed(&[text]));
    let reason = head(r#"{"format":9,"written_by":"9.8.7"}"#).expect_err("refused");
    for part in ["history-acts.log", "format 9", "9.8.7", "format 1", env!("CARGO_PKG_VERSION")] {
        assert!(reason.contains(part), "no {part} in: {reason}");
    }
    assert_eq!(head("{}"), Err("its first line is damaged".to_owned()));
}

/// Bytes that nobody wrote, with and without checksums that fit them.
#[test]
fn garbage_is_left_out_and_what_follows_is_kept() {
    let mut random = 11_u64;
    let mut next = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    let letters = b"{}[]\":,0123456789 number at_ms what by kind repeats \xff\x00\n";
    for _ in 0..500 {
        let disk = FakeDisk::new();
        let length = next(400) as usize;
        let garbage: Vec<u8> =
            (0..length).map(|_| letters[next(letters.len() as u64) as usize]).collect();
        let text = String::from_utf8_lossy(&garbage).replace('\n', " ");
        let lines = sealed(&[RECORDED[0], &text, RECORDED[1]]);
        let content = if next(2) == 0 { [lines, garbage].concat() } else { garbage };
        disk.set_content(Shelf::Sights.file(), content);
        let (mut files, _) = opened(&disk);
        files.append(Shelf::Sights, &[event(9, "a")]).expect("appended");
        assert!(opened(&disk).1.contains(&event(9, "a")));
    }
}
