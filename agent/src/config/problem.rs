//! What is wrong with a file, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// Something in a file, or in the configuration as a whole, that cannot be used as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The file.
    pub file: Option<PathBuf>,
    /// The line, counted from 1, if it is known.
    pub line: Option<usize>,
    /// The problem in words.
    pub message: String,
}

impl Problem {
    /// A problem of no file in particular.
    pub fn new(message: impl Into<String>) -> Self {
        Self { file: None, line: None, message: message.into() }
    }

    /// A problem of a file.
    pub fn of(file: &Path, line: Option<usize>, message: impl Into<String>) -> Self {
        Self { file: Some(file.to_owned()), line, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{}:{line}: ", file.display())?,
            (Some(file), None) => write!(f, "{}: ", file.display())?,
            _ => {}
        }
        f.write_str(&self.message)
    }
}

/// The line of a place in a text, counted from 1.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_begins_with_its_place() {
        let shown = |line| Problem::of(Path::new("/a.toml"), line, "wrong").to_string();
        assert_eq!(shown(Some(3)), "/a.toml:3: wrong");
        assert_eq!(shown(None), "/a.toml: wrong");
        assert_eq!(Problem::new("wrong").to_string(), "wrong");
    }

    #[test]
    fn lines_are_counted_from_1() {
        let lines = [0, 1, 2, 9].map(|offset| line_of("a\nb\n", offset));
        assert_eq!(lines, [1, 1, 2, 3]);
    }
}
