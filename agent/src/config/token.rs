//! The token that an agent is started with.

use std::fmt;
use std::path::PathBuf;

use hobnob_keys::{MAX_TOKEN_CHARS, Token, TokenError};
use zeroize::Zeroizing;

use crate::secret_file::{self, SecretFileError};

/// The most bytes of a file with a token: more than a token has, so that one with something behind it is told from one that is
/// cut off.
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
        /// The reason.
        source: SecretFileError,
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
    /// The text is the path of a file.
    #[error("HOBNOB_TOKEN holds {}, the path of a file, and no token", path.display())]
    PathInText {
        /// The file.
        path: PathBuf,
    },
}

impl TokenSource {
    /// Reads the token.
    ///
    /// # Errors
    /// The file cannot be read, or the text is no token.
    pub(crate) fn read(&self) -> Result<Token, TokenProblem> {
        match self {
            Self::Text(text) => Token::parse(&text.0).map_err(|error| {
                let path = PathBuf::from(text.0.trim());
                match path.exists() {
                    true => TokenProblem::PathInText { path },
                    false => TokenProblem::InText(error),
                }
            }),
            Self::File(path) => {
                let unreadable =
                    |source| TokenProblem::Unreadable { path: secret_file::shown(path), source };
                let file = secret_file::read(path, MAX_FILE_BYTES).map_err(unreadable)?;
                if let Some(open_to) = file.open_to {
                    tracing::warn!("{}", open_to.warning(path));
                }
                let in_file = |source| TokenProblem::InFile { path: path.clone(), source };
                Token::parse(&file.text).map_err(in_file)
            }
        }
    }
}
