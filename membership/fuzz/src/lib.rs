//! The bodies of the fuzz targets. `tests/corpus.rs` does the same with the corpus, so each entry is a file
//! that both can include.

pub mod datagram;
pub mod frame;
pub mod node;
pub mod subject;

use hobnob_membership::ClusterId;
use hobnob_membership::limits::MAX_DATAGRAM_BYTES;
use hobnob_membership::wire::{DatagramBuilder, Envelope, Message, WireError, decode_datagram};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes before the messages of a datagram: version, checksum, and the tag of the cluster.
pub const ENVELOPE_BYTES: usize = 7;
/// The first byte that the checksum covers.
const CHECKED_FROM: usize = 5;

/// The cluster of everybody.
pub fn cluster() -> ClusterId {
    ClusterId::default()
}

/// The envelope of all datagrams here.
pub fn envelope() -> Envelope {
    Envelope::clear(cluster())
}

/// A datagram of these messages, cut to what fits, in an envelope that is in order: noise would hardly ever pass the
/// checksum.
fn sealed(messages: &[u8]) -> Vec<u8> {
    let mut datagram = DatagramBuilder::new(envelope()).finish();
    datagram
        .extend_from_slice(&messages[..messages.len().min(MAX_DATAGRAM_BYTES - ENVELOPE_BYTES)]);
    let checksum = xxh3_64_with_seed(&datagram[CHECKED_FROM..], cluster().0).to_le_bytes();
    datagram[1..CHECKED_FROM].copy_from_slice(&checksum[..4]);
    datagram
}

/// A datagram of this message alone.
fn alone(message: &Message) -> Vec<u8> {
    let mut datagram = DatagramBuilder::new(envelope());
    datagram.push(message).expect("it fits a datagram");
    datagram.finish()
}

/// The messages of a datagram, up to the first that makes no sense.
pub fn read(datagram: &[u8]) -> Result<Vec<Message>, WireError> {
    Ok(decode_datagram(datagram, &envelope())?.map_while(Result::ok).collect())
}
