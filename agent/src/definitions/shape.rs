//! Registrations and checks made of loose values: unknown keys by name, and durations as text.

use hobnob_api::{Check, Registration};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::duration;
use super::plain::plain;
use crate::config::nearest;

/// The most durations as text in one registration.
const MAX_DURATIONS: usize = 1_024;
/// The most faults of one registration that are told.
const MAX_FAULTS: usize = 32;

/// A value that is no registration, or no check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShapeError {
    /// The keys that lead to the fault, such as `checks[0].interval`. Empty for the registration itself.
    pub(super) path: String,
    pub(super) message: String,
}

impl ShapeError {
    /// It in one line, for a value at this path.
    pub(super) fn within(self, path: &str) -> String {
        let dot = if self.path.is_empty() { "" } else { "." };
        format!("{path}{dot}{}: {}", self.path, self.message)
    }
}

/// The registration that a value describes, or all that is wrong with it. A key `interval` with a text such as `2s` stands
/// for `interval_ms`, and so does every other key that ends with `_ms`.
pub(super) fn registration(value: Value) -> Result<Registration, Vec<ShapeError>> {
    made_of(value)
}

/// The check that a value describes, in the same way.
pub(super) fn check(value: Value) -> Result<Check, Vec<ShapeError>> {
    made_of(value)
}

fn made_of<T: DeserializeOwned>(mut value: Value) -> Result<T, Vec<ShapeError>> {
    let mut faults: Vec<ShapeError> = Vec::new();
    while faults.len() < MAX_FAULTS {
        let fault = match first_fault(&mut value) {
            Ok(made) if faults.is_empty() => return Ok(made),
            Ok(_) => break,
            Err(fault) => fault,
        };
        // What a key lacks without a faulty one says nothing more.
        if faults.iter().any(|known| parent(&known.path) == fault.path || *known == fault) {
            break;
        }
        let is_removed = remove(&mut value, &fault.path);
        faults.push(fault);
        if !is_removed {
            break;
        }
    }
    Err(faults)
}

/// The keys that lead to the last key of a path.
fn parent(path: &str) -> &str {
    path.rfind('.').map_or("", |dot| &path[..dot])
}

/// Removes a key, for a look at what is wrong beside it. Returns whether it is not there any more.
fn remove(value: &mut Value, path: &str) -> bool {
    let key = path.rsplit('.').next().unwrap_or_default();
    let fields = value.pointer_mut(&pointer(parent(path))).and_then(Value::as_object_mut);
    fields.map(|fields| fields.remove(key)).is_some()
}

/// A path as a pointer of JSON.
fn pointer(path: &str) -> String {
    path.split(['.', '['])
        .filter(|part| !part.is_empty())
        .map(|part| format!("/{}", part.trim_end_matches(']')))
        .collect()
}

fn first_fault<T: DeserializeOwned>(value: &mut Value) -> Result<T, ShapeError> {
    for _ in 0..MAX_DURATIONS {
        let (path, message) = match serde_path_to_error::deserialize(&*value) {
            Ok(made) => return Ok(made),
            Err(error) => (error.path().clone(), error.inner().to_string()),
        };
        let Some(unknown) = Unknown::of(&message) else {
            let path = text_of(&path);
            return Err(ShapeError { message: plain(&path, &message), path });
        };
        let path = without_last(&path, unknown.word);
        let in_ms = format!("{}_ms", unknown.word);
        if !unknown.known.contains(&&*in_ms) {
            let path = if path.is_empty() {
                unknown.word.to_owned()
            } else {
                format!("{path}.{}", unknown.word)
            };
            return Err(ShapeError { path, message: unknown.to_string() });
        }
        let at = format!("{path}.{}", unknown.word);
        replace(value, &path, unknown.word, in_ms).map_err(|message| ShapeError {
            path: at.trim_start_matches('.').to_owned(),
            message,
        })?;
    }
    Err(ShapeError { path: String::new(), message: "there are too many durations".to_owned() })
}

/// Puts milliseconds in the place of a duration as text.
fn replace(value: &mut Value, path: &str, key: &str, in_ms: String) -> Result<(), String> {
    let fields = value.pointer_mut(&pointer(path)).and_then(Value::as_object_mut);
    let fields = fields.ok_or_else(|| format!("there is no key `{key}`"))?;
    let given = fields.remove(key).unwrap_or_default();
    let duration = given.as_str().and_then(duration::parse).ok_or_else(|| {
        format!("`{given}` is no duration with a unit, such as \"500ms\" or \"2s\"; `{in_ms}` takes a number")
    })?;
    if fields.contains_key(&in_ms) {
        return Err(format!("`{key}` and `{in_ms}` are both given"));
    }
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    fields.insert(in_ms, ms.into());
    Ok(())
}

