//! foca's packets: our codec for it, and four bytes in place of a destination that the receiver knows anyway.
//!
//! foca hands us `destination, header, updates`. On the wire the destination (24 bytes or more) becomes a hash of four;
//! the receiver compares it with its own and puts its identity back before foca sees the packet. The header is a kind
//! and a block, each update a block, so that both can grow.

use std::borrow::Cow;

use bytes::{Buf, BufMut};
use foca::{Header, Member, Message, State};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::WireError;
use crate::base::identity::{Identity, NodeId};
use crate::base::limits::MAX_DATAGRAM_BYTES;
use crate::codec::{Block, DecodeError, Field, Reader, Writer, encode, encoded_len};
#[cfg(feature = "mutants")]
use crate::testing::mutants::{self as mutant, Mutant};

const HASH_BYTES: usize = 4;
const COUNT_BYTES: usize = 2;
const SEED_IDENTITY: u64 = 0;
/// An announcement may be meant for whatever life of a node is there.
const SEED_NODE: u64 = 1;

/// foca's messages by numbers that are ours to keep, whatever foca does with its own.
const ANNOUNCE: u8 = 0;
const FEED: u8 = 1;
const GOSSIP: u8 = 2;
const BROADCAST: u8 = 3;
const TURN_UNDEAD: u8 = 4;
const PING: u8 = 5;
const ACK: u8 = 6;
const PING_REQ: u8 = 7;
const INDIRECT_PING: u8 = 8;
const INDIRECT_ACK: u8 = 9;
const FORWARDED_ACK: u8 = 10;

/// The header of a packet without its destination.
struct WireHeader {
    source: Identity,
    incarnation: u16,
    message: Message<Identity>,
}

/// A kind and a block: the source, its incarnation, and what the message carries.
impl Field for WireHeader {
    fn put(&self, writer: &mut Writer) {
        let (kind, number, other) = match self.message {
            Message::Announce => (ANNOUNCE, None, None),
            Message::Feed => (FEED, None, None),
            Message::Gossip => (GOSSIP, None, None),
            Message::Broadcast => (BROADCAST, None, None),
            Message::TurnUndead => (TURN_UNDEAD, None, None),
            Message::Ping(number) => (PING, Some(number), None),
            Message::Ack(number) => (ACK, Some(number), None),
            Message::PingReq { target, probe_number } => {
                (PING_REQ, Some(probe_number), Some(target))
            }
            Message::IndirectPing { origin, probe_number } => {
                (INDIRECT_PING, Some(probe_number), Some(origin))
            }
            Message::IndirectAck { target, probe_number } => {
                (INDIRECT_ACK, Some(probe_number), Some(target))
            }
            Message::ForwardedAck { origin, probe_number } => {
                (FORWARDED_ACK, Some(probe_number), Some(origin))
            }
        };
        writer.byte(kind);
        writer.block(|writer| {
            self.source.put(writer);
            self.incarnation.put(writer);
            if let Some(number) = number {
                writer.byte(number);
            }
            if let Some(other) = other {
                other.put(writer);
            }
        });
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = reader.byte()?;
        reader.block(|reader| {
            let (source, incarnation) = (Identity::take(reader)?, u16::take(reader)?);
            let message = take_message(kind, reader)?;
            Ok(Self { source, incarnation, message })
        })
    }
}

fn take_message(kind: u8, reader: &mut Reader<'_>) -> Result<Message<Identity>, DecodeError> {
    Ok(match kind {
        ANNOUNCE => Message::Announce,
        FEED => Message::Feed,
        GOSSIP => Message::Gossip,
        BROADCAST => Message::Broadcast,
        TURN_UNDEAD => Message::TurnUndead,
        PING => Message::Ping(reader.byte()?),
        ACK => Message::Ack(reader.byte()?),
        PING_REQ..=FORWARDED_ACK => {
            let (probe_number, other) = (reader.byte()?, Identity::take(reader)?);
            match kind {
                PING_REQ => Message::PingReq { target: other, probe_number },
                INDIRECT_PING => Message::IndirectPing { origin: other, probe_number },
                INDIRECT_ACK => Message::IndirectAck { target: other, probe_number },
                _ => Message::ForwardedAck { origin: other, probe_number },
            }
        }
        kind => return Err(DecodeError::Unknown(kind)),
    })
}

