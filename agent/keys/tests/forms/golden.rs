//! Recorded bytes of this version.
//!
//! They are what other versions of the software speak and what disks hold. If a test here fails, a change was not meant to
//! touch them and does.

use hobnob_keys::{Command, GenerationId, NodeId, Revoked};

use crate::fixtures::{
    ca, certificate, cluster, digest, generation, keys, member, node, operator, ping, pong,
    receiver, revocations, revoke, sealed, second_ca, succession, token, words,
};

const GOLDEN: &str = include_str!("golden.txt");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn command(command: &Command) -> String {
    hex(operator().sign(command).unwrap().as_bytes())
}

/// Every form, by name.
fn written() -> Vec<(&'static str, String)> {
    let (node_id, epoch) = (NodeId(0x0807_0605_0403_0201), 0x1615_1413_1211);
    let [ping, pong, digest] = [
        ping().seal(&keys(), receiver()).to_vec(),
        pong().seal(&keys()).to_vec(),
        digest().seal(&keys(), receiver()).to_vec(),
    ]
    .map(|datagram| hex(&datagram));
    let later = second_ca().token(&[2; 32], token().limits().clone(), vec![]).unwrap();
    vec![
        ("cluster", cluster().to_string()),
        ("node id", hex(&node().node_id().0.to_le_bytes())),
        ("ca key file", ca().to_file(None).unwrap().replace('\n', "|")),
        ("token", token().to_text().to_string()),
        ("token of a second ca", later.to_text().to_string()),
        ("token fingerprint", member().token().to_string()),
        ("certificate", hex(certificate().as_bytes())),
        ("revoke key", hex(revoke(Revoked::Key(node().public_key())).as_bytes())),
        ("revoke token", hex(revoke(Revoked::Token(token().fingerprint())).as_bytes())),
        ("rotate", command(&Command::Rotate(GenerationId { number: 2, hash: [9; 32] }))),
        ("force-leave", command(&Command::ForceLeave { node_id, epoch })),
        ("prune", command(&Command::Prune { node_id, epoch })),
        ("generation", hex(&generation().encode())),
        ("revocations", hex(&revocations().encode())),
        ("succession", hex(&succession().encode())),
        ("text of the succession", succession().to_text()),
        ("digest of revocations", hex(&revocations().digest())),
        ("sealed", hex(&sealed())),
        ("ping", ping),
        ("pong", pong),
        ("quiet digest", digest),
        ("hello of a held connection", hex(&words().hello)),
        ("its answer", hex(&words().held)),
        ("its goodbye", hex(&words().goodbye)),
    ]
}

#[test]
fn the_written_bytes_are_the_recorded_ones() {
    let written = written();
    let recorded: Vec<_> = GOLDEN.lines().filter_map(|line| line.split_once(": ")).collect();
    assert_eq!(written.len(), recorded.len());
    for ((name, bytes), (recorded_name, recorded)) in written.iter().zip(recorded) {
        assert_eq!((*name, &**bytes), (recorded_name, recorded));
    }
}

#[test]
#[ignore = "prints the bytes for a change that is meant"]
fn print_golden_bytes() {
    for (name, bytes) in written() {
        println!("{name}: {bytes}");
    }
}
