//! The sealed form: messages under AES-256-GCM-SIV (RFC 8452).

use super::{Counter, DatagramKeys, Form, Header, OpenError};
use crate::key::NodeId;
use crate::suite::{NONCE_BYTES, TAG_BYTES};

/// The part that stands in the clear, and is authenticated: form, generation, sender, counter.
const HEADER_BYTES: usize = 1 + 1 + 8 + 6;
/// The bytes of a sealed datagram beside its messages.
pub const SEALED_OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

/// An opened datagram.
#[derive(Debug, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// Its sender: a holder of the keys that says to be this member.
    pub sender: NodeId,
    /// Its counter.
    pub counter: Counter,
    /// The messages.
    pub messages: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Appends the sealed datagram to `out`. It is not bound to a receiver: one datagram may go to several.
    ///
    /// # Errors
    /// There are no messages, or more than the cipher takes (64 GiB); `out` is then as before.
    pub fn seal(&self, keys: &DatagramKeys, out: &mut Vec<u8>) -> Result<(), OpenError> {
        if self.messages.is_empty() {
            return Err(OpenError::Length);
        }
        let start = out.len();
        let header = header(keys, self.sender, self.counter);
        out.reserve(SEALED_OVERHEAD_BYTES + self.messages.len());
        out.extend(header);
        out.extend_from_slice(self.messages);
        let (nonce, aad) = (nonce(self.sender, self.counter), aad(&header, keys));
        let text = &mut out[start + HEADER_BYTES..];
        let Some(tag) = keys.cipher().seal(&nonce, &aad, text) else {
            out.truncate(start);
            return Err(OpenError::Length);
        };
        out.extend(tag);
        Ok(())
    }

    /// Opens a datagram in place. The bytes are useless afterwards if it fails.
    ///
    /// # Errors
    /// It is of another form or generation, or was not sealed with the keys.
    pub fn open(keys: &DatagramKeys, datagram: &'a mut [u8]) -> Result<Self, OpenError> {
        let header = Header::read(datagram)?;
        let (Form::Sealed, Some(sender), Some(counter)) =
            (header.form, header.sender, header.counter)
        else {
            return Err(OpenError::Form);
        };
        if header.generation != keys.byte() {
            return Err(OpenError::Generation);
        }
        let (header, text) = datagram.split_first_chunk_mut().ok_or(OpenError::Length)?;
        if !keys.cipher().open(&nonce(sender, counter), &aad(header, keys), text) {
            return Err(OpenError::Forged);
        }
        let messages = &text[..text.len() - TAG_BYTES];
        Ok(Self { sender, counter, messages })
    }
}

fn header(keys: &DatagramKeys, sender: NodeId, counter: Counter) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0] = Form::Sealed.byte();
    header[1] = keys.byte();
    header[2..10].copy_from_slice(&sender.0.to_le_bytes());
    header[10..].copy_from_slice(&counter.to_bytes());
    header
}

/// The sender and the low four bytes of the counter. A nonce that repeats after 2^32 datagrams, or on a copy of a data
/// directory, shows no more than whether two datagrams are equal (RFC 8452, section 9).
fn nonce(sender: NodeId, counter: Counter) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce[..8].copy_from_slice(&sender.0.to_le_bytes());
    nonce[8..].copy_from_slice(&counter.to_bytes()[..4]);
    nonce
}

fn aad(header: &[u8; HEADER_BYTES], keys: &DatagramKeys) -> [u8; HEADER_BYTES + 32] {
    let mut aad = [0; HEADER_BYTES + 32];
    aad[..HEADER_BYTES].copy_from_slice(header);
    aad[HEADER_BYTES..].copy_from_slice(&keys.cluster().0);
    aad
}
