//! Keys, tokens, certificates and sealed datagrams of a Hobnob cluster.
//!
//! This crate touches no socket, clock, file or entropy: time and random bytes are arguments. `docs/protocol/sealed.md`
//! has every byte layout.
//!
//! | to | use |
//! |---|---|
//! | found a cluster, keep its CA key | [`CaKey`] |
//! | let hosts in | [`Token`], made by [`CaKey::token`] |
//! | be a member | [`NodeKey`], and the [`Certificate`] that [`Token::certificate`] issues for it |
//! | judge a member | [`Certificate::verify`] with [`Trust`], then [`Revocations::revokes`] |
//! | replace the CA key | [`Succession`], made by [`CaKey::succession`]; [`Trust::succeed`] |
//! | order something of the whole cluster | [`OperatorCredential`], [`SignedCommand`] |
//! | seal datagrams | [`Generation`], [`seal`] |
//! | prove the words on held connections | [`HoldKey`] |
//! | replace the cryptography, in a simulation | [`suite`] |

#![forbid(unsafe_code)]

mod bytes;
mod ca;
mod certificate;
mod command;
mod generation;
mod glob;
mod hold;
mod key;
mod limits;
mod moment;
mod names;
mod revocations;
pub mod seal;
mod succession;
pub mod suite;
mod tlv;
mod token;
mod trust;

pub use bytes::DecodeError;
pub use ca::{CaFile, CaFileError, CaKey, Encryption, MAX_CA_FILE_BYTES};
pub use certificate::{
    Certificate, CertificateError, IssueError, MAX_CERTIFICATE_BYTES, Membership,
};
pub use command::{
    Command, CommandError, CredentialError, MAX_SIGNED_COMMAND_BYTES, OperatorCredential, Revoked,
    SignedCommand,
};
pub use generation::{Generation, GenerationError, GenerationId, NUMBERS_FOR_EACH_REVOCATION};
pub use glob::{Glob, GlobError};
pub use hold::{HOLD_NONCE_BYTES, HOLD_WORD_BYTES, HeldConnection, HoldKey, HoldWords};
pub use key::{
    ClusterId, Fingerprint, FingerprintError, NodeId, NodeKey, PublicKey, PublicKeyError,
};
pub use limits::{Limits, MAX_LIMITS_BYTES, Roles, Untimely, Validity};
pub use moment::{Moment, Span};
pub use names::{MAX_NAME_BYTES, Name, NameError};
pub use revocations::{MAX_MERGED_REVOCATIONS, MAX_REVOCATIONS, RevocationError, Revocations};
pub use succession::{MAX_SUCCESSION_CHARS, SUCCESSION_BYTES, Succession, SuccessionError};
pub use token::{MAX_TOKEN_CHARS, Seed, SeedAddress, Token, TokenError};
pub use trust::Trust;
