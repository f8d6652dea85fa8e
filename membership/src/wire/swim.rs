//! foca's packets: our codec for it, and four bytes in place of a destination that the receiver knows anyway.
//!
//! foca hands us `destination, message, source, incarnation, updates`. On the wire the destination (23 bytes or more)
//! becomes a hash of four; the receiver compares it with its own and puts its identity back before foca sees the packet.

use std::borrow::Cow;

use bytes::{Buf, BufMut};
use foca::{Header, Member, Message, State};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{WireError, decode_prefix, encoded_len, to_bytes};
use crate::base::identity::{Identity, NodeId};
use crate::base::limits::MAX_DATAGRAM_BYTES;
#[cfg(feature = "mutants")]
use crate::testing::mutants::{self as mutant, Mutant};

const HASH_BYTES: usize = 4;
const COUNT_BYTES: usize = 2;
const SEED_IDENTITY: u64 = 0;
/// An announcement may be meant for whatever life of a node is there.
const SEED_NODE: u64 = 1;

/// foca's messages in an order that is ours to keep, whatever foca does with its own.
#[derive(Serialize, Deserialize)]
enum WireMessage {
    Announce,
    Feed,
    Gossip,
    Broadcast,
    TurnUndead,
    Ping(u8),
    Ack(u8),
    PingReq(Identity, u8),
    IndirectPing(Identity, u8),
    IndirectAck(Identity, u8),
    ForwardedAck(Identity, u8),
}
const ANNOUNCE_TAG: u8 = 0;
const TURN_UNDEAD_TAG: u8 = 4;

impl From<&Message<Identity>> for WireMessage {
    fn from(message: &Message<Identity>) -> Self {
        match message {
            Message::Announce => Self::Announce,
            Message::Feed => Self::Feed,
            Message::Gossip => Self::Gossip,
            Message::Broadcast => Self::Broadcast,
            Message::TurnUndead => Self::TurnUndead,
            Message::Ping(n) => Self::Ping(*n),
            Message::Ack(n) => Self::Ack(*n),
            Message::PingReq { target, probe_number } => Self::PingReq(*target, *probe_number),
            Message::IndirectPing { origin, probe_number } => {
                Self::IndirectPing(*origin, *probe_number)
            }
            Message::IndirectAck { target, probe_number } => {
                Self::IndirectAck(*target, *probe_number)
            }
            Message::ForwardedAck { origin, probe_number } => {
                Self::ForwardedAck(*origin, *probe_number)
            }
        }
    }
}

