//! Definitions in TOML: one registration, or several as `[[services]]`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::shape::{self, ShapeError};
use super::{Definition, Parsed};
use crate::config::{LineStarts, Problem, syntax_problem};

/// The key of several registrations.
const SERVICES: &str = "services";

/// Parses the text of a file.
pub(super) fn parse(file: &Path, text: &str) -> Parsed {
    let (table, errors) = DeTable::parse_recoverable(text);
    let starts = &LineStarts::of(text);
    if !errors.is_empty() {
        let problems = errors.iter().map(|error| syntax_problem(file, starts, error)).collect();
        return Parsed { problems, ..Parsed::default() };
    }
    let mut parsed = Parsed::default();
    let table = table.into_inner();
    let one = |table: &DeTable<'_>, line, parsed: &mut Parsed| {
        let mut lines = Lines { starts, lines: BTreeMap::new() };
        let value = lines.table("", table);
        match shape::registration(value) {
            Ok(registration) => {
                parsed.definitions.push(Definition::new(file, Some(line), registration));
            }
            Err(faults) => {
                parsed.problems.extend(faults.into_iter().map(|ShapeError { path, message }| {
                    let line = lines.of(&path).unwrap_or(line);
                    Problem::of(file, Some(line), message)
                }));
            }
        }
    };
    let Some((key, services)) = table.iter().find(|(key, _)| key.get_ref() == SERVICES) else {
        // A file of comments alone defines nothing. An empty one may be the rest of a copy that was broken off.
        if text.trim().is_empty() {
            let message = "the file is empty: remove it, or say so in a comment".to_owned();
            parsed.problems.push(Problem::of(file, None, message));
        } else if !table.is_empty() {
            one(&table, 1, &mut parsed);
        }
        return parsed;
    };
    let at = |key: &Spanned<_>| Some(starts.line_of(key.span().start));
    for (other, _) in table.iter().filter(|(key, _)| key.get_ref() != SERVICES) {
        let message = format!(
            "`{}` belongs into one of [[{SERVICES}]], or the file defines one alone",
            other.get_ref()
        );
        let line = starts.line_of(other.span().start);
        parsed.problems.push(Problem::of(file, Some(line), message));
    }
    let items = services.get_ref().as_array().into_iter().flat_map(|items| items.iter());
    let tables: Vec<_> = items.map(|item| (item.get_ref().as_table(), item.span())).collect();
    if tables.is_empty() || tables.iter().any(|(table, _)| table.is_none()) {
        let message = format!("`{SERVICES}` is a list of tables: write [[{SERVICES}]]");
        let line = at(&Spanned::new(key.span(), ()));
        parsed.problems.push(Problem::of(file, line, message));
        return parsed;
    }
    for (table, span) in tables {
        if let Some(table) = table {
            one(table, starts.line_of(span.start), &mut parsed);
        }
    }
    parsed
}

/// The lines of keys, by their path.
struct Lines<'a> {
    starts: &'a LineStarts,
    lines: BTreeMap<String, usize>,
}

impl Lines<'_> {
    /// The line of a path, or of the nearest one that it lies in.
    fn of(&self, path: &str) -> Option<usize> {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return Some(*line);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    fn table(&mut self, path: &str, table: &DeTable<'_>) -> Value {
        let fields = table.iter().map(|(key, value)| {
            let name = key.get_ref().to_string();
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            self.lines.insert(path.clone(), self.starts.line_of(key.span().start));
            (name, self.value(&path, value.get_ref()))
        });
        Value::Object(fields.collect::<Map<_, _>>())
    }

    fn value(&mut self, path: &str, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => text.to_string().into(),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => number.into(),
                    Err(_) => number.to_string().into(),
                }
            }
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(number) => number.into(),
                Err(_) => number.as_str().into(),
            },
            DeValue::Boolean(is_true) => (*is_true).into(),
            DeValue::Datetime(time) => time.to_string().into(),
            DeValue::Array(items) => {
                let values = items.iter().enumerate().map(|(place, item)| {
                    let path = format!("{path}[{place}]");
                    self.lines.insert(path.clone(), self.starts.line_of(item.span().start));
                    self.value(&path, item.get_ref())
                });
                values.collect()
            }
            DeValue::Table(table) => self.table(path, table),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Parsed {
        parse(Path::new("web.toml"), text)
    }

    fn problems(text: &str) -> Vec<String> {
        parsed(text).problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_defines_one_instance_or_several() {
        let one = parsed(
            "# ours\nservice = \"web\"\nport = 80\ntags = [\"v1\"]\n[meta]\nversion = \"2\"\n[[checks]]\nprobe.tcp.address = \"h:1\"\ninterval = \"2s\"\n",
        );
        assert_eq!(one.problems, []);
        let registration = &one.definitions[0].registration;
        assert_eq!((registration.meta.len(), registration.checks[0].interval_ms), (1, 2_000));
        let text =
            "[[services]]\nservice = \"a\"\nport = 1\n[[services]]\nservice = \"b\"\nport = 2\n";
        let several = parsed(text);
        let lines: Vec<_> = several.definitions.iter().map(|one| one.line).collect();
        assert_eq!(lines, [Some(1), Some(4)]);
        assert!(parsed("# nothing\n").definitions.is_empty() && problems("# nothing\n").is_empty());
        assert!(problems("\n")[0].contains("the file is empty"));
    }

    #[test]
    fn every_problem_has_its_line() {
        assert_eq!(
            problems("service = \"web\"\n\nprot = 80\n"),
            ["web.toml:3: there is no key `prot`; did you mean `port`?"]
        );
        let text = "[[services]]\nservice = \"a\"\nport = \"x\"\n[[services]]\nservice = \"b\"\nport = 2\n[[services.checks]]\nprobe.tcp.address = \"h:1\"\nintervall = \"1s\"\n";
        let told = problems(text);
        assert!(told[0].starts_with("web.toml:3: `port` takes a whole number"), "{told:?}");
        assert!(told[1].starts_with("web.toml:9: there is no key `intervall`"), "{told:?}");
        assert_eq!(told.len(), 2);
        assert_eq!(problems("service = \"web\"\n"), ["web.toml:1: the key `port` is missing"]);
        assert!(
            problems("a = 1\n[[services]]\nservice = \"a\"\nport = 1\n")[0]
                .starts_with("web.toml:1: `a` belongs")
        );
        assert!(problems("services = 3\n")[0].contains("write [[services]]"));
        assert!(problems("service = web\n")[0].starts_with("web.toml:1: "));
    }
}
