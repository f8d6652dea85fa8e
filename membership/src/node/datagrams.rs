//! Closing and opening datagrams, in the clear or sealed, and counting those that are dropped.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::Node;
use super::io::Event;
use crate::base::counters::Counters;
use crate::base::time::Time;
use crate::trust::sealer::{Content, Opened, Unopened};
use crate::wire::{Packed, WireError, check_first_byte};

impl Node {
    /// Closes the envelope around messages that are about to be sent. `None` while a sealed node holds no keys.
    pub(super) fn close(&mut self, packed: &Packed, now: Time) -> Option<Vec<u8>> {
        let datagram = match &mut self.guard {
            Some(guard) => guard.sealer.close(packed, now),
            None => Some(self.envelope.close(packed.bytes())),
        };
        match &datagram {
            Some(datagram) => {
                self.counters.datagrams_sent += 1;
                self.counters.datagram_bytes_sent += datagram.len() as u64;
            }
            None => self.counters.datagrams_without_keys += 1,
        }
        datagram
    }

    /// Opens a datagram. One that does not open is dropped in silence, and counted.
    pub(super) fn open<'a>(
        &mut self,
        from: SocketAddr,
        bytes: &'a [u8],
        now: Time,
    ) -> Option<Opened<'a>> {
        if self.guard.is_some() {
            self.open_sealed(from, bytes, now)
        } else {
            self.open_clear(from, bytes)
        }
    }

    fn open_clear<'a>(&mut self, from: SocketAddr, bytes: &'a [u8]) -> Option<Opened<'a>> {
        let error = match self.envelope.open(bytes) {
            Ok(messages) => {
                let content = Content::Messages(Cow::Borrowed(messages));
                return Some(Opened { sender: None, content });
            }
            Err(error) => error,
        };
        *dropped(&mut self.counters, &error) += 1;
        let event = match error {
            WireError::OtherCluster => Event::OtherCluster { address: from },
            WireError::Sealed => Event::OtherSealing { address: from, is_sealed: true },
            _ => return None,
        };
        self.tell_of_foreigner(from, event);
        None
    }

    fn open_sealed<'a>(&mut self, from: SocketAddr, bytes: &[u8], now: Time) -> Option<Opened<'a>> {
        match bytes.first().map_or(Err(WireError::Truncated), |byte| check_first_byte(*byte)) {
            Err(WireError::Sealed) => {}
            Ok(()) => {
                self.counters.datagrams_in_clear += 1;
                let event = Event::OtherSealing { address: from, is_sealed: false };
                self.tell_of_foreigner(from, event);
                return None;
            }
            Err(error) => {
                *dropped(&mut self.counters, &error) += 1;
                return None;
            }
        }
        let members = self.liveness.members();
        let epoch_of = |sender| {
            let remote = self.wan.remote(sender).map(|entry| entry.identity.epoch);
            remote.max(members.get(sender).map(|member| member.identity.epoch))
        };
        let unopened = match self.guard.as_mut()?.open(bytes, epoch_of, now) {
            Ok(opened) => return Some(opened),
            Err(unopened) => unopened,
        };
        if matches!(unopened, Unopened::UnknownGeneration | Unopened::Forged) {
            self.ask_for_keys(from, now);
        }
        *match unopened {
            Unopened::Malformed => &mut self.counters.datagrams_malformed,
            Unopened::UnknownGeneration => &mut self.counters.datagrams_of_unknown_generation,
            Unopened::Forged => &mut self.counters.datagrams_forged,
            Unopened::Replayed => &mut self.counters.datagrams_replayed,
            Unopened::Revoked => &mut self.counters.datagrams_of_revoked_sender,
            Unopened::UnknownSender => &mut self.counters.datagrams_of_unknown_sender,
        } += 1;
        None
    }

    fn tell_of_foreigner(&mut self, from: SocketAddr, event: Event) {
        if self.foreigners.heard(from) {
            self.emit(event);
        }
    }
}

/// The counter of datagrams that are dropped for this reason.
fn dropped<'a>(counters: &'a mut Counters, error: &WireError) -> &'a mut u64 {
    match error {
        WireError::OtherCluster => &mut counters.datagrams_other_cluster,
        WireError::Sealed => &mut counters.datagrams_sealed,
        WireError::Version(_) | WireError::Form(_) => &mut counters.datagrams_other_version,
        _ => &mut counters.datagrams_malformed,
    }
}
