//! The short forms: a ping, a pong and a digest without heads, with a MAC of 8 bytes.
//!
//! The MAC of a ping or a digest covers the form, the cluster, the sender, the receiver and the body, so that the datagram is of
//! no use to another receiver. The receiver is not among the bytes. A pong is bound to one ping by its tag instead.
//!
//! A ping carries the lowest three bytes of its counter, and its MAC covers all six, as with the extended sequence numbers of
//! RFC 4303, section 2.2.1.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::{Counter, DatagramKeys, Form, Header, OpenError};
use crate::key::NodeId;
use crate::suite::MAC_BYTES;

/// Bytes of a ping.
pub const PING_BYTES: usize = 1 + 1 + 8 + 3 + 4 + MAC_BYTES;
/// Bytes of a pong.
pub const PONG_BYTES: usize = 1 + 1 + 4 + 4 + 1 + MAC_BYTES;
/// Bytes of a digest without heads.
pub const DIGEST_BYTES: usize = 1 + 1 + 8 + 6 + 8 + 1 + MAC_BYTES;

/// A ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Its sender.
    pub sender: NodeId,
    /// Its counter.
    pub counter: Counter,
    /// Random bytes that the pong repeats.
    pub nonce: [u8; 4],
}

/// A pong. Only the member that waits for its tag has a use for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// Tells which ping it answers, and who was asked.
    pub tag: [u8; 4],
    /// The beginning of the hash of the members that its sender knows.
    pub members: [u8; 4],
    /// The local health of its sender.
    pub local_health: u8,
}

/// A digest without heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietDigest {
    /// Its sender.
    pub sender: NodeId,
    /// Its counter.
    pub counter: Counter,
    /// The hash of its sender's catalog.
    pub catalog: u64,
    /// The local health of its sender.
    pub local_health: u8,
}

impl Ping {
    /// The datagram for a receiver.
    #[must_use]
    pub fn seal(&self, keys: &DatagramKeys, receiver: NodeId) -> [u8; PING_BYTES] {
        let Self { sender, counter, nonce } = self;
        let mac = keys.mac(Form::Ping, Some((*sender, receiver)), &self.body());
        let front = [Form::Ping.byte(), keys.byte()];
        joined(&[&front, &sender.0.to_le_bytes(), &counter.low(), nonce, &mac])
    }

    /// Opens the datagram that `receiver` got. Of the counters that end as it says, the one next to `near` counts.
    ///
    /// # Errors
    /// It is of another form or generation, or was not made with the keys for this receiver and that counter.
    pub fn open(
        keys: &DatagramKeys,
        receiver: NodeId,
        near: Counter,
        datagram: &[u8],
    ) -> Result<Self, OpenError> {
        let header = read(Form::Ping, keys, datagram)?;
        let (Some(sender), Some(low)) = (header.sender, header.counter_low) else {
            return Err(OpenError::Form);
        };
        let nonce = *datagram[13..].first_chunk().ok_or(OpenError::Length)?;
        let ping = Self { sender, counter: Counter::next_to(near, low), nonce };
        verify(keys.mac(Form::Ping, Some((sender, receiver)), &ping.body()), datagram)?;
        Ok(ping)
    }

    fn body(&self) -> [u8; 10] {
        joined(&[&self.counter.to_bytes(), &self.nonce])
    }
}

impl Pong {
    /// The datagram.
    #[must_use]
    pub fn seal(&self, keys: &DatagramKeys) -> [u8; PONG_BYTES] {
        let body: [u8; 9] = joined(&[&self.tag, &self.members, &[self.local_health]]);
        let mac = keys.mac(Form::Pong, None, &body);
        joined(&[&[Form::Pong.byte(), keys.byte()], &body, &mac])
    }

    /// Opens the datagram.
    ///
    /// # Errors
    /// It is of another form or generation, or was not made with the keys.
    pub fn open(keys: &DatagramKeys, datagram: &[u8]) -> Result<Self, OpenError> {
        read(Form::Pong, keys, datagram)?;
        let body: &[u8; 9] = datagram[2..].first_chunk().ok_or(OpenError::Length)?;
        verify(keys.mac(Form::Pong, None, body), datagram)?;
        let [t0, t1, t2, t3, m0, m1, m2, m3, local_health] = *body;
        Ok(Self { tag: [t0, t1, t2, t3], members: [m0, m1, m2, m3], local_health })
    }
}

impl QuietDigest {
    /// The datagram for a receiver.
    #[must_use]
    pub fn seal(&self, keys: &DatagramKeys, receiver: NodeId) -> [u8; DIGEST_BYTES] {
        let Self { sender, counter, catalog, local_health } = self;
        let body: [u8; 15] =
            joined(&[&counter.to_bytes(), &catalog.to_le_bytes(), &[*local_health]]);
        let mac = keys.mac(Form::Digest, Some((*sender, receiver)), &body);
        joined(&[&[Form::Digest.byte(), keys.byte()], &sender.0.to_le_bytes(), &body, &mac])
    }

    /// Opens the datagram that `receiver` got.
    ///
    /// # Errors
    /// It is of another form or generation, or was not made with the keys for this receiver.
    pub fn open(keys: &DatagramKeys, receiver: NodeId, datagram: &[u8]) -> Result<Self, OpenError> {
        let header = read(Form::Digest, keys, datagram)?;
        let (Some(sender), Some(counter)) = (header.sender, header.counter) else {
            return Err(OpenError::Form);
        };
        let body: &[u8; 15] = datagram[10..].first_chunk().ok_or(OpenError::Length)?;
        verify(keys.mac(Form::Digest, Some((sender, receiver)), body), datagram)?;
        let [.., c0, c1, c2, c3, c4, c5, c6, c7, local_health] = *body;
        let catalog = u64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]);
        Ok(Self { sender, counter, catalog, local_health })
    }
}

fn read(form: Form, keys: &DatagramKeys, datagram: &[u8]) -> Result<Header, OpenError> {
    let header = Header::read(datagram)?;
    if header.form != form {
        Err(OpenError::Form)
    } else if header.generation != keys.byte() {
        Err(OpenError::Generation)
    } else {
        Ok(header)
    }
}

fn verify(expected: [u8; MAC_BYTES], datagram: &[u8]) -> Result<(), OpenError> {
    let mac = datagram.last_chunk::<MAC_BYTES>().ok_or(OpenError::Length)?;
    verify_slices_are_equal(&expected, mac).map_err(|_| OpenError::Forged)
}

/// The parts, one after the other. Together they have `N` bytes.
fn joined<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let (mut bytes, mut len) = ([0; N], 0);
    for part in parts {
        bytes[len..len + part.len()].copy_from_slice(part);
        len += part.len();
    }
    debug_assert_eq!(len, N);
    bytes
}
