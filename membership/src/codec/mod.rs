//! The encoding of values: bytes that later versions can extend.
//!
//! A *field* is a number, a text, a fixed row of bytes, an option, a list or a block. Numbers have the variable length
//! of bincode 2; lists and texts begin with their length. Every struct is written as a *block*: the length of its
//! fields, then the fields, one after the other.
//!
//! A later version adds fields at the end of a block. An earlier version reads the fields that it knows and skips the
//! rest. A block of an earlier version ends early, and each missing field takes the default that its `later` clause
//! states (see [`block!`]). An element of a list that is of an unknown kind is skipped by its length, and counted.
//!
//! Reading allocates in proportion to the bytes that are there, whatever the lengths in them claim. No type contains
//! itself, so blocks nest only as deep as the types do. No bytes make a reader panic.

mod block;
mod field;
mod reader;
mod writer;

pub(crate) use block::{Block, block};
pub(crate) use field::{Field, Fixed};
pub(crate) use reader::Reader;
pub(crate) use writer::Writer;

/// The reason for which bytes could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("the bytes end too early")]
    Truncated,
    /// A kind, or a variant of an enum, that a later version may know. A list skips the element that holds it.
    #[error("unknown kind {0}")]
    Unknown(u8),
    /// A value that breaks a rule of the protocol.
    #[error("{0}")]
    Invalid(&'static str),
}

/// The bytes of a field.
#[cfg(test)]
pub(crate) fn encode<T: Field>(field: &T) -> Vec<u8> {
    let mut writer = Writer::default();
    field.put(&mut writer);
    writer.into_bytes()
}

/// The number of bytes that a field takes. It is counted without writing them.
pub(crate) fn encoded_len<T: Field>(field: &T) -> usize {
    let mut writer = Writer::counting();
    field.put(&mut writer);
    writer.len()
}

/// Reads a field that takes all of `bytes`.
///
/// # Errors
/// The bytes end too early or are left over, or the value is of an unknown kind or breaks a rule.
#[cfg(test)]
pub(crate) fn decode<T: Field>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = T::take(&mut reader)?;
    if reader.is_empty() { Ok(value) } else { Err(DecodeError::Invalid("bytes are left over")) }
}