/// What a packet says of a member.
struct Update {
    identity: Identity,
    incarnation: u16,
    state: State,
}

impl Block for Update {
    fn put_fields(&self, writer: &mut Writer) {
        self.identity.put(writer);
        self.incarnation.put(writer);
        writer.byte(match self.state {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        });
    }

    fn take_fields(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (identity, incarnation) = (Identity::take(reader)?, u16::take(reader)?);
        let state = match reader.byte()? {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            state => return Err(DecodeError::Unknown(state)),
        };
        Ok(Self { identity, incarnation, state })
    }
}

/// The codec that foca writes and reads with.
#[derive(Debug)]
pub(crate) struct SwimCodec {
    #[cfg(feature = "mutants")]
    own: NodeId,
}

impl SwimCodec {
    #[cfg(feature = "mutants")]
    pub(crate) fn new(own: NodeId) -> Self {
        Self { own }
    }

    #[cfg(not(feature = "mutants"))]
    pub(crate) fn new(_: NodeId) -> Self {
        Self {}
    }

    /// Writes all of a value or nothing: foca forbids a buffer left half written.
    fn put(writer: Writer, mut buf: impl BufMut) -> Result<(), WireError> {
        let (bytes, limit) = (writer.into_bytes(), buf.remaining_mut().min(MAX_DATAGRAM_BYTES));
        if bytes.len() > limit {
            return Err(WireError::TooLarge { len: bytes.len(), limit });
        }
        buf.put_slice(&bytes);
        Ok(())
    }

    fn take<T>(
        mut buf: impl Buf,
        take: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
    ) -> Result<T, WireError> {
        let mut reader = Reader::new(buf.chunk());
        let value = take(&mut reader)?;
        let read = buf.remaining() - reader.len();
        buf.advance(read);
        Ok(value)
    }
}

impl foca::Codec<Identity> for SwimCodec {
    type Error = WireError;

