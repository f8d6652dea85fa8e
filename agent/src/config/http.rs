//! The certificate of the HTTP door.

use std::path::PathBuf;

/// The files by which the HTTP door proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTls {
    /// The certificate, and those that lead from it to a CA, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}
