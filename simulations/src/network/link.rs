//! What is kept of a link.

use hobnob_membership::Time;

use super::Channel;

/// The state of a link between two packets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LinkState {
    pub(super) bad: bool,
    pub(super) busy_until: Time,
}

/// What holds for all links between two groups of hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) profile: u8,
    pub(super) datagram_cuts: u8,
    pub(super) stream_cuts: u8,
}

impl Link {
    pub(super) fn cuts(&mut self, channel: Channel) -> &mut u8 {
        match channel {
            Channel::Datagrams => &mut self.datagram_cuts,
            Channel::Streams => &mut self.stream_cuts,
        }
    }
}