    fn encode_header(
        &mut self,
        header: &Header<Identity>,
        buf: impl BufMut,
    ) -> Result<(), WireError> {
        let mut writer = Writer::default();
        header.dst.put(&mut writer);
        let (source, incarnation) = (header.src, header.src_incarnation);
        WireHeader { source, incarnation, message: header.message.clone() }.put(&mut writer);
        Self::put(writer, buf)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<Identity>, WireError> {
        let take =
            |reader: &mut Reader<'_>| Ok((Identity::take(reader)?, WireHeader::take(reader)?));
        let (dst, header) = Self::take(buf, take)?;
        let WireHeader { source: src, incarnation: src_incarnation, message } = header;
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(
        &mut self,
        member: &Member<Identity>,
        buf: impl BufMut,
    ) -> Result<(), WireError> {
        let (identity, incarnation, state) = (*member.id(), member.incarnation(), member.state());
        let mut writer = Writer::default();
        Update { identity, incarnation, state }.put(&mut writer);
        Self::put(writer, buf)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Member<Identity>, WireError> {
        let Update { identity, incarnation, state } = Self::take(buf, Update::take)?;
        #[cfg(feature = "mutants")]
        if identity.node_id == self.own && mutant::is(Mutant::NeverRefute) {
            return Ok(Member::new(identity, incarnation, State::Alive));
        }
        Ok(Member::new(identity, incarnation, state))
    }
}

/// A packet of foca's as it goes out: the destination replaced by its hash.
pub(crate) fn strip_destination(to: &Identity, packet: &[u8]) -> Option<Vec<u8>> {
    let rest = packet.get(encoded_len(to)..)?;
    let seed = if rest.first() == Some(&ANNOUNCE) { SEED_NODE } else { SEED_IDENTITY };
    let mut bytes = Vec::with_capacity(HASH_BYTES + rest.len());
    bytes.extend_from_slice(&destination_hash(to, seed));
    bytes.extend_from_slice(rest);
    Some(bytes)
}

/// A packet as foca takes it, when it is meant for us; `None` when it is not.
pub(crate) fn restore_destination(own: &Identity, packet: &[u8]) -> Option<Vec<u8>> {
    let (hash, rest) = packet.split_at_checked(HASH_BYTES)?;
    let seed = if rest.first()? == &ANNOUNCE { SEED_NODE } else { SEED_IDENTITY };
    if hash != destination_hash(own, seed) {
        return None;
    }
    let mut bytes = encode(own);
    bytes.extend_from_slice(rest);
    Some(bytes)
}

/// What a packet says of the node that receives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overheard {
    /// Another identity of ours, elsewhere and not down: an earlier life of ours, or another agent under our id.
    pub(crate) elsewhere: Option<Identity>,
    /// Somebody holds us for down: to contradict takes a new epoch.
    pub(crate) calls_us_down: bool,
}

/// Looks for our node id in a packet as it came. Nearly all packets are done with at the first look.
pub(crate) fn overhear(own: &Identity, packet: &[u8]) -> Overheard {
    let mut overheard = Overheard::default();
    let Some((_, packet)) = packet.split_at_checked(HASH_BYTES) else { return overheard };
    overheard.calls_us_down = packet.first() == Some(&TURN_UNDEAD);
    let id = own.node_id.0.to_le_bytes();
    if !packet.windows(id.len()).any(|window| window == id) {
        return overheard;
    }
    let mut note = |identity: Identity, down: bool| {
        if identity == *own {
            overheard.calls_us_down |= down;
        } else if identity.node_id == own.node_id && identity.addr != own.addr && !down {
            overheard.elsewhere = Some(identity);
        }
    };
    let mut reader = Reader::new(packet);
    let Ok(WireHeader { source, .. }) = WireHeader::take(&mut reader) else { return overheard };
    note(source, false);
    if reader.raw(COUNT_BYTES).is_err() {
        return overheard;
    }
    loop {
        match Update::take(&mut reader) {
            Ok(Update { identity, state, .. }) => note(identity, state == State::Down),
            Err(DecodeError::Unknown(_)) => {}
            Err(_) => return overheard,
        }
    }
}

/// A packet as foca is to see it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sifted<'a> {
    pub(crate) packet: Cow<'a, [u8]>,
    /// Who sent it.
    pub(crate) source: Option<Identity>,
    /// How many of its updates were left out because they are of an unknown kind.
    pub(crate) skipped: u32,
}

/// A packet without what it says of some members, in an incarnation, that they are not down, and without updates of an
/// unknown kind. What does not decode is left to foca.
///
/// # Errors
/// [`DecodeError::Unknown`] when the packet itself is of an unknown kind.
pub(crate) fn sift(
    packet: &[u8],
    mut unwanted: impl FnMut(&Identity, u16) -> bool,
) -> Result<Sifted<'_>, DecodeError> {
    let mut sifted = Sifted { packet: Cow::Borrowed(packet), source: None, skipped: 0 };
    let mut reader = Reader::new(packet.get(HASH_BYTES..).unwrap_or_default());
    match WireHeader::take(&mut reader) {
        Ok(header) => sifted.source = Some(header.source),
        Err(DecodeError::Unknown(kind)) => return Err(DecodeError::Unknown(kind)),
        Err(_) => return Ok(sifted),
    }
    if reader.raw(COUNT_BYTES).is_err() {
        return Ok(sifted);
    }
    let header = packet.len() - reader.len();
    let (mut kept, mut count) = (packet[..header].to_vec(), 0_u16);
    while !reader.is_empty() {
        let at = packet.len() - reader.len();
        let keep = match Update::take(&mut reader) {
            Ok(update) => {
                update.state == State::Down || !unwanted(&update.identity, update.incarnation)
            }
            Err(DecodeError::Unknown(_)) => {
                sifted.skipped += 1;
                false
            }
            Err(_) => return Ok(Sifted { skipped: 0, ..sifted }),
        };
        if keep {
            kept.extend_from_slice(&packet[at..packet.len() - reader.len()]);
            count = count.saturating_add(1);
        }
    }
    kept[header - COUNT_BYTES..header].copy_from_slice(&count.to_be_bytes());
    Ok(Sifted { packet: Cow::Owned(kept), ..sifted })
}

