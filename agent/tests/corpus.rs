//! The corpus of the fuzz targets, replayed: what fuzzing found once stays found, without a fuzzer.

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a crate of its own elsewhere")]
mod fuzz;
#[path = "../../membership/tests/replay/mod.rs"]
mod replay;

use std::path::PathBuf;

fn folder(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fuzz", "corpus", target].iter().collect()
}

fn replay(target: &str, check: fn(&[u8])) {
    replay::replay(&folder(target), check);
}

#[test]
fn the_local_api() {
    replay("api", fuzz::api::check);
}

#[test]
fn queries_of_dns() {
    replay("dns", fuzz::dns::check);
}

#[test]
fn selectors() {
    replay("selector", fuzz::selector::check);
}

#[test]
fn the_data_directory() {
    replay("storage", fuzz::storage::check);
}

#[test]
fn tokens() {
    replay("token", fuzz::keys::token::check);
}

#[test]
fn certificates() {
    replay("certificate", fuzz::keys::certificate::check);
}

#[test]
fn sets_of_revocations() {
    replay("revocations", fuzz::keys::revocations::check);
}

#[test]
fn generations() {
    replay("generation", fuzz::keys::generation::check);
}

#[test]
fn successions() {
    replay("succession", fuzz::keys::succession::check);
}

#[test]
fn sealed_datagrams() {
    replay("sealed", fuzz::keys::sealed::check);
}

#[test]
fn short_datagrams() {
    replay("short", fuzz::keys::short::check);
}

/// The genuine forms that the corpus begins with, so that fuzzing starts from something that counts.
#[test]
fn the_corpus_has_the_genuine_forms() {
    for (target, bytes) in fuzz::keys::genuine() {
        let path = folder(target).join("genuine");
        assert!(std::fs::read(&path).is_ok_and(|read| read == bytes), "{}", path.display());
    }
}

#[test]
#[ignore = "writes the genuine forms; for a change of one that is meant"]
fn write_the_genuine_forms() {
    for (target, bytes) in fuzz::keys::genuine() {
        std::fs::create_dir_all(folder(target)).expect("a folder");
        std::fs::write(folder(target).join("genuine"), bytes).expect("a file");
    }
}
