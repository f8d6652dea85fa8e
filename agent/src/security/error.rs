//! The errors of an agent that is to be a member of a sealed cluster, and cannot.

use std::io;
use std::path::PathBuf;

use hobnob_keys::{CertificateError, CredentialError, IssueError, NameError};

use crate::config::TokenProblem;
use crate::storage::{OpenError, WriteError};

/// An agent cannot be a member of the cluster that it is to be a member of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecurityError {
    /// `--insecure` stands beside a token.
    #[error(
        "--insecure starts an agent of a clear cluster, and a token starts one of a sealed cluster"
    )]
    InsecureWithToken,
    /// `--insecure`, and a data directory of a sealed cluster.
    #[error("the data directory {} belongs to a member of the sealed cluster `{cluster}`, and --insecure starts an agent of a clear one", dir.display())]
    InsecureMember {
        /// The data directory.
        dir: PathBuf,
        /// The cluster.
        cluster: String,
    },
    /// The first token of an agent cannot be used.
    #[error(transparent)]
    Token(#[from] TokenProblem),
    /// The token is of another cluster than the agent.
    #[error(
        "the token lets agents join the cluster `{wanted}` ({wanted_id}), and the data directory {} belongs to a member of `{stored}` ({stored_id})",
        dir.display()
    )]
    OtherCluster {
        /// The data directory.
        dir: PathBuf,
        /// The name of the cluster of the data directory.
        stored: String,
        /// The beginning of its id.
        stored_id: String,
        /// The name of the cluster of the token.
        wanted: String,
        /// The beginning of its id.
        wanted_id: String,
    },
    /// The cluster that was asked for is not the one of the token or the membership.
    #[error("the agent is to join the cluster `{wanted}`, and {from} is of the cluster `{sealed}`")]
    OtherName {
        /// The name that was asked for.
        wanted: String,
        /// The name in the token or the membership.
        sealed: String,
        /// The token, or the membership in the data directory.
        from: String,
    },
    /// The token does not allow this agent.
    #[error("token {token}: {source}")]
    NotAllowed {
        /// The fingerprint of the token.
        token: String,
        /// The limit that was passed.
        source: IssueError,
    },
    /// A name cannot stand in a certificate.
    #[error("`{name}` cannot stand in a certificate: {source}")]
    Name {
        /// The name.
        name: String,
        /// The rule that it breaks.
        source: NameError,
    },
    /// The agent is to have another name or datacenter than its certificate says.
    #[error(
        "the {what} of this agent is to be `{wanted}`, and its certificate is for `{certified}`"
    )]
    Changed {
        /// The name or the datacenter.
        what: &'static str,
        /// The wish.
        wanted: String,
        /// The content of the certificate.
        certified: String,
    },
    /// The key that belongs to the membership is not there.
    #[error("{} is gone or is another one, and {} is the certificate of the earlier one", key.display(), membership.display())]
    OtherKey {
        /// The file of the key.
        key: PathBuf,
        /// The file of the membership.
        membership: PathBuf,
    },
    /// The certificate that belongs to the key is not there.
    #[error("{} is the key of a member of a sealed cluster, and its certificate {} is gone", key.display(), membership.display())]
    NoMembership {
        /// The file of the key.
        key: PathBuf,
        /// The file of the membership.
        membership: PathBuf,
    },
    /// The membership of the data directory does not count.
    #[error("the membership in {} does not count: {source}", path.display())]
    Membership {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: CertificateError,
    },
    /// The certificate does not count.
    #[error("the certificate of this agent does not count: {0}")]
    Certificate(#[from] CertificateError),
    /// The key and the certificate give no credential.
    #[error("this agent cannot found its cluster: {0}")]
    Credential(#[from] CredentialError),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] OpenError),
    /// The data directory cannot be written.
    #[error(transparent)]
    Storage(#[from] WriteError),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes for a key: {0}")]
    Entropy(#[from] io::Error),
}

impl SecurityError {
    /// Whether the same start can never succeed, whatever the state of the system.
    #[must_use]
    pub(crate) fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::InsecureWithToken
                | Self::InsecureMember { .. }
                | Self::OtherName { .. }
                | Self::NotAllowed { .. }
                | Self::Name { .. }
                | Self::Changed { .. }
                | Self::Token(TokenProblem::InText(_) | TokenProblem::PathInText { .. })
        )
    }
}
