//! Replaying the corpus of a fuzz target, to test each input that fuzzing found, without a fuzzer.

use std::fs;
use std::path::Path;

/// Hands each file of a folder to a check, in the order of their names. Prints each name first, so that a failure shows
/// the file.
///
/// # Panics
/// When the folder is empty or cannot be read, and when the check panics.
pub(crate) fn replay(folder: &Path, check: fn(&[u8])) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => panic!("{}: {error}", folder.display()),
    };
    let mut files: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.sort_unstable();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        println!("{}", file.display());
        match fs::read(&file) {
            Ok(bytes) => check(&bytes),
            Err(error) => panic!("{}: {error}", file.display()),
        }
    }
}
