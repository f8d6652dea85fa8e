//! The configuration file, as a list of keys with their values and lines.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest::unknown_key;
use super::problem::{LineStarts, Problem};
use super::proxies::PROXY;
use crate::regular_file;

/// The longest configuration file.
pub(super) const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// What a configuration file sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its path.
    pub path: PathBuf,
    /// What it sets, in the order of its lines.
    pub leaves: Vec<Leaf>,
}

/// One key of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The key; `protocol.digest_period_ms` lies in the table `protocol`.
    pub key: String,
    /// Its value in words; of a list each element.
    pub values: Vec<String>,
    /// The line of the key, counted from 1.
    pub line: usize,
}

/// A key that a configuration file may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownKey<'a> {
    /// The key; a dot separates a table from its keys.
    pub key: &'a str,
    /// Whether its value may be a list.
    pub is_list: bool,
}

impl ConfigFile {
    /// Reads a file, as far as its keys are among `known`, and tells all of its problems.
    #[must_use]
    pub fn read(path: &Path, known: &[KnownKey<'_>]) -> (Self, Vec<Problem>) {
        match read_text(path, MAX_FILE_BYTES) {
            Ok(text) => Self::parse(path, &text, known),
            Err(message) => (Self::empty(path), vec![Problem::of(path, None, message)]),
        }
    }

    /// Parses the text of a file.
    #[must_use]
    pub fn parse(path: &Path, text: &str, known: &[KnownKey<'_>]) -> (Self, Vec<Problem>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let lines = LineStarts::of(text);
        // What a parser makes of a broken text is no reason for further problems.
        if !errors.is_empty() {
            let problems = errors.iter().map(|error| syntax_problem(path, &lines, error)).collect();
            return (Self::empty(path), problems);
        }
        let mut reading = Reading { path, lines, known, leaves: Vec::new(), problems: Vec::new() };
        reading.table("", table.get_ref());
        let Reading { mut leaves, problems, .. } = reading;
        leaves.sort_by_key(|leaf| leaf.line);
        (Self { path: path.to_owned(), leaves }, problems)
    }

    fn empty(path: &Path) -> Self {
        Self { path: path.to_owned(), leaves: Vec::new() }
    }
}

/// Reads a text file up to a limit. A pipe with no writer would hold up the start of the agent: what is no regular file is refused.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, String> {
    let bytes = regular_file::read(path, limit).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => format!("is longer than {limit} bytes"),
        _ => format!("cannot be read: {error}"),
    })?;
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}

/// An error of the parser, in one line.
pub(crate) fn syntax_problem(path: &Path, lines: &LineStarts, error: &toml::de::Error) -> Problem {
    let line = error.span().map(|span| lines.line_of(span.start));
    let message = error.message().lines().collect::<Vec<_>>().join(", ");
    Problem::of(path, line, message)
}

struct Reading<'a> {
    path: &'a Path,
    lines: LineStarts,
    known: &'a [KnownKey<'a>],
    leaves: Vec<Leaf>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let line = self.lines.line_of(key.span().start);
            let key = format!("{prefix}{}", key.get_ref());
            let below = format!("{key}.");
            let is_table = self.known.iter().any(|known| known.key.starts_with(&below));
            let leaf = self.known.iter().find(|known| known.key == key).copied();
            match (value.get_ref(), leaf) {
                (DeValue::Table(table), None) if is_table => self.table(&below, table),
                // `hobnob proxy` reads these tables.
                (DeValue::Array(_), None) if key == PROXY => {}
                (_, None) if is_table => {
                    self.problem(line, format!("`{key}` is a table: write [{key}]"));
                }
                (_, None) if key == "token" => self.problem(
                    line,
                    "there is no key `token`: a secret does not belong into this file; name a file with `token_file`",
                ),
                (_, None) => {
                    let known = self.known.iter().map(|known| known.key);
                    self.problem(line, unknown_key(&key, known));
                }
                (_, Some(known)) => self.leaf(known, value, line),
            }
        }
    }

    fn leaf(&mut self, known: KnownKey<'_>, value: &Spanned<DeValue<'_>>, line: usize) {
        let key = known.key;
        let values = match value.get_ref() {
            DeValue::Array(items) if known.is_list => {
                items.iter().map(|item| word(item.get_ref())).collect()
            }
            value => word(value).map(|value| vec![value]),
        };
        match values {
            Some(values) => self.leaves.push(Leaf { key: key.to_owned(), values, line }),
            None => {
                let takes = if known.is_list { "a value or a list of values" } else { "one value" };
                let given = value.get_ref().type_str();
                self.problem(
                    line,
                    format!("`{key}` takes {takes}, and this is of the type {given}"),
                );
            }
        }
    }

    fn problem(&mut self, line: usize, message: impl Into<String>) {
        self.problems.push(Problem::of(self.path, Some(line), message));
    }
}

