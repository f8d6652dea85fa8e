//! Bytes that are being written.

use super::reader::{NUMBER_U16, NUMBER_U32, NUMBER_U64};

/// Collects bytes, or only counts them.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    /// How many there are when they are only counted.
    counted: Option<usize>,
}

impl Writer {
    /// A writer that keeps no byte and tells how many there were.
    pub(crate) fn counting() -> Self {
        Self { bytes: Vec::new(), counted: Some(0) }
    }

    pub(crate) fn len(&self) -> usize {
        self.counted.unwrap_or(self.bytes.len())
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Bytes as they are, without their length.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        match &mut self.counted {
            Some(counted) => *counted += bytes.len(),
            None => self.bytes.extend_from_slice(bytes),
        }
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.raw(&[byte]);
    }

    /// One byte below 251; else 251, 252 or 253 and then 2, 4 or 8 bytes, little endian.
    pub(crate) fn number(&mut self, number: u64) {
        let (bytes, len) = prefix(number);
        self.raw(&bytes[..len]);
    }

    /// The length of some bytes, then the bytes.
    pub(crate) fn prefixed(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    /// The length of what `fields` writes, then that.
    pub(crate) fn block(&mut self, fields: impl FnOnce(&mut Self)) {
        let start = self.len();
        fields(self);
        let len = self.len() - start;
        let (bytes, prefix_len) = prefix(len as u64);
        match &mut self.counted {
            Some(counted) => *counted += prefix_len,
            None => drop(self.bytes.splice(start..start, bytes[..prefix_len].iter().copied())),
        }
    }
}

/// A number as bytes, and how many of them count.
fn prefix(number: u64) -> ([u8; 9], usize) {
    let mut bytes = [0; 9];
    let [a, b, c, d, ..] = number.to_le_bytes();
    if number < u64::from(NUMBER_U16) {
        bytes[0] = a;
        (bytes, 1)
    } else if number <= u64::from(u16::MAX) {
        bytes[..3].copy_from_slice(&[NUMBER_U16, a, b]);
        (bytes, 3)
    } else if number <= u64::from(u32::MAX) {
        bytes[..5].copy_from_slice(&[NUMBER_U32, a, b, c, d]);
        (bytes, 5)
    } else {
        bytes[0] = NUMBER_U64;
        bytes[1..].copy_from_slice(&number.to_le_bytes());
        (bytes, 9)
    }
}
