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

/// Where the lines of a text begin. A file has as many keys as it has lines, so none of them scans the text for its line.
#[derive(Clone, Debug)]
pub(crate) struct LineStarts(Vec<usize>);

impl LineStarts {
    /// Those of a text.
    pub(crate) fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(std::iter::once(0).chain(ends.map(|(end, _)| end + 1)).collect())
    }

    /// The line of a place, counted from 1.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }
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
        let starts = LineStarts::of("a\nb\n");
        assert_eq!([0, 1, 2, 9].map(|offset| starts.line_of(offset)), [1, 1, 2, 3]);
        assert_eq!([0, 9].map(|offset| LineStarts::of("").line_of(offset)), [1, 1]);
    }
}