/// A single value, as it would be given on the command line.
pub(super) fn word(value: &DeValue<'_>) -> Option<String> {
    Some(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok()?.to_string()
        }
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(is_true) => is_true.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) | DeValue::Table(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [KnownKey<'static>; 5] = [
        KnownKey { key: "bind", is_list: false },
        KnownKey { key: "join", is_list: true },
        KnownKey { key: "insecure", is_list: false },
        KnownKey { key: "protocol.rumor_fanout", is_list: false },
        KnownKey { key: "token_file", is_list: false },
    ];

    /// Key, values and line of each leaf.
    type Leaves = Vec<(String, Vec<String>, usize)>;

    fn parse(text: &str) -> Result<Leaves, Vec<String>> {
        let (file, mut problems) = ConfigFile::parse(Path::new("h.toml"), text, &KNOWN);
        problems.sort_by_key(|problem| problem.line);
        if problems.is_empty() {
            Ok(file.leaves.into_iter().map(|leaf| (leaf.key, leaf.values, leaf.line)).collect())
        } else {
            Err(problems.iter().map(ToString::to_string).collect())
        }
    }

    #[test]
    fn a_leaf_has_its_value_in_words_and_its_line() {
        let text = "# ours\nbind = \"eth0\"\njoin = [\"a:1\",\n \"b:2\"]\ninsecure = true\n[protocol]\nrumor_fanout = 0x3\n";
        let leaf = |key: &str, values: &[&str], line| {
            (key.to_owned(), values.iter().map(|value| (*value).to_owned()).collect(), line)
        };
        assert_eq!(
            parse(text),
            Ok(vec![
                leaf("bind", &["eth0"], 2),
                leaf("join", &["a:1", "b:2"], 3),
                leaf("insecure", &["true"], 5),
                leaf("protocol.rumor_fanout", &["3"], 7),
            ])
        );
        assert_eq!(parse("protocol.rumor_fanout = 3").expect("dotted").len(), 1);
        assert_eq!(parse(""), Ok(vec![]));
    }

    #[test]
    fn every_problem_is_told_with_its_line() {
        let text = "bnd = 1\nbind = [1]\njoin = [[1]]\nprotocol = 3\nother = 1\ntoken = \"t\"\n";
        let problems = parse(text).expect_err("problems");
        for (place, says) in problems.iter().zip([
            "h.toml:1: there is no key `bnd`; did you mean `bind`?",
            "h.toml:2: `bind` takes one value, and this is of the type array",
            "h.toml:3: `join` takes a value or a list of values, and this is of the type array",
            "h.toml:4: `protocol` is a table: write [protocol]",
            "h.toml:5: there is no key `other`",
            "h.toml:6: there is no key `token`: a secret",
        ]) {
            assert!(place.starts_with(says), "{place}");
        }
        assert_eq!(problems.len(), 6, "{problems:?}");
        let problems = parse("[protocol]\nrumour_fanout = 1\n").expect_err("problems");
        assert_eq!(
            problems,
            [
                "h.toml:2: there is no key `protocol.rumour_fanout`; did you mean `protocol.rumor_fanout`?"
            ]
        );
    }

    #[test]
    fn a_text_that_is_no_toml_has_the_line_of_its_error() {
        let problems = parse("bind = \"a\"\nbind = \"b\"\n= 3\n").expect_err("problems");
        assert!(problems.iter().any(|problem| problem.starts_with("h.toml:2: ")), "{problems:?}");
        assert!(problems.iter().any(|problem| problem.starts_with("h.toml:3: ")), "{problems:?}");
    }
}
