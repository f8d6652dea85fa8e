//! Errors of the command line in the words of all other errors: a line that says what to do begins with `help: `. The parser would
//! say `tip: `, indented.

/// What the parser calls advice.
const TIP: &str = "tip:";
/// What all other errors call it.
const HELP: &str = "help:";

/// The text of an error, which may have colours, in our words.
pub(super) fn in_our_words(text: &str) -> String {
    text.split_inclusive('\n').map(advice_in_our_words).collect()
}

fn advice_in_our_words(line: &str) -> String {
    let Some(advice) = line.strip_prefix("  ") else { return line.to_owned() };
    if plain(advice).starts_with(TIP) { advice.replacen(TIP, HELP, 1) } else { line.to_owned() }
}

/// A text without the codes for colours that it begins with.
fn plain(mut text: &str) -> &str {
    while let Some(code) = text.strip_prefix("\u{1b}[") {
        let Some((_, rest)) = code.split_once('m') else { break };
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::command;
    use super::*;

    #[test]
    fn advice_begins_as_in_all_other_errors() {
        let error = command().try_get_matches_from(["hobnob", "regster", "web"]).unwrap_err();
        let text = error.render();
        for text in [text.to_string(), text.ansi().to_string()] {
            assert!(text.contains("  tip:") || text.contains("mtip:"), "{text}");
            let told = in_our_words(&text);
            assert!(!told.contains("tip:"), "{told}");
            let advice = told.lines().find(|line| line.contains("help:")).expect("advice");
            assert!(plain(advice).starts_with("help:") && advice.contains("register"), "{advice}");
        }
    }

    #[test]
    fn nothing_else_changes() {
        let text = "error: unexpected argument '--tip:' found\n\nUsage: hobnob\n  a tip: none\n";
        assert_eq!(in_our_words(text), text);
    }
}
