//! The reader of encoded bytes.

use bincode::config;

use super::DecodeError;

/// Reads fields from the front of some bytes.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    skipped: u32,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, skipped: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The number of bytes that are left.
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// The number of elements that were skipped because their kind is unknown.
    pub(crate) fn skipped(&self) -> u32 {
        self.skipped
    }

    /// A reader without bytes and with the same count of skipped elements.
    pub(crate) fn ended(&self) -> Self {
        Self { rest: &[], skipped: self.skipped }
    }

    /// Counts an element that was skipped.
    pub(crate) fn skip(&mut self) {
        self.skipped = self.skipped.saturating_add(1);
    }

    /// Takes `len` bytes as they are.
    pub(crate) fn raw(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    /// Reads a number as bincode writes it.
    pub(crate) fn number(&mut self) -> Result<u64, DecodeError> {
        let decoded = bincode::decode_from_slice(self.rest, config::standard());
        let (number, read) = decoded.map_err(|error| match error {
            bincode::error::DecodeError::UnexpectedEnd { .. } => DecodeError::Truncated,
            _ => DecodeError::Invalid("a number of more than 64 bits"),
        })?;
        self.raw(read)?;
        Ok(number)
    }

    /// Reads a length, or a number of elements of a byte or more each. Refuses a value above the number of bytes that
    /// are left.
    pub(crate) fn length(&mut self) -> Result<usize, DecodeError> {
        let length = usize::try_from(self.number()?).map_err(|_| DecodeError::Truncated)?;
        if length > self.len() { Err(DecodeError::Truncated) } else { Ok(length) }
    }

    /// Reads a length, then as many bytes.
    pub(crate) fn prefixed(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.length()?;
        self.raw(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.prefixed()?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::Invalid("a text is not UTF-8"))
    }

    /// Reads the known fields of a block, and skips the rest of it. The reader is at the end of the block afterwards,
    /// even when the fields could not be read.
    pub(crate) fn block<T>(
        &mut self,
        fields: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let mut block = Reader::new(self.prefixed()?);
        let value = fields(&mut block)?;
        self.skipped = self.skipped.saturating_add(block.skipped);
        Ok(value)
    }
}
