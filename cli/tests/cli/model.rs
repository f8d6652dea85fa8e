//! The table of the formal model: each statement names what shows it, and each name is a real one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const DOCUMENT: &str = include_str!("../../../docs/MODEL.md");
/// The folders of the workspace's crates.
const FOLDERS: [&str; 5] = ["agent", "balancer", "cli", "membership", "simulations"];
/// The attributes that make a function a test, without their arguments.
const ATTRIBUTES: [&str; 3] = ["#[test]", "#[tokio::test", "#[test_case"];
/// Lines between such an attribute and its function: further attributes.
const ATTRIBUTE_LINES: usize = 4;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Appends the Rust files below a folder.
fn find_sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            find_sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The name of the function that a line begins to define.
fn defined(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("async ").unwrap_or(line);
    Some(line.strip_prefix("fn ")?.split_once('(')?.0)
}

/// The names of the tests of a source.
fn tests_of(source: &str) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    let mut ends_in = 0;
    for line in source.lines() {
        if ATTRIBUTES.iter().any(|attribute| line.trim_start().starts_with(attribute)) {
            ends_in = ATTRIBUTE_LINES;
        } else if ends_in > 0 {
            ends_in -= 1;
            if let Some(name) = defined(line) {
                tests.insert(name.to_owned());
                ends_in = 0;
            }
        }
    }
    tests
}

fn all_tests() -> BTreeSet<String> {
    let mut sources = Vec::new();
    for folder in FOLDERS {
        find_sources(&repository().join(folder), &mut sources);
    }
    sources.iter().flat_map(|path| tests_of(&fs::read_to_string(path).unwrap())).collect()
}

/// What stands between backticks.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether a name is that of a test, and no command and no part of the API.
fn is_of_a_test(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.contains('_') && name.bytes().all(plain)
}

/// The last column of each statement.
fn shown_by() -> Vec<(&'static str, &'static str)> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = rows.map(|row| row.split(" | ").collect::<Vec<_>>());
    let rows = rows.filter(|cells| cells.first() != Some(&"statement"));
    rows.map(|cells| (cells[0], cells[cells.len() - 1])).collect()
}

#[test]
fn each_test_that_the_model_names_exists() {
    let tests = all_tests();
    let unknown = |name: &&str| is_of_a_test(name) && !tests.contains(*name);
    let missing: BTreeSet<&str> = names(DOCUMENT).filter(unknown).collect();
    assert!(missing.is_empty(), "docs/MODEL.md names tests that do not exist: {missing:?}");
}

#[test]
fn each_statement_of_the_model_is_shown_by_something_that_exists() {
    let tests = all_tests();
    let rows = shown_by();
    assert!(rows.len() >= 20, "the table was read: {}", rows.len());
    for (statement, cell) in rows {
        let is_real = |name: &str| tests.contains(name) || is_benchmark(name);
        assert!(names(cell).any(is_real), "nothing shows: {statement}");
    }
}

/// Whether this is a command for a benchmark that exists.
fn is_benchmark(name: &str) -> bool {
    let words: Vec<&str> = name.split_whitespace().collect();
    match words[..] {
        ["hobnob-simulations", "bench", bench] => {
            let room = repository().join("simulations/src/bench");
            room.join(format!("{bench}.rs")).exists() || room.join(bench).is_dir()
        }
        ["cargo", "bench", .., "--bench", bench] => ["balancer", "agent/api", "membership"]
            .iter()
            .any(|part| repository().join(part).join(format!("benches/{bench}.rs")).exists()),
        _ => false,
    }
}

#[test]
fn a_test_is_a_function_behind_an_attribute() {
    let source = "#[tokio::test(start_paused = true)]\n#[ignore]\nasync fn one() {}\nfn two() {}\n#[test]\nfn three() {}";
    assert_eq!(tests_of(source), ["one".to_owned(), "three".to_owned()].into());
}
