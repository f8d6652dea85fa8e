//! The envelope of a datagram: the bytes around its messages.

use hobnob_keys::seal::{DIGEST_BYTES, PING_BYTES, PONG_BYTES, SEALED_OVERHEAD_BYTES};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Packed, ShortForm, WireError};
use crate::base::cluster::ClusterId;
use crate::base::limits::{MAX_DATAGRAM_BYTES, WIRE_VERSION};

/// The low half of a datagram's first byte is its version, the high half its form.
const VERSION_BITS: u8 = 0x0f;
/// Messages in the clear behind a checksum.
const FORM_CLEAR: u8 = 0x10;
/// Sealed messages, and the short sealed forms of a ping, a pong and a digest.
const FORMS_SEALED: [u8; 4] = [0x00, 0x40, 0x50, 0x60];
/// The first byte of a datagram in the clear, and of the version in the first frame of a stream.
pub(super) const CLEAR: u8 = FORM_CLEAR | WIRE_VERSION;

/// The first byte of a sealed datagram, and of the version in the first frame of a stream of a sealed cluster.
pub(super) const SEALED: u8 = WIRE_VERSION;

/// Bytes before the first message: version and form, checksum and the tag of the cluster.
const CLEAR_BYTES: usize = 7;
/// The offset of the tag of the cluster. The checksum covers everything from there on.
const TAG_AT: usize = 5;
/// Bytes before the body of a message that fills a datagram: its kind, and a length of more than 250.
const MESSAGE_HEADER_BYTES: usize = 1 + 3;

/// The bytes around the messages of a datagram: how many there are and, in a clear cluster, which.
///
/// The envelope says how many bytes messages may take, and no other part knows its overhead. In a sealed cluster the room
/// `trust` closes and opens datagrams, with keys that change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    cluster: ClusterId,
    /// Bytes of a datagram that are not messages.
    overhead: usize,
    is_sealed: bool,
}

impl Envelope {
    /// Messages in the clear, between nodes of a cluster.
    #[must_use]
    pub const fn clear(cluster: ClusterId) -> Self {
        Self { cluster, overhead: CLEAR_BYTES, is_sealed: false }
    }

    /// Sealed messages, between nodes of a cluster.
    pub(crate) const fn sealed(cluster: ClusterId) -> Self {
        Self { cluster, overhead: SEALED_OVERHEAD_BYTES, is_sealed: true }
    }

    /// The cluster whose datagrams this envelope closes and opens.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// This envelope, with room for one that takes `overhead` bytes. It leaves at least the room that it takes itself.
    #[cfg(test)]
    pub(crate) fn with_overhead(self, overhead: usize) -> Self {
        Self { overhead: overhead.max(CLEAR_BYTES), ..self }
    }

    /// Bytes that the messages of one datagram may take together.
    #[must_use]
    pub const fn messages_bytes(&self) -> usize {
        MAX_DATAGRAM_BYTES - self.overhead
    }

    /// Bytes of the datagram of these messages.
    pub(crate) fn datagram_bytes(&self, packed: &Packed) -> usize {
        match packed.short_form().filter(|_| self.is_sealed) {
            Some(ShortForm::Ping) => PING_BYTES,
            Some(ShortForm::Pong) => PONG_BYTES,
            Some(ShortForm::Digest) => DIGEST_BYTES,
            None => self.overhead + packed.bytes().len(),
        }
    }

    /// Bytes that the body of one message may take in a datagram of its own.
    #[must_use]
    pub const fn body_bytes(&self) -> usize {
        self.messages_bytes() - MESSAGE_HEADER_BYTES
    }

    /// The datagram of these messages in the clear.
    pub(crate) fn close(&self, messages: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::with_capacity(CLEAR_BYTES + messages.len());
        datagram.extend_from_slice(&[CLEAR, 0, 0, 0, 0]);
        datagram.extend_from_slice(&self.cluster.tag());
        datagram.extend_from_slice(messages);
        let checksum = self.checksum(&datagram[TAG_AT..]);
        datagram[1..TAG_AT].copy_from_slice(&checksum);
        datagram
    }

    /// The messages of a datagram in the clear.
    pub(crate) fn open<'a>(&self, datagram: &'a [u8]) -> Result<&'a [u8], WireError> {
        if datagram.len() > MAX_DATAGRAM_BYTES {
            return Err(WireError::TooLarge { len: datagram.len(), limit: MAX_DATAGRAM_BYTES });
        }
        check_first_byte(*datagram.first().ok_or(WireError::Truncated)?)?;
        let Some((envelope, messages)) = datagram.split_first_chunk::<CLEAR_BYTES>() else {
            return Err(WireError::Truncated);
        };
        let [_, a, b, c, d, tag @ ..] = envelope;
        if *tag != self.cluster.tag() {
            return Err(WireError::OtherCluster);
        }
        if self.checksum(&datagram[TAG_AT..]) != [*a, *b, *c, *d] {
            return Err(WireError::Checksum);
        }
        Ok(messages)
    }

    fn checksum(&self, bytes: &[u8]) -> [u8; 4] {
        let [a, b, c, d, ..] = xxh3_64_with_seed(bytes, self.cluster.0).to_le_bytes();
        [a, b, c, d]
    }
}

/// Checks the first byte: the version is ours, and the form is clear.
pub(crate) fn check_first_byte(byte: u8) -> Result<(), WireError> {
    let (version, form) = (byte & VERSION_BITS, byte & !VERSION_BITS);
    match form {
        _ if version != WIRE_VERSION => Err(WireError::Version(version)),
        FORM_CLEAR => Ok(()),
        form if FORMS_SEALED.contains(&form) => Err(WireError::Sealed),
        form => Err(WireError::Form(form >> 4)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::identity::NodeId;
    use crate::wire::{DatagramBuilder, Message, Ping};

    /// Bytes that a sealed envelope takes.
    const SEALED_BYTES: usize = 33;

    #[test]
    fn a_packed_datagram_leaves_room_for_its_envelope() {
        let clear = Envelope::clear(ClusterId::default());
        let sealed = clear.with_overhead(SEALED_BYTES);
        assert_eq!(clear.body_bytes() - sealed.body_bytes(), SEALED_BYTES - CLEAR_BYTES);
        let ping = Message::Ping(Ping { sender: NodeId(1), nonce: [0; 4] });
        let mut datagram = DatagramBuilder::new(sealed);
        while datagram.push(&ping).is_ok() {}
        let messages = datagram.finish().len() - CLEAR_BYTES;
        assert!(messages + SEALED_BYTES <= MAX_DATAGRAM_BYTES);
        assert!(messages + SEALED_BYTES + 14 > MAX_DATAGRAM_BYTES, "another ping has no room");
    }
}
