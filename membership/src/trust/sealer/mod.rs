//! Closing and opening the datagrams of a sealed cluster.
//!
//! A ping, a pong, or a digest without heads that is alone in its datagram goes in its short form; everything else is
//! sealed. What does not open is dropped in silence, and the reason is counted.

use std::borrow::Cow;

use hobnob_keys::seal::{
    Counter, DatagramKeys, Form, Header, OpenError, Ping as ShortPing, Pong as ShortPong,
    QuietDigest, SEALED_OVERHEAD_BYTES, Sealed,
};
use hobnob_keys::suite::TAG_BYTES;

use super::keyring::Keyring;
use super::windows::Windows;
use crate::base::identity::{Epoch, NodeId};
use crate::base::limits::MAX_DATAGRAM_BYTES;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::wire::{Digest, LocalHealth, Message, Packed, Ping, Pong, ShortForm};

/// The content of a datagram, and its sender.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    /// The member that sealed it, if the datagram says so: all messages have to be its own.
    pub(crate) sender: Option<NodeId>,
    /// The messages.
    pub(crate) content: Content<'a>,
}

/// The messages of a datagram.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    /// Encoded messages.
    Messages(Cow<'a, [u8]>),
    /// The message of a short form.
    Short(Message),
}

/// Why a datagram was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// It is of no sealed form, or its length is not that of its form.
    Malformed,
    /// It is of a generation that is not held.
    UnknownGeneration,
    /// It was made without the keys, was changed, or is for another member.
    Forged,
    /// It came before, or is too old to tell.
    Replayed,
    /// It names a revoked member as its sender.
    Revoked,
    /// It is a ping, and nothing is known of the counters of its sender.
    UnknownSender,
}

/// Closes and opens datagrams with the generations that this node holds.
#[derive(Debug)]
pub(crate) struct Sealer {
    own: NodeId,
    pub(crate) keyring: Keyring,
    pub(crate) windows: Windows,
    /// The counter with which this life began.
    began: Counter,
    /// The counter of the last datagram.
    counter: Counter,
}

impl Sealer {
    /// A node in the life that began at this epoch.
    pub(crate) fn new(own: NodeId, epoch: Epoch) -> Self {
        let began = Counter::of_epoch(epoch.0);
        let (keyring, windows) = (Keyring::default(), Windows::default());
        Self { own, keyring, windows, began, counter: began }
    }

    /// The counter with which this life began, and that of the last datagram.
    pub(crate) fn counters(&self) -> (Counter, Counter) {
        (self.began, self.counter)
    }

    /// The datagram of these messages; `None` while no generation is held.
    pub(crate) fn close(&mut self, packed: &Packed, now: Time) -> Option<Vec<u8>> {
        let keys = self.keyring.sealing_keys(now)?;
        let short = packed.short_form().and_then(|form| self.close_short(form, packed, keys));
        if let Some((datagram, counter)) = short {
            self.counter = counter;
            return Some(datagram);
        }
        self.counter = self.counter.next();
        let mut datagram = Vec::new();
        let (sender, messages) = (to_keys(self.own), packed.bytes());
        Sealed { sender, counter: self.counter, messages }.seal(keys, &mut datagram).ok()?;
        Some(datagram)
    }

    /// The short form of a message, and the counter after it.
    fn close_short(
        &self,
        form: ShortForm,
        packed: &Packed,
        keys: &DatagramKeys,
    ) -> Option<(Vec<u8>, Counter)> {
        let message = packed.messages().next()?.ok()?;
        let (sender, receiver) = (to_keys(self.own), packed.receiver().map(to_keys));
        Some(match (form, message) {
            (ShortForm::Ping, Message::Ping(ping)) if ping.sender == self.own => {
                let counter = self.counter.next();
                let short = ShortPing { sender, counter, nonce: ping.nonce };
                (short.seal(keys, receiver?).to_vec(), counter)
            }
            (ShortForm::Pong, Message::Pong(Pong { tag, members, local_health })) => {
                let short = ShortPong { tag, members, local_health: local_health.0 };
                (short.seal(keys).to_vec(), self.counter)
            }
            (ShortForm::Digest, Message::Digest(digest)) if digest.sender == self.own => {
                let (counter, catalog) = (self.counter.next(), digest.catalog);
                let short = QuietDigest { sender, counter, catalog, local_health: 0 };
                (short.seal(keys, receiver?).to_vec(), counter)
            }
            _ => return None,
        })
    }

