//! The token that an agent is started with.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use hobnob_keys::{MAX_TOKEN_CHARS, Token, TokenError};
use zeroize::Zeroizing;

/// The most bytes that are read of a file with a token: more than a token has, so that one with something behind it is told
/// from one that is cut off.
const MAX_FILE_BYTES: usize = 4 * MAX_TOKEN_CHARS;

/// Where the token of an agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// The token itself.
    Text(TokenText),
    /// A file with the token.
    File(PathBuf),
}

/// The text of a token, which is a secret. Zeroed on drop; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(Zeroizing<String>);

impl From<String> for TokenText {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(..)")
    }
}

/// A token cannot be used. The message never shows its text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenProblem {
    /// The file cannot be read.
    #[error("cannot read the token file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The text in the file is no token.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: TokenError,
    },
    /// The text is no token.
    #[error("HOBNOB_TOKEN: {0}")]
    InText(TokenError),
}

impl TokenSource {
    /// Reads the token.
    ///
    /// # Errors
    /// The file cannot be read, or the text is no token.
    pub(crate) fn read(&self) -> Result<Token, TokenProblem> {
        match self {
            Self::Text(text) => Token::parse(&text.0).map_err(TokenProblem::InText),
            Self::File(path) => {
                let unreadable = |source| {
                    // A token that stands where a file should be is a secret.
                    let is_token = path.to_str().is_some_and(|text| text.starts_with("hobnob1_"));
                    let shown = if is_token {
                        "hobnob1_..., a token instead of a file".into()
                    } else {
                        path.clone()
                    };
                    TokenProblem::Unreadable { path: shown, source }
                };
                let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES + 1));
                File::open(path)
                    .and_then(|file| file.take(MAX_FILE_BYTES as u64).read_to_string(&mut text))
                    .map_err(unreadable)?;
                let in_file = |source| TokenProblem::InFile { path: path.clone(), source };
                Token::parse(&text).map_err(in_file)
            }
        }
    }
}
