//! The rule for names that people give, and how to show a name that came from elsewhere.
//!
//! The catalog takes any text of a certain length without control characters, so that another version may have another
//! rule. A name that is given to an agent is held to this stricter one: it can be typed, read, and split from its
//! neighbours in a table or a list.

use std::borrow::Cow;

/// Bytes of a name.
pub const MAX_NAME_BYTES: usize = 128;

/// The most characters that are shown of a name that breaks the rule.
const SHOWN_CHARS: usize = 40;

/// A name that breaks the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {field} `{name}` {fault}: a name has 1 to {MAX_NAME_BYTES} bytes, without spaces, commas and characters that \
     cannot be printed"
)]
pub struct NameError {
    /// The field that the name was for.
    field: &'static str,
    /// The name, printable, perhaps cut.
    name: String,
    fault: &'static str,
}

/// Checks a name. `field` says what the name is for: service, id, tag.
///
/// # Errors
/// It is empty, too long, or has a character that a name may not have.
pub fn check(field: &'static str, name: &str) -> Result<(), NameError> {
    let fault = if name.is_empty() {
        "is empty"
    } else if name.len() > MAX_NAME_BYTES {
        "is too long"
    } else if name.contains(' ') {
        "has a space"
    } else if name.contains(',') {
        "has a comma"
    } else if !is_printable(name) {
        "has a character that cannot be printed"
    } else {
        return Ok(());
    };
    let mut shown: String = printable(name).chars().take(SHOWN_CHARS).collect();
    if name.chars().count() > SHOWN_CHARS {
        shown.push('…');
    }
    Err(NameError { field, name: shown, fault })
}

/// The text as it may be written to a terminal: itself, or escaped as in Rust's source if it has control characters,
/// white space other than a space, or characters that cannot be seen or change the direction of what follows.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if is_printable(text) { text.into() } else { text.escape_debug().to_string().into() }
}

/// Only quotes and backslashes are printable and escaped in source all the same.
fn is_printable(text: &str) -> bool {
    text.split(['\'', '"', '\\']).all(|part| part.escape_debug().eq(part.chars()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_texts_of_up_to_128_bytes_are_names() {
        let longest = "x".repeat(MAX_NAME_BYTES);
        for name in
            ["web", "web-1", "app/web:8001", "café", "e\u{301}tude", "検索", "it's", &longest]
        {
            assert_eq!(check("id", name), Ok(()), "{name}");
        }
    }

    #[test]
    fn an_invalid_name_is_shown_with_the_rule() {
        let too_long = "x".repeat(MAX_NAME_BYTES + 1);
        for (name, says) in [
            ("", "the id `` is empty"),
            ("a b", "the id `a b` has a space"),
            ("a,b", "the id `a,b` has a comma"),
            ("a\tb", r"the id `a\tb` has a character that cannot be printed"),
            ("\u{1b}[31mred", r"the id `\u{1b}[31mred` has a character"),
            ("a\u{202e}b", r"the id `a\u{202e}b` has a character"),
            ("a\u{a0}b", r"the id `a\u{a0}b` has a character"),
            (&too_long, &format!("the id `{}…` is too long", "x".repeat(SHOWN_CHARS))),
        ] {
            let error = check("id", name).expect_err(name).to_string();
            assert!(error.starts_with(says), "{error}");
            assert!(error.contains(": a name has 1 to 128 bytes, without "), "{error}");
        }
    }

    #[test]
    fn nothing_that_is_shown_commands_a_terminal() {
        assert_eq!(printable(r#"it's a "plain" \ text, ünï"#), r#"it's a "plain" \ text, ünï"#);
        assert_eq!(printable("a\u{1b}]0;title\u{7}\nb"), r"a\u{1b}]0;title\u{7}\nb");
        assert_eq!(printable("\u{9b}2J\u{2066}\u{200b}"), r"\u{9b}2J\u{2066}\u{200b}");
    }
}
