//! What serde has against a value, in the words of those who write files.

/// A message of serde about the value at this path, in plain words. One of another form stays as it is.
pub(super) fn plain(path: &str, message: &str) -> String {
    if let Some(key) = message.strip_prefix("missing field ") {
        return format!("the key {key} is missing");
    }
    let wrong = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|rest| rest.rsplit_once(", expected "));
    let Some((given, expected)) = wrong else { return message.to_owned() };
    let key = path.rsplit('.').next().filter(|key| !key.is_empty());
    let subject = key.map_or_else(|| "this".to_owned(), |key| format!("`{key}`"));
    format!("{subject} takes {}, and not {}", taken(expected), found(given))
}

/// What a key takes, by the name of a type of Rust.
fn taken(expected: &str) -> String {
    let text = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number from 0 on",
        "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" => "a text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table of keys and values",
        "string or map" | "map with a single key" => "a word, or a table with one key",
        _ if expected.starts_with("struct ") => "a table of keys and values",
        _ if expected.starts_with("enum ") => "a word, or a table with one key",
        other => other,
    };
    text.to_owned()
}

fn found(given: &str) -> String {
    for (kind, plain) in [
        ("integer ", "the number "),
        ("floating point ", "the number "),
        ("boolean ", ""),
        ("string ", "the text "),
    ] {
        if let Some(value) = given.strip_prefix(kind) {
            return format!("{plain}{}", value.trim_matches('`'));
        }
    }
    match given {
        "map" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        "null" | "unit value" => "nothing".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_speaks_rust() {
        for (path, message, expected) in [
            ("", "missing field `port`", "the key `port` is missing"),
            (
                "port",
                "invalid type: string \"http\", expected u16",
                "`port` takes a whole number from 0 to 65535, and not the text \"http\"",
            ),
            (
                "checks[0]",
                "invalid type: integer `3`, expected struct Check",
                "`checks[0]` takes a table of keys and values, and not the number 3",
            ),
            (
                "checks[0].probe",
                "invalid type: sequence, expected string or map",
                "`probe` takes a word, or a table with one key, and not a list",
            ),
            (
                "port",
                "invalid value: integer `70000`, expected u16",
                "`port` takes a whole number from 0 to 65535, and not the number 70000",
            ),
            ("x", "`a` and `b` are both given", "`a` and `b` are both given"),
        ] {
            assert_eq!(plain(path, message), expected);
        }
    }
}
