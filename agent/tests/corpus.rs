//! The corpus of the fuzz targets, replayed: what fuzzing found once stays found, without a fuzzer.

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a crate of its own elsewhere")]
mod fuzz;
#[path = "../../membership/tests/replay/mod.rs"]
mod replay;

use std::path::PathBuf;

fn replay(target: &str, check: fn(&[u8])) {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fuzz", "corpus", target].iter().collect();
    replay::replay(&folder, check);
}

#[test]
fn the_local_api() {
    replay("api", fuzz::api::check);
}

#[test]
fn selectors() {
    replay("selector", fuzz::selector::check);
}

#[test]
fn the_data_directory() {
    replay("storage", fuzz::storage::check);
}
