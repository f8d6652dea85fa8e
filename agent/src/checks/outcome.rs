//! The outcome of one probe.

use hobnob_membership::record::Health;

/// Bytes of an output that are kept.
pub const MAX_OUTPUT_BYTES: usize = 512;

/// The outcome of one probe, with a line about it for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    meaning: Meaning,
    output: String,
}

/// The meaning of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Success,
    /// It works, and needs attention.
    Warning,
    Failure,
    /// A failure: the host of the service refused the connection.
    Refusal,
    Void,
}

impl Outcome {
    /// A probe that succeeded. The first [`MAX_OUTPUT_BYTES`] of `output` are kept.
    #[must_use]
    pub fn success(output: impl Into<String>) -> Self {
        Self { meaning: Meaning::Success, output: truncated(output.into()) }
    }

    /// A probe that succeeded, and tells that something needs attention. The first [`MAX_OUTPUT_BYTES`] of `output` are kept.
    #[must_use]
    pub fn warning(output: impl Into<String>) -> Self {
        Self { meaning: Meaning::Warning, output: truncated(output.into()) }
    }

    /// A probe that failed. The first [`MAX_OUTPUT_BYTES`] of `output` are kept.
    #[must_use]
    pub fn failure(output: impl Into<String>) -> Self {
        Self { meaning: Meaning::Failure, output: truncated(output.into()) }
    }

    /// A probe whose connection the host of the service refused. The first [`MAX_OUTPUT_BYTES`] of `output` are kept.
    #[must_use]
    pub fn refusal(output: impl Into<String>) -> Self {
        Self { meaning: Meaning::Refusal, output: truncated(output.into()) }
    }

    /// A probe that this agent could not make, for want of something on its own host: no news about the instance. The
    /// first [`MAX_OUTPUT_BYTES`] of `output` are kept.
    #[must_use]
    pub fn void(output: impl Into<String>) -> Self {
        Self { meaning: Meaning::Void, output: truncated(output.into()) }
    }

    /// Whether it succeeded, with a warning or without.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self.meaning, Meaning::Success | Meaning::Warning)
    }

    /// The health that so many outcomes like this one lead to.
    pub(super) fn health(&self) -> Health {
        match self.meaning {
            Meaning::Success => Health::Passing,
            Meaning::Warning => Health::Warning,
            Meaning::Failure | Meaning::Refusal => Health::Failing,
            Meaning::Void => Health::Unknown,
        }
    }

    /// Whether it says nothing about the instance.
    #[must_use]
    pub fn is_void(&self) -> bool {
        self.meaning == Meaning::Void
    }

    /// The same outcome in other words. The first [`MAX_OUTPUT_BYTES`] of them are kept.
    pub(super) fn with_output(&self, output: String) -> Self {
        Self { meaning: self.meaning, output: truncated(output) }
    }

    pub(super) fn meaning(&self) -> Meaning {
        self.meaning
    }

    /// A line about it, for people.
    #[must_use]
    pub fn output(&self) -> &str {
        &self.output
    }
}

fn truncated(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_OUTPUT_BYTES));
    text
}

/// The words of an answer in one line, without what cannot be printed, and no longer than an output.
pub(super) fn one_line(answer: &[u8]) -> String {
    let beginning = &answer[..answer.len().min(2 * MAX_OUTPUT_BYTES)];
    let text = String::from_utf8_lossy(beginning);
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    truncated(printable.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_cut_between_characters() {
        let outcome = Outcome::failure(format!("a{}", "é".repeat(MAX_OUTPUT_BYTES)));
        assert_eq!(outcome.output().len(), MAX_OUTPUT_BYTES - 1);
        assert!(outcome.output().ends_with('é'));
        assert_eq!(Outcome::success("fine").output(), "fine");
    }

    #[test]
    fn an_answer_becomes_one_line_that_can_be_printed() {
        assert_eq!(one_line(b" {\r\n  \x1b[31mred\0\n}\n"), "{ [31mred }");
        assert_eq!(one_line(&[0xff, b'a']), "\u{fffd}a");
        assert_eq!(one_line(&[b'x'; 5_000]).len(), MAX_OUTPUT_BYTES);
    }
}
