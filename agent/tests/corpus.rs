//! The corpus of the fuzz targets, replayed: what fuzzing found once stays found, without a fuzzer.

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a crate of its own elsewhere")]
mod fuzz;

use std::fs;
use std::path::PathBuf;

fn replay(target: &str, check: fn(&[u8])) {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fuzz", "corpus", target].iter().collect();
    let files = fs::read_dir(folder).expect("a corpus").map(|file| file.expect("a file").path());
    let mut files: Vec<PathBuf> = files.collect();
    files.sort_unstable();
    assert!(!files.is_empty(), "the corpus of {target} is empty");
    for file in files {
        println!("{}", file.display());
        check(&fs::read(&file).expect("readable"));
    }
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
