//! The `[[proxy]]` tables of a configuration file. They are for `hobnob proxy`; an agent passes over them.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::file::{Leaf, MAX_FILE_BYTES, read_text, syntax_problem, word};
use super::problem::{LineStarts, Problem};

/// The key of the tables.
pub(super) const PROXY: &str = "proxy";

/// One `[[proxy]]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyTable {
    /// Its line, counted from 1.
    pub line: usize,
    /// What it sets.
    pub leaves: Vec<Leaf>,
}

impl ProxyTable {
    /// Reads those of a file, and tells what is wrong with their form. The keys are not looked at.
    #[must_use]
    pub fn read(path: &Path) -> (Vec<Self>, Vec<Problem>) {
        match read_text(path, MAX_FILE_BYTES) {
            Ok(text) => Self::parse(path, &text),
            Err(message) => (Vec::new(), vec![Problem::of(path, None, message)]),
        }
    }

    /// Parses the text of a file.
    #[must_use]
    pub fn parse(path: &Path, text: &str) -> (Vec<Self>, Vec<Problem>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let lines = LineStarts::of(text);
        if !errors.is_empty() {
            let problems = errors.iter().map(|error| syntax_problem(path, &lines, error)).collect();
            return (Vec::new(), problems);
        }
        let (mut tables, mut problems) = (Vec::new(), Vec::new());
        let Some(all) = table.get_ref().get(PROXY) else { return (tables, problems) };
        let is_not = |at: usize| {
            let message = format!("`{PROXY}` is a list of tables: write [[{PROXY}]]");
            Problem::of(path, Some(lines.line_of(at)), message)
        };
        let DeValue::Array(items) = all.get_ref() else {
            return (tables, vec![is_not(all.span().start)]);
        };
        for item in items {
            let DeValue::Table(table) = item.get_ref() else {
                problems.push(is_not(item.span().start));
                continue;
            };
            let mut leaves = Vec::new();
            for (key, value) in table {
                let line = lines.line_of(key.span().start);
                let key = key.get_ref().to_string();
                match word(value.get_ref()) {
                    Some(value) => leaves.push(Leaf { key, values: vec![value], line }),
                    None => {
                        let given = value.get_ref().type_str();
                        let message =
                            format!("`{key}` takes one value, and this is of the type {given}");
                        problems.push(Problem::of(path, Some(line), message));
                    }
                }
            }
            leaves.sort_by_key(|leaf| leaf.line);
            tables.push(Self { line: lines.line_of(item.span().start), leaves });
        }
        (tables, problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_has_its_keys_and_lines() {
        let text = "bind = \"eth0\"\n[[proxy]]\nservice = \"web\"\nretries = 3\n\n[[proxy]]\nstrict = true\n";
        let (tables, problems) = ProxyTable::parse(Path::new("h.toml"), text);
        assert_eq!(problems, []);
        let told: Vec<_> = tables
            .iter()
            .map(|table| {
                let leaves = table.leaves.iter();
                let leaves =
                    leaves.map(|leaf| format!("{}={}@{}", leaf.key, leaf.values[0], leaf.line));
                (table.line, leaves.collect::<Vec<_>>().join(" "))
            })
            .collect();
        let told: Vec<_> = told.iter().map(|(line, leaves)| (*line, &**leaves)).collect();
        assert_eq!(told, [(2, "service=web@3 retries=3@4"), (6, "strict=true@7")]);
        assert_eq!(ProxyTable::parse(Path::new("h.toml"), "").0, []);
    }

    #[test]
    fn what_is_no_table_and_no_value_is_told_with_its_line() {
        let problems = |text: &str| -> Vec<_> {
            let problems = ProxyTable::parse(Path::new("h.toml"), text).1;
            problems.iter().map(ToString::to_string).collect()
        };
        let is_not = "h.toml:1: `proxy` is a list of tables: write [[proxy]]";
        assert_eq!(problems("[proxy]\nservice = \"web\"\n"), [is_not]);
        assert_eq!(problems("proxy = [1]\n"), [is_not]);
        let list = "h.toml:2: `listen` takes one value, and this is of the type array";
        assert_eq!(problems("[[proxy]]\nlisten = []\n"), [list]);
        assert!(problems("[[proxy]\n")[0].starts_with("h.toml:1: "));
    }
}
