//! Objects of Consul's JSON, whose keys are read once each and in both spellings.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::super::duration;
use super::Notes;
use crate::config::nearest;

/// An object, and the keys of it that nobody has read yet.
pub(super) struct Object<'a> {
    /// The keys that lead to it.
    pub(super) path: String,
    /// By the key without underscores, in lower case: the key as it is written, and its value.
    unread: BTreeMap<String, (&'a str, &'a Value)>,
}

impl<'a> Object<'a> {
    /// The object that a value is; `None`, and a problem, for any other value.
    pub(super) fn of(path: &str, value: &'a Value, notes: &mut Notes) -> Option<Self> {
        let Some(fields) = value.as_object() else {
            notes.problems.push(format!("{path}: expected an object"));
            return None;
        };
        let mut unread = BTreeMap::new();
        for (key, value) in fields {
            // Consul writes null for what is not set.
            if value.is_null() {
                continue;
            }
            if unread.insert(plain(key), (key.as_str(), value)).is_some() {
                notes.problems.push(format!("{path}: `{key}` is given in both spellings"));
            }
        }
        Some(Self { path: path.to_owned(), unread })
    }

    /// Reads a key. `key` is in snake case.
    pub(super) fn take(&mut self, key: &str) -> Option<(String, &'a Value)> {
        let (written, value) = self.unread.remove(&plain(key))?;
        Some((format!("{}.{written}", self.path), value))
    }

    /// Reads a text; an empty one is none.
    pub(super) fn text(&mut self, key: &str, notes: &mut Notes) -> Option<String> {
        let (path, value) = self.take(key)?;
        let text = expect(&path, value.as_str(), "a text", notes)?;
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Reads true or false.
    pub(super) fn flag(&mut self, key: &str, notes: &mut Notes) -> bool {
        let flag = self
            .take(key)
            .and_then(|(path, value)| expect(&path, value.as_bool(), "true or false", notes));
        flag.unwrap_or_default()
    }

    /// Reads a number.
    pub(super) fn number(&mut self, key: &str, notes: &mut Notes) -> Option<u64> {
        let (path, value) = self.take(key)?;
        expect(&path, value.as_u64(), "a number", notes)
    }

    /// Reads a duration: a text with a unit, or nanoseconds.
    pub(super) fn millis(&mut self, key: &str, notes: &mut Notes) -> Option<u64> {
        let (path, value) = self.take(key)?;
        let duration = duration::of_json(value);
        let expected = "a duration with a unit, such as \"10s\", or a number of nanoseconds";
        let duration: Duration = expect(&path, duration, expected, notes)?;
        u64::try_from(duration.as_millis()).ok()
    }

    /// Reads a list of texts; an empty one is none.
    pub(super) fn texts(&mut self, key: &str, notes: &mut Notes) -> Option<Vec<String>> {
        let (path, value) = self.take(key)?;
        let items =
            value.as_array().map(|items| items.iter().map(|item| item.as_str().map(str::to_owned)));
        let texts = items.and_then(Iterator::collect::<Option<Vec<_>>>);
        let texts = expect(&path, texts, "a list of texts", notes)?;
        (!texts.is_empty()).then_some(texts)
    }

    /// Refuses a key that would change what happens, unless it is empty, 0 or false.
    pub(super) fn refuse(&mut self, key: &str, why: &str, notes: &mut Notes) {
        if let Some((path, value)) = self.take(key)
            && !is_empty(value)
        {
            notes.problems.push(format!("{path}: {why}"));
        }
    }

    /// Warns of a key that has no effect, unless it is empty, 0 or false.
    pub(super) fn ignore(&mut self, key: &str, why: &str, notes: &mut Notes) {
        if let Some((path, value)) = self.take(key)
            && !is_empty(value)
        {
            notes.warnings.push(format!("{path} has no effect: {why}"));
        }
    }

    /// Reads a key that nobody misses.
    pub(super) fn skip(&mut self, key: &str) {
        let _ = self.take(key);
    }

    /// Refuses every key that was not read. `known` are those that could have been.
    pub(super) fn refuse_rest(&mut self, known: &[&str], notes: &mut Notes) {
        for (written, _) in std::mem::take(&mut self.unread).into_values() {
            let meant = nearest(written, known.iter().copied());
            let meant = meant.map(|meant| format!("; did you mean `{meant}`?"));
            notes.problems.push(format!(
                "{}: there is no key `{written}`{}",
                self.path,
                meant.unwrap_or_default()
            ));
        }
    }
}

/// A value of the right kind; for any other a problem.
fn expect<T>(path: &str, value: Option<T>, expected: &str, notes: &mut Notes) -> Option<T> {
    if value.is_none() {
        notes.problems.push(format!("{path}: expected {expected}"));
    }
    value
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is_true) => !is_true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        // A sidecar without settings is one with those that Consul chooses.
        Value::Object(fields) => fields.iter().all(|(key, value)| {
            is_empty(value) && (value.is_null() || plain(key) != "sidecarservice")
        }),
    }
}

/// A key without its spelling: `ScriptArgs` and `script_args` are one.
fn plain(key: &str) -> String {
    key.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect()
}
