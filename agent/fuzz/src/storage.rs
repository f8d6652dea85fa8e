//! Files of the data directory, as a disk or another version may give them back.

use std::fs;

use hobnob_agent::storage::{DataDir, Peers, StoredRegistrant, StoredRegistration};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

const FILES: [&str; 4] = ["node.json", "epoch.json", "peers.json", "registrations.log"];
/// The registration log, with checksums that fit its lines.
const SEALED: u8 = FILES.len() as u8;

/// Puts the bytes after the first into the file that the first byte selects, and opens the directory. A directory that
/// opens once opens again with the same content.
pub fn check(bytes: &[u8]) {
    let Some((file, content)) = bytes.split_first() else { return };
    let file = file % (SEALED + 1);
    let sealed = if file == SEALED { sealed(content) } else { content.to_vec() };
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join(FILES[usize::from(file.min(SEALED - 1))]), sealed).expect("a file");
    let Some(first) = opened(&dir) else { return };
    let mut second = opened(&dir).expect("what opened once opens again");
    second.torn = false;
    assert_eq!(Contents { torn: false, ..first }, second);
}

#[derive(Debug, PartialEq)]
struct Contents {
    node: String,
    peers: Peers,
    registrations: Vec<(StoredRegistration, Option<StoredRegistrant>)>,
    torn: bool,
}

fn opened(dir: &TempDir) -> Option<Contents> {
    let opened = DataDir::open(dir.path(), "default").map_err(|error| error.to_string()).ok()?;
    let registrations = opened.registrations();
    let with_registrant = registrations.map(|one| (one.clone(), opened.registrant(&one.id)));
    Some(Contents {
        node: format!("{} {:x}", opened.node_id(), opened.instance_key()),
        peers: opened.peers(),
        registrations: with_registrant.collect(),
        torn: opened.torn_tail().is_some(),
    })
}

fn sealed(lines: &[u8]) -> Vec<u8> {
    let line = |text: &[u8]| [format!("{:016x} ", xxh3_64(text)).as_bytes(), text, b"\n"].concat();
    lines.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()).flat_map(line).collect()
}
