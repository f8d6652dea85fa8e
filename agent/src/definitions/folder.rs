//! The directory of definitions: which of its files count, and their texts.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::{Problem, read_text};

/// The most files of a directory that count.
const MAX_FILES: usize = 10_000;
/// The longest file.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// The bytes of all files together.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The endings of files that count.
const ENDINGS: [&str; 2] = ["toml", "json"];

/// A file with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Reads the files of a directory, in the order of their names. Hidden files do not count: editors and Kubernetes keep
/// what is not finished there.
///
/// # Errors
/// The directory or files in it cannot be read.
pub(super) fn read(dir: &Path) -> Result<Vec<SourceFile>, Vec<Problem>> {
    read_up_to(dir, MAX_BYTES)
}

fn read_up_to(dir: &Path, max_bytes: usize) -> Result<Vec<SourceFile>, Vec<Problem>> {
    let cannot = |error| vec![Problem::of(dir, None, format!("cannot be read: {error}"))];
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if counts(&path) {
            paths.push(path);
        }
    }
    if paths.len() > MAX_FILES {
        let message = format!("{} files are more than {MAX_FILES}", paths.len());
        return Err(vec![Problem::of(dir, None, message)]);
    }
    paths.sort_unstable();
    let (mut files, mut problems, mut bytes) = (Vec::new(), Vec::new(), 0);
    for path in paths {
        match read_text(&path, MAX_FILE_BYTES) {
            Ok(text) => {
                bytes += text.len();
                if bytes > max_bytes {
                    let message = format!("its files have more than {max_bytes} bytes together");
                    problems.push(Problem::of(dir, None, message));
                    return Err(problems);
                }
                files.push(SourceFile { path, text });
            }
            Err(message) => problems.push(Problem::of(&path, None, message)),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

fn counts(path: &Path) -> bool {
    let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let ending = path.extension().and_then(|ending| ending.to_str());
    !is_hidden && ending.is_some_and(|ending| ENDINGS.contains(&ending)) && !path.is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_by_their_endings() {
        for (name, is_counted) in [
            ("web.toml", true),
            ("web.json", true),
            (".web.toml", false),
            ("web.toml~", false),
            ("web.toml.rpmsave", false),
            ("README", false),
        ] {
            assert_eq!(counts(Path::new(name)), is_counted, "{name}");
        }
    }

    #[test]
    fn the_files_of_a_directory_are_limited_together() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a.toml", "b.toml", "c.txt"] {
            fs::write(folder.path().join(name), "1234").expect("written");
        }
        assert_eq!(read_up_to(folder.path(), 8).expect("within").len(), 2);
        let problems = read_up_to(folder.path(), 7).expect_err("too much");
        assert!(problems[0].message.contains("more than 7 bytes"), "{problems:?}");
    }

    #[test]
    fn a_pipe_among_the_files_is_a_problem_and_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("web.toml");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).expect("made");
        let problems = read(folder.path()).expect_err("a problem");
        let told = format!("{}: cannot be read: it is not a regular file", pipe.display());
        assert_eq!(problems[0].to_string(), told);
    }

    #[test]
    fn a_directory_that_is_not_there_is_a_problem() {
        let problems = read(Path::new("/nowhere/services.d")).expect_err("a problem");
        assert!(problems[0].to_string().starts_with("/nowhere/services.d: cannot be read"));
    }
}