fn destination_hash(identity: &Identity, seed: u64) -> [u8; HASH_BYTES] {
    let mut words = [0; 14];
    words[..8].copy_from_slice(&identity.node_id.0.to_le_bytes());
    if seed == SEED_IDENTITY {
        words[8..].copy_from_slice(&identity.epoch.0.to_le_bytes()[..6]);
    }
    let [a, b, c, d, ..] = xxh3_64_with_seed(&words, seed).to_le_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::identity::Epoch;

    fn identity(node: u64) -> Identity {
        let addr = ([10, 0, 0, node as u8], 7_946).into();
        Identity { node_id: NodeId(node), epoch: Epoch(1), addr, sync_port: 7_947 }
    }

    fn packet(updates: &[(u64, State)]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.raw(&[0; HASH_BYTES]);
        WireHeader { source: identity(1), incarnation: 3, message: Message::Gossip }
            .put(&mut writer);
        writer.raw(&(updates.len() as u16).to_be_bytes());
        for (node, state) in updates {
            Update { identity: identity(*node), incarnation: 0, state: *state }.put(&mut writer);
        }
        writer.into_bytes()
    }

    fn sifted(packet: &[u8], unwanted: u64) -> Vec<u8> {
        let sifted = sift(packet, |member, _| member.node_id == NodeId(unwanted));
        sifted.expect("a known kind").packet.into_owned()
    }

    #[test]
    fn what_a_packet_says_of_some_members_is_taken_out_unless_they_are_down() {
        let whole = packet(&[(2, State::Alive), (3, State::Alive), (3, State::Down)]);
        assert_eq!(sifted(&whole, 3), packet(&[(2, State::Alive), (3, State::Down)]));
        assert_eq!(sifted(&whole, 9), whole);
        let cut = &whole[..whole.len() - 1];
        assert_eq!(sifted(cut, 2), cut, "for foca to refuse");
    }

    #[test]
    fn updates_of_an_unknown_kind_are_left_out_and_a_packet_of_one_is_named() {
        let mut later = packet(&[(2, State::Suspect), (3, State::Alive)]);
        let state = later.len() - 1;
        later[state] = 7;
        let sifted = sift(&later, |_, _| false).expect("a known kind");
        assert_eq!(*sifted.packet, packet(&[(2, State::Suspect)]));
        assert_eq!((sifted.source, sifted.skipped), (Some(identity(1)), 1));
        later[HASH_BYTES] = 11;
        assert_eq!(sift(&later, |_, _| false), Err(DecodeError::Unknown(11)));
    }

    #[test]
    fn a_header_and_an_update_may_have_a_tail() {
        let mut writer = Writer::default();
        writer.byte(PING);
        writer.block(|writer| {
            writer.block(|writer| {
                identity(1).put_fields(writer);
                writer.raw(b"later");
            });
            3_u16.put(writer);
            writer.byte(9);
            writer.raw(b"later");
        });
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes);
        let header = WireHeader::take(&mut reader).expect("a header");
        assert_eq!((header.source, header.incarnation), (identity(1), 3));
        assert!(matches!(header.message, Message::Ping(9)) && reader.is_empty());
    }
}
