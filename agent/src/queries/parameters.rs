//! The protocol's parameters in words, whichever there are.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::Protocol;
use serde_json::Value;

/// Every parameter by name: `500ms`, `3`, or a list of such.
pub(crate) fn parameters(protocol: &Protocol) -> BTreeMap<String, String> {
    // Numbers and durations can always be written.
    let Ok(Value::Object(fields)) = serde_json::to_value(protocol) else { return BTreeMap::new() };
    fields.into_iter().map(|(name, value)| (name, word(&value))).collect()
}

fn word(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(word).collect::<Vec<_>>().join(", "),
        Value::Object(_) => match serde_json::from_value::<Duration>(value.clone()) {
            Ok(duration) => format!("{duration:?}"),
            Err(_) => value.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_lists_and_numbers_are_readable() {
        let all = parameters(&Protocol::default());
        assert_eq!(all["digest_period"], "500ms");
        assert_eq!(all["digest_after_news"], "20ms, 40ms, 80ms, 200ms");
        assert_eq!(all["pull_tries"], Protocol::default().pull_tries.to_string());
    }
}
