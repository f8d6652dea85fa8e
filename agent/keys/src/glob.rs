//! Patterns of names.

use std::fmt;
use std::str::FromStr;

use crate::names::{self, NameError};

/// A pattern of names: `*` stands for any characters, also none, `?` for one, and any other character for itself. The whole
/// name has to match.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob(String);

/// A text is no glob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the glob is no pattern of names: {0}")]
pub struct GlobError(#[from] NameError);

impl Glob {
    /// The glob as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the glob matches the name. Takes time in proportion to the product of both lengths at most.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (mut glob, mut name) = (self.0.chars(), name.chars());
        // The rest of both after the last `*`, which stands for one more character with each try.
        let mut retry = None;
        loop {
            let rest = name.clone();
            match (glob.next(), name.next()) {
                (Some('*'), _) => {
                    name = rest;
                    retry = Some((glob.clone(), name.clone()));
                    continue;
                }
                (None, None) => return true,
                (Some('?'), Some(_)) => continue,
                (Some(wanted), Some(found)) if wanted == found => continue,
                (None | Some(_), Some(_)) => {}
                (Some(_), None) => return false,
            }
            let Some((after_star, from)) = &mut retry else { return false };
            from.next();
            (glob, name) = (after_star.clone(), from.clone());
        }
    }
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        names::check(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        for (glob, matching, others) in [
            ("web", &["web"][..], &["", "we", "webs", "Web"][..]),
            ("web-*", &["web-", "web-1", "web-*"], &["web", "xweb-1"]),
            ("*", &["", "a", "検索"], &[]),
            ("?", &["a", "検"], &["", "ab"]),
            ("*.eu", &[".eu", "a.eu", "a.eu.eu"], &["a.eu.", "eu"]),
            ("a*b*c", &["abc", "aXbYc", "abbcc", "abcbc"], &["ab", "acb", "abcd"]),
            ("*a?", &["ab", "aab", "aaa"], &["a", "ba"]),
            ("**", &["", "x"], &[]),
            ("[a-z]", &["[a-z]"], &["b"]),
        ] {
            let parsed: Glob = glob.parse().unwrap();
            for name in matching {
                assert!(parsed.matches(name), "{glob} {name}");
            }
            for name in others {
                assert!(!parsed.matches(name), "{glob} {name}");
            }
        }
    }

    #[test]
    fn a_glob_is_written_as_a_name_is() {
        for wrong in ["", "a b", "a,b", &"*".repeat(129)] {
            assert!(wrong.parse::<Glob>().is_err(), "{wrong}");
        }
    }
}
