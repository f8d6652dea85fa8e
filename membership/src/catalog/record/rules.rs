//! The rules that a record must meet before its origin may write it.

use crate::base::limits;

/// The reason for which a record may not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A text is empty and must not be.
    #[error("{field} must not be empty")]
    Empty {
        /// The name of the text.
        field: &'static str,
    },
    /// A text is longer than its limit.
    #[error("{field} is {len} bytes long; the limit is {limit}")]
    TooLong {
        /// The name of the text.
        field: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// A collection has more items than its limit.
    #[error("there are {len} {field}; the limit is {limit}")]
    TooMany {
        /// The name of the collection.
        field: &'static str,
        /// The number of its items.
        len: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// A name has a character that would break a terminal, a log line or a URL.
    #[error("{field} `{value}` has a control character")]
    ControlCharacter {
        /// The name of the text.
        field: &'static str,
        /// The text, escaped.
        value: String,
    },
    /// An address is neither an IP address nor a host name.
    #[error("`{address}` is neither an IP address nor a host name")]
    NotAHost {
        /// The address.
        address: String,
    },
    /// A number is outside its range.
    #[error("{field} must be {expected}")]
    OutOfRange {
        /// The name of the number.
        field: &'static str,
        /// The allowed range, in words.
        expected: &'static str,
    },
    /// The whole record is larger than the limit.
    #[error("the record takes {len} bytes; the limit is {limit}: shorten its metadata or tags", limit = limits::MAX_RECORD_BYTES)]
    TooLarge {
        /// Its size in bytes on the wire.
        len: usize,
    },
    /// The kind of the value does not match the kind of the key, or this version does not know the kind of the key.
    #[error("the record's key and value are not of one known kind")]
    KindMismatch,
}

/// Checks that a text can be a name: not empty, not too long, without control characters.
///
/// # Errors
/// The first rule that it breaks.
pub fn name(field: &'static str, value: &str) -> Result<(), RecordError> {
    if value.is_empty() {
        return Err(RecordError::Empty { field });
    }
    text(field, value, limits::MAX_NAME_BYTES)
}

pub(super) fn text(field: &'static str, value: &str, limit: usize) -> Result<(), RecordError> {
    if value.len() > limit {
        return Err(RecordError::TooLong { field, len: value.len(), limit });
    }
    if value.chars().any(char::is_control) {
        return Err(RecordError::ControlCharacter {
            field,
            value: value.escape_default().to_string(),
        });
    }
    Ok(())
}

pub(super) fn count(field: &'static str, len: usize, limit: usize) -> Result<(), RecordError> {
    if len > limit { Err(RecordError::TooMany { field, len, limit }) } else { Ok(()) }
}