/// A word that serde does not know, and those that it does.
struct Unknown<'a> {
    what: &'a str,
    word: &'a str,
    known: Vec<&'a str>,
}

impl<'a> Unknown<'a> {
    /// Reads serde's message: "unknown field `x`, expected one of `a`, `b`".
    fn of(message: &'a str) -> Option<Self> {
        let rest = message.strip_prefix("unknown ")?;
        let (what, rest) = rest.split_once(' ')?;
        let mut words = rest.split('`').skip(1).step_by(2);
        Some(Self { what, word: words.next()?, known: words.collect() })
    }
}

impl std::fmt::Display for Unknown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.what == "field" { "key" } else { "value" };
        write!(f, "there is no {what} `{}`", self.word)?;
        match nearest(self.word, self.known.iter().copied()) {
            Some(known) => write!(f, "; did you mean `{known}`?"),
            None => write!(f, "; known are {}", self.known.join(", ")),
        }
    }
}

fn text_of(path: &Path) -> String {
    without_last(path, "")
}

/// The path, without its last key if that is the unknown one.
fn without_last(path: &Path, unknown: &str) -> String {
    let mut segments: Vec<_> = path.iter().collect();
    if matches!(segments.last(), Some(Segment::Map { key } | Segment::Enum { variant: key }) if key == unknown)
    {
        segments.pop();
    }
    let mut text = String::new();
    for segment in segments {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Segment::Unknown => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(value: Value) -> (String, String) {
        let mut faults = registration(value).expect_err("an error");
        assert_eq!(faults.len(), 1, "{faults:?}");
        let ShapeError { path, message } = faults.remove(0);
        (path, message)
    }

    #[test]
    fn durations_may_be_text_wherever_the_api_has_milliseconds() {
        let value = json!({
            "service": "web", "port": 80,
            "checks": [{ "probe": { "tcp": { "address": "h:1" } }, "interval": "2s", "timeout": "100ms" }],
            "balancing": { "slow_start": "1m" }
        });
        let registration = registration(value).expect("a registration");
        let check = &registration.checks[0];
        assert_eq!((check.interval_ms, check.timeout_ms), (2_000, 100));
        assert_eq!(registration.balancing.slow_start_ms, Some(60_000));
    }

    #[test]
    fn an_unknown_key_has_its_path_and_the_nearest_known_one() {
        let (path, message) = error(json!({ "service": "web", "prot": 80 }));
        assert_eq!(path, "prot");
        assert!(message.ends_with("`prot`; did you mean `port`?"), "{message}");
        let check = json!({ "probe": { "tcp": { "address": "h:1" } }, "intervall": "2s" });
        let (path, message) = error(json!({ "service": "web", "port": 1, "checks": [check] }));
        assert_eq!(path, "checks[0].intervall");
        assert!(message.contains("did you mean `interval_ms`?"), "{message}");
        let probe = json!({ "probe": { "tpc": { "address": "h:1" } } });
        let (path, message) = error(json!({ "service": "web", "port": 1, "checks": [probe] }));
        assert!(path.starts_with("checks[0].probe"), "{path}");
        assert!(message.contains("no value `tpc`; did you mean `tcp`?"), "{message}");
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let check = json!({ "probe": { "tcp": { "address": "h:1" } }, "intervall": "2s", "timeout": "soon" });
        let value =
            json!({ "service": "web", "prot": 80, "weight": "much", "tags": 7, "checks": [check] });
        let faults = registration(value).expect_err("faults");
        let mut paths: Vec<_> = faults.iter().map(|fault| &*fault.path).collect();
        paths.sort_unstable();
        assert_eq!(
            paths,
            ["checks[0].intervall", "checks[0].timeout", "prot", "tags", "weight"],
            "and not that `port` is missing: {faults:?}"
        );
    }

    #[test]
    fn a_wrong_value_has_its_path() {
        let (path, message) = error(json!({ "service": "web", "port": "http" }));
        assert_eq!(path, "port");
        assert!(message.contains("from 0 to 65535, and not the text"), "{message}");
        let check = json!({ "probe": { "tcp": { "address": "h:1" } }, "interval": 2 });
        let (path, message) = error(json!({ "service": "web", "port": 1, "checks": [check] }));
        assert_eq!(path, "checks[0].interval");
        assert!(message.contains("`interval_ms` takes a number"), "{message}");
        let (path, message) = error(json!({ "port": 80 }));
        assert_eq!((&*path, &*message), ("", "the key `service` is missing"));
    }
}
