//! The writer of encoded bytes.

use bincode::config;

/// Collects bytes, or only counts them.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    /// The number of bytes so far, when they are only counted.
    counted: Option<usize>,
}

impl Writer {
    /// A writer that keeps no bytes and only counts them.
    pub(crate) fn counting() -> Self {
        Self { bytes: Vec::new(), counted: Some(0) }
    }

    pub(crate) fn len(&self) -> usize {
        self.counted.unwrap_or(self.bytes.len())
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes bytes as they are, without their length.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        match &mut self.counted {
            Some(counted) => *counted += bytes.len(),
            None => self.bytes.extend_from_slice(bytes),
        }
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.raw(&[byte]);
    }

    /// Writes a number: one byte below 251; else 251, 252 or 253 and then 2, 4 or 8 bytes, little endian.
    pub(crate) fn number(&mut self, number: u64) {
        let (bytes, len) = prefix(number);
        self.raw(&bytes[..len]);
    }

    /// Writes the length of some bytes, then the bytes.
    pub(crate) fn prefixed(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    /// Writes the length of the bytes that `fields` writes, then these bytes.
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

/// A number as bincode writes it, and how many of the nine bytes are used.
fn prefix(number: u64) -> ([u8; 9], usize) {
    let mut bytes = [0; 9];
    let len = bincode::encode_into_slice(number, &mut bytes, config::standard())
        .expect("nine bytes hold every number");
    (bytes, len)
}