    /// The messages of a datagram. The steps are in the order of their cost, so that junk costs little.
    /// `is_revoked` tells whether a sender is revoked, and `epoch_of` the latest epoch of it that is known.
    pub(crate) fn open<'a>(
        &mut self,
        datagram: &[u8],
        is_revoked: impl Fn(NodeId) -> bool,
        epoch_of: impl Fn(NodeId) -> Option<Epoch>,
        now: Time,
    ) -> Result<Opened<'a>, Unopened> {
        let header = match Header::read(datagram) {
            Ok(header) if datagram.len() <= MAX_DATAGRAM_BYTES => header,
            _ => return Err(Unopened::Malformed),
        };
        let mut keys = self.keyring.opening_keys(header.generation, now).peekable();
        if keys.peek().is_none() {
            return Err(Unopened::UnknownGeneration);
        }
        let sender = header.sender.map(from_keys);
        if sender.is_some_and(is_revoked) {
            return Err(Unopened::Revoked);
        }
        let counter = match (sender, header.counter_low) {
            (Some(sender), Some(low)) => {
                let near = self.windows.near(sender, epoch_of(sender));
                Some(Counter::next_to(near.ok_or(Unopened::UnknownSender)?, low))
            }
            _ => header.counter,
        };
        let counted = counter.filter(|_| !mutant::is(Mutant::NoReplayWindow));
        if let (Some(sender), Some(counter)) = (sender, counted) {
            self.windows.check(sender, counter).map_err(|_| Unopened::Replayed)?;
        }
        let content =
            keys.find_map(|keys| self.open_with(keys, header.form, counter, datagram).ok());
        let content = content.ok_or(Unopened::Forged)?;
        if let (Some(sender), Some(counter)) = (sender, counted) {
            self.windows.record(sender, counter).map_err(|_| Unopened::Replayed)?;
        }
        Ok(Opened { sender, content })
    }

    fn open_with<'a>(
        &self,
        keys: &DatagramKeys,
        form: Form,
        counter: Option<Counter>,
        datagram: &[u8],
    ) -> Result<Content<'a>, OpenError> {
        let own = to_keys(self.own);
        Ok(match form {
            Form::Sealed => {
                let mut messages = datagram.to_vec();
                let len = Sealed::open(keys, &mut messages)?.messages.len();
                messages.drain(..SEALED_OVERHEAD_BYTES - TAG_BYTES);
                messages.truncate(len);
                Content::Messages(Cow::Owned(messages))
            }
            Form::Ping => {
                let near = counter.ok_or(OpenError::Form)?;
                let unchecked = without_mac(datagram).filter(|_| mutant::is(Mutant::MacNotChecked));
                let opened =
                    unchecked.map_or_else(|| ShortPing::open(keys, own, near, datagram), Ok);
                let ShortPing { sender, nonce, .. } = opened?;
                Content::Short(Message::Ping(Ping { sender: from_keys(sender), nonce }))
            }
            Form::Pong => {
                let ShortPong { tag, members, local_health } = ShortPong::open(keys, datagram)?;
                let local_health = LocalHealth(local_health);
                Content::Short(Message::Pong(Pong { tag, members, local_health }))
            }
            Form::Digest => {
                let QuietDigest { sender, catalog, .. } = QuietDigest::open(keys, own, datagram)?;
                let (sender, recent) = (from_keys(sender), Vec::new());
                Content::Short(Message::Digest(Digest { sender, catalog, recent }))
            }
        })
    }
}

/// A ping as a node with the bug [`Mutant::MacNotChecked`] reads it.
fn without_mac(datagram: &[u8]) -> Option<ShortPing> {
    let header = Header::read(datagram).ok()?;
    let (counter, nonce) = (Counter::new(0), *datagram.get(13..)?.first_chunk()?);
    Some(ShortPing { sender: header.sender?, counter, nonce })
}

/// A node id as the crate of keys has it.
pub(crate) fn to_keys(node: NodeId) -> hobnob_keys::NodeId {
    hobnob_keys::NodeId(node.0)
}

/// A node id that the crate of keys gave.
pub(crate) fn from_keys(node: hobnob_keys::NodeId) -> NodeId {
    NodeId(node.0)
}

#[cfg(test)]
mod tests;
