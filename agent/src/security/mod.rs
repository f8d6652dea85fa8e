//! The membership of an agent in a sealed cluster: what its token and its data directory say of it.

mod credential;
mod enter;
mod entropy;
mod error;
mod sealed;
mod secrets;
#[cfg(test)]
mod tests;

pub(crate) use credential::{OwnCredential, refused};
pub(crate) use enter::{Entered, enter};
pub use entropy::system_random;
pub use error::SecurityError;
pub(crate) use sealed::Sealed;
pub(crate) use secrets::Secrets;
