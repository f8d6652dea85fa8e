//! Reading encoded bytes from the front. Numbers are little endian.

use std::fmt;

/// Bytes are not of the expected form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("{what} ends too early")]
    Truncated {
        /// The name of the form.
        what: &'static str,
    },
    /// There are more bytes than there should be.
    #[error("{what} is followed by {bytes} more bytes")]
    Trailing {
        /// The name of the form.
        what: &'static str,
        /// The number of bytes after it.
        bytes: usize,
    },
    /// The format is of another version.
    #[error("{what} has format {format}, and this version reads format {known}")]
    OtherFormat {
        /// The name of the form.
        what: &'static str,
        /// Its format.
        format: u8,
        /// The format that this version reads.
        known: u8,
    },
    /// A critical element is unknown to this version.
    #[error(
        "{what} has an element of kind {kind:#04x} that must be understood, and this version does not know it"
    )]
    UnknownCritical {
        /// The name of the form.
        what: &'static str,
        /// The kind of the element, with the critical bit.
        kind: u8,
    },
    /// A length or a number of elements is over its limit.
    #[error("{what} has {len} {unit}, and {max} are allowed")]
    TooLong {
        /// The name of the form.
        what: &'static str,
        /// The claimed number.
        len: usize,
        /// The name of the items.
        unit: &'static str,
        /// The limit.
        max: usize,
    },
    /// A field has no valid value.
    #[error("{what} is invalid: {reason}")]
    Invalid {
        /// The name of the form.
        what: &'static str,
        /// Why it is invalid.
        reason: String,
    },
}

impl DecodeError {
    pub(crate) fn invalid(what: &'static str, reason: &dyn fmt::Display) -> Self {
        Self::Invalid { what, reason: reason.to_string() }
    }
}

/// Reads fields from the front of some bytes. `what` names them in errors.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(what: &'static str, rest: &'a [u8]) -> Self {
        Self { what, rest }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) =
            self.rest.split_at_checked(len).ok_or(DecodeError::Truncated { what: self.what })?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (bytes, rest) =
            self.rest.split_first_chunk().ok_or(DecodeError::Truncated { what: self.what })?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length of two bytes up to `max`, and as many bytes.
    pub(crate) fn prefixed(&mut self, max: usize) -> Result<&'a [u8], DecodeError> {
        let len = usize::from(self.u16()?);
        if len > max {
            return Err(DecodeError::TooLong { what: self.what, len, unit: "bytes", max });
        }
        self.take(len)
    }

    /// The format number that stands first.
    pub(crate) fn format(&mut self, known: u8) -> Result<(), DecodeError> {
        match self.u8()? {
            format if format == known => Ok(()),
            format => Err(DecodeError::OtherFormat { what: self.what, format, known }),
        }
    }

    pub(crate) fn end(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(DecodeError::Trailing { what: self.what, bytes }),
        }
    }
}

/// Appends a length of two bytes and the bytes. `what` names the bytes in the error when they are too many.
pub(crate) fn put_prefixed(
    out: &mut Vec<u8>,
    what: &'static str,
    bytes: &[u8],
) -> Result<(), DecodeError> {
    let (len, max) = (bytes.len(), usize::from(u16::MAX));
    let prefix = u16::try_from(len);
    let prefix = prefix.map_err(|_| DecodeError::TooLong { what, len, unit: "bytes", max })?;
    out.extend(prefix.to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}
