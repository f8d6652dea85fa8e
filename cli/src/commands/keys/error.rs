//! The errors of keys and tokens.

use std::io;
use std::path::PathBuf;

use hobnob_agent::secret_file::SecretFileError;
use hobnob_keys::{CaFileError, DecodeError, Fingerprint, TokenError};

/// A command about keys and tokens failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// The CA key would overwrite a file.
    #[error("{} exists, and a CA key is never overwritten", path.display())]
    Exists { path: PathBuf },
    /// A second CA key, or the file that tells the cluster of it, is there.
    #[error("{} exists, and a second CA key is never overwritten", path.display())]
    SuccessorExists { path: PathBuf },
    /// A second CA key was to be succeeded.
    #[error("{} is a second CA key, and a cluster takes no third one", path.display())]
    SuccessorOfSuccessor { path: PathBuf },
    /// There is no CA key.
    #[error("there is no CA key at {}", path.display())]
    NoCa { path: PathBuf },
    /// No place is named for the CA key, and there is no default.
    #[error("there is no place for the CA key, for neither XDG_CONFIG_HOME nor HOME is set")]
    NoPlace,
    /// The file of the CA key cannot be used.
    #[error("{}: {source}", path.display())]
    Ca { path: PathBuf, source: CaFileError },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: SecretFileError },
    /// A file cannot be made or written.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io { verb: &'static str, path: PathBuf, source: io::Error },
    /// A passphrase cannot be asked for.
    #[error("cannot ask for the passphrase of {}: {source}", path.display())]
    NoTerminal { path: PathBuf, source: io::Error },
    /// A passphrase is empty.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// Two passphrases differ.
    #[error("the two passphrases are not equal")]
    OtherPassphrase,
    /// The limits do not fit in a token.
    #[error("these limits make no token: {0}")]
    Limits(DecodeError),
    /// A file holds no succession of CA keys.
    #[error("{}: {source}", path.display())]
    Succession { path: PathBuf, source: DecodeError },
    /// A file holds no usable token.
    #[error("{}: {source}", path.display())]
    Credential { path: PathBuf, source: TokenError },
    /// A token has not the role operator.
    #[error("the token {token} in {} has not the role operator", path.display())]
    NoRole { path: PathBuf, token: Fingerprint },
    /// A text is no usable token.
    #[error(transparent)]
    Token(TokenError),
    /// The path of a file stands where a token should.
    #[error("{} is a file, and a token was expected", path.display())]
    PathForToken { path: PathBuf },
}

impl KeysError {
    /// Whether the command can never succeed as it was typed.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Limits(_)
                | Self::Succession { .. }
                | Self::Token(_)
                | Self::PathForToken { .. }
                | Self::Credential { .. }
                | Self::NoRole { .. }
                | Self::EmptyPassphrase
        )
    }
}
