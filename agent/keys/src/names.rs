//! Names in tokens and certificates.

use std::fmt;
use std::str::FromStr;

/// The most bytes of a name or a glob.
pub const MAX_NAME_BYTES: usize = 128;

/// A name of a cluster, a node or a datacenter: 1 to [`MAX_NAME_BYTES`] bytes without white space, commas and control
/// characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// A text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it {fault}; 1 to {MAX_NAME_BYTES} bytes without white space, commas and control characters are expected"
)]
pub struct NameError {
    fault: &'static str,
}

/// Checks the rule that names and globs share.
pub(crate) fn check(text: &str) -> Result<(), NameError> {
    let stray = |c: char| c.is_control() || c.is_whitespace() || c == ',';
    let fault = match text.len() {
        0 => "is empty",
        1..=MAX_NAME_BYTES if !text.contains(stray) => return Ok(()),
        1..=MAX_NAME_BYTES => "has white space, a comma or a control character",
        _ => "is too long",
    };
    Err(NameError { fault })
}

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check(text).map(|()| Self(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_be_split_from_its_neighbours() {
        for name in ["prod", "web-1", "検索", "*", &"x".repeat(MAX_NAME_BYTES)] {
            assert_eq!(name.parse::<Name>().unwrap().as_str(), name);
        }
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for (wrong, says) in [
            ("", "it is empty"),
            (&*long, "it is too long"),
            ("a b", "it has white space"),
            ("a,b", "it has white space, a comma"),
            ("a\u{1b}b", "a control character"),
        ] {
            let error = wrong.parse::<Name>().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