impl From<WireMessage> for Message<Identity> {
    fn from(message: WireMessage) -> Self {
        match message {
            WireMessage::Announce => Self::Announce,
            WireMessage::Feed => Self::Feed,
            WireMessage::Gossip => Self::Gossip,
            WireMessage::Broadcast => Self::Broadcast,
            WireMessage::TurnUndead => Self::TurnUndead,
            WireMessage::Ping(n) => Self::Ping(n),
            WireMessage::Ack(n) => Self::Ack(n),
            WireMessage::PingReq(target, probe_number) => Self::PingReq { target, probe_number },
            WireMessage::IndirectPing(origin, probe_number) => {
                Self::IndirectPing { origin, probe_number }
            }
            WireMessage::IndirectAck(target, probe_number) => {
                Self::IndirectAck { target, probe_number }
            }
            WireMessage::ForwardedAck(origin, probe_number) => {
                Self::ForwardedAck { origin, probe_number }
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
enum WireState {
    Alive,
    Suspect,
    Down,
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
    fn put<T: Serialize>(value: &T, mut buf: impl BufMut) -> Result<(), WireError> {
        let bytes = to_bytes(value, buf.remaining_mut().min(MAX_DATAGRAM_BYTES))?;
        buf.put_slice(&bytes);
        Ok(())
    }

    fn get<T: for<'de> Deserialize<'de>>(mut buf: impl Buf) -> Result<T, WireError> {
        let (value, read) = decode_prefix(buf.chunk())?;
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
        Self::put(
            &(header.dst, WireMessage::from(&header.message), header.src, header.src_incarnation),
            buf,
        )
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<Identity>, WireError> {
        let (dst, message, src, src_incarnation): (_, WireMessage, _, _) = Self::get(buf)?;
        Ok(Header { src, src_incarnation, dst, message: message.into() })
    }

    fn encode_member(
        &mut self,
        member: &Member<Identity>,
        buf: impl BufMut,
    ) -> Result<(), WireError> {
        let state = match member.state() {
            State::Alive => WireState::Alive,
            State::Suspect => WireState::Suspect,
            State::Down => WireState::Down,
        };
        Self::put(&(*member.id(), member.incarnation(), state), buf)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Member<Identity>, WireError> {
        let (id, incarnation, state): (Identity, _, _) = Self::get(buf)?;
        #[cfg(feature = "mutants")]
        if id.node_id == self.own && mutant::is(Mutant::NeverRefute) {
            return Ok(Member::new(id, incarnation, State::Alive));
        }
        let state = match state {
            WireState::Alive => State::Alive,
            WireState::Suspect => State::Suspect,
            WireState::Down => State::Down,
        };
        Ok(Member::new(id, incarnation, state))
    }
}

/// A packet of foca's as it goes out: the destination replaced by its hash.
pub(crate) fn strip_destination(to: &Identity, packet: &[u8]) -> Option<Vec<u8>> {
    let rest = packet.get(encoded_len(to)..)?;
    let seed = if rest.first() == Some(&ANNOUNCE_TAG) { SEED_NODE } else { SEED_IDENTITY };
    let mut bytes = Vec::with_capacity(HASH_BYTES + rest.len());
    bytes.extend_from_slice(&destination_hash(to, seed));
    bytes.extend_from_slice(rest);
    Some(bytes)
}

/// A packet as foca takes it, when it is meant for us; `None` when it is not.
pub(crate) fn restore_destination(own: &Identity, packet: &[u8]) -> Option<Vec<u8>> {
    let (hash, rest) = packet.split_at_checked(HASH_BYTES)?;
    let seed = if rest.first()? == &ANNOUNCE_TAG { SEED_NODE } else { SEED_IDENTITY };
    if hash != destination_hash(own, seed) {
        return None;
    }
    let mut bytes = to_bytes(own, MAX_DATAGRAM_BYTES).ok()?;
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
    overheard.calls_us_down = packet.first() == Some(&TURN_UNDEAD_TAG);
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
    let Ok(((_, source, _), read)) = decode_prefix::<(WireMessage, Identity, u16)>(packet) else {
        return overheard;
    };
    note(source, false);
    let mut members = packet.get(read + COUNT_BYTES..).unwrap_or_default();
    while let Ok(((identity, _, state), read)) =
        decode_prefix::<(Identity, u16, WireState)>(members)
    {
        note(identity, matches!(state, WireState::Down));
        members = members.get(read..).unwrap_or_default();
    }
    overheard
}

/// A packet without what it says of some members, in an incarnation, that they are not down. What does not decode is left to
/// foca.
pub(crate) fn without_members(
    packet: &[u8],
    mut unwanted: impl FnMut(&Identity, u16) -> bool,
) -> Cow<'_, [u8]> {
    let updates = || {
        let (_, swim) = packet.split_at_checked(HASH_BYTES)?;
        let (_, read) = decode_prefix::<(WireMessage, Identity, u16)>(swim).ok()?;
        packet.split_at_checked(HASH_BYTES + read + COUNT_BYTES)
    };
    let Some((header, mut members)) = updates() else { return Cow::Borrowed(packet) };
    let (mut kept, mut count) = (Vec::with_capacity(packet.len()), 0_u16);
    kept.extend_from_slice(header);
    while !members.is_empty() {
        let Ok(((identity, incarnation, state), read)) =
            decode_prefix::<(Identity, u16, WireState)>(members)
        else {
            return Cow::Borrowed(packet);
        };
        let Some((member, rest)) = members.split_at_checked(read) else {
            return Cow::Borrowed(packet);
        };
        if matches!(state, WireState::Down) || !unwanted(&identity, incarnation) {
            kept.extend_from_slice(member);
            count += 1;
        }
        members = rest;
    }
    let at = header.len() - COUNT_BYTES;
    kept[at..header.len()].copy_from_slice(&count.to_be_bytes());
    Cow::Owned(kept)
}

/// Who sent a packet, as it came.
pub(crate) fn source_of(packet: &[u8]) -> Option<Identity> {
    let (_, packet) = packet.split_at_checked(HASH_BYTES)?;
    let ((_, source), _) = decode_prefix::<(WireMessage, Identity)>(packet).ok()?;
    Some(source)
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

    #[test]
    fn what_a_packet_says_of_some_members_is_taken_out_unless_they_are_down() {
        let encode = |members: &[(Identity, u16, WireState)]| {
            let mut packet = vec![0; HASH_BYTES];
            let header = (WireMessage::Gossip, identity(1), 3_u16);
            packet.extend(to_bytes(&header, MAX_DATAGRAM_BYTES).expect("it fits"));
            packet.extend((members.len() as u16).to_be_bytes());
            for member in members {
                packet.extend(to_bytes(member, MAX_DATAGRAM_BYTES).expect("it fits"));
            }
            packet
        };
        let packet = encode(&[
            (identity(2), 0, WireState::Alive),
            (identity(3), 0, WireState::Alive),
            (identity(3), 0, WireState::Down),
        ]);
        let rest = encode(&[(identity(2), 0, WireState::Alive), (identity(3), 0, WireState::Down)]);
        assert_eq!(*without_members(&packet, |member, _| member.node_id == NodeId(3)), rest);
        assert_eq!(*without_members(&packet, |_, _| false), packet);
        let cut = &packet[..packet.len() - 1];
        assert_eq!(*without_members(cut, |_, _| true), *cut, "for foca to refuse");
    }
}
