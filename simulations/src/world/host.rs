//! A host: a machine with a disk and clocks, on which a node may run.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hobnob_membership::{ClusterId, Node, NodeId, Time};

use super::clock::Clock;
use super::disk::Disk;
use super::queue::Delivery;

/// Where every node takes datagrams.
const GOSSIP_PORT: u16 = 7_946;
/// Where every node takes streams.
pub(super) const SYNC_PORT: u16 = 7_947;
/// Bytes of datagrams that wait for a process that does not read; more are dropped (Linux's default buffer).
const SOCKET_BUFFER_BYTES: usize = 212_992;

/// Datagrams that a host gets out in a second, beside answers to knocks: of those there is one for each, however many
/// knock. A thousand that join at once, at a loss of 25 %, send up to 3,850 each.
const MAX_DATAGRAMS_PER_SECOND: u32 = 5_000;

/// A process that is woken so often at one moment spins; then it waits a millisecond, so that time goes on.
pub(super) const MAX_WAKES: u32 = 1_000;

/// What becomes of the disk when a host stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// It is as it was.
    Kept,
    /// It is empty: another node starts, with another id.
    Lost,
    /// It is as it was so many writes ago.
    RolledBack(usize),
}

/// How fast a host works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slowness {
    /// How long it is busy with each input.
    pub service_time: Duration,
    /// The least time between two datagrams that it takes from its socket.
    pub receive_gap: Duration,
    /// Timers come up to this late.
    pub timers_late: Duration,
}

/// What a host sent since the beginning, over all of its lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// Datagrams.
    pub datagrams: u64,
    /// Their bytes.
    pub datagram_bytes: u64,
    /// The longest of them.
    pub longest_datagram: usize,
    /// Streams opened.
    pub streams: u64,
    /// Bytes of stream frames.
    pub frame_bytes: u64,
    /// Datagrams that it did not get out, because they were too many for one second.
    pub flooded: u64,
    pub(super) second: (u64, u32),
}

impl Meter {
    /// Counts a datagram, and says whether it is not one too many for this second.
    pub(super) fn has_room(&mut self, now: Time) -> bool {
        let second = now.as_micros() / 1_000_000;
        let before = if self.second.0 == second { self.second.1 } else { 0 };
        self.second = (second, before + 1);
        before < MAX_DATAGRAMS_PER_SECOND
    }
}

/// A machine.
pub struct Host {
    /// The node id in its data directory.
    pub id: NodeId,
    /// The cluster that its node is configured for.
    pub cluster: ClusterId,
    /// The hash of the instance key in its data directory.
    pub key: u64,
    /// What it keeps over a crash.
    pub disk: Disk,
    /// How it tells time.
    pub clock: Clock,
    /// How fast it works.
    pub slowness: Slowness,
    pub(super) address: u32,
    pub(super) process: Option<Process>,
    pub(super) lives: u32,
    pub(super) generation: u64,
    pub(super) meter: Meter,
}

/// A node that runs.
pub(super) struct Process {
    pub(super) node: Node,
    pub(super) life: u32,
    /// A wake-up is scheduled for this moment.
    pub(super) wake_at: Option<Time>,
    /// It does nothing before this moment.
    pub(super) ready_at: Time,
    /// The socket is read no earlier.
    pub(super) receives_at: Time,
    pub(super) inbox: VecDeque<Delivery>,
    inbox_bytes: usize,
    pub(super) left: bool,
    /// How often it was woken at one moment, and which.
    pub(super) wakes_at: (Time, u32),
}

impl Process {
    pub(super) fn new(node: Node, life: u32) -> Self {
        Self {
            node,
            life,
            wake_at: None,
            ready_at: Time::ZERO,
            receives_at: Time::ZERO,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            left: false,
            wakes_at: (Time::ZERO, 0),
        }
    }

    /// Keeps something until the process is ready; a datagram only while there is room.
    pub(super) fn hold(&mut self, delivery: Delivery) {
        if let Delivery::Datagram { bytes, .. } = &delivery {
            if self.inbox_bytes + bytes.len() > SOCKET_BUFFER_BYTES {
                return;
            }
            self.inbox_bytes += bytes.len();
        }
        self.inbox.push_back(delivery);
    }

    pub(super) fn take(&mut self) -> Option<Delivery> {
        let delivery = self.inbox.pop_front()?;
        if let Delivery::Datagram { bytes, .. } = &delivery {
            self.inbox_bytes -= bytes.len();
        }
        Some(delivery)
    }
}

impl Host {
    pub(super) fn new(number: usize, address: u32, skew_micros: u64) -> Self {
        Self {
            id: node_id(number, 0),
            cluster: ClusterId::default(),
            key: number as u64,
            disk: Disk::default(),
            clock: Clock::new(skew_micros),
            slowness: Slowness::default(),
            address,
            process: None,
            lives: 0,
            generation: 0,
            meter: Meter::default(),
        }
    }

    /// The running node.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.process.as_ref().map(|process| &process.node)
    }

    /// How often a node was started here.
    #[must_use]
    pub fn lives(&self) -> u32 {
        self.lives
    }

    /// Whether its process asked again and again to be woken at a moment that had come.
    #[must_use]
    pub fn spins(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.wakes_at.1 >= MAX_WAKES)
    }

    /// What it sent.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Until when the process does nothing, if it is paused at `now`.
    #[must_use]
    pub fn paused_until(&self, now: Time) -> Option<Time> {
        self.process.as_ref().map(|process| process.ready_at).filter(|ready| *ready > now)
    }
}

/// The id of the node of a host, by the host's number and how often its disk was lost.
#[must_use]
pub fn node_id(number: usize, generation: u64) -> NodeId {
    NodeId((generation << 32) | (0x1000 + number as u64))
}

/// The number of the host whose id this is or was.
#[must_use]
pub fn host_of(id: NodeId) -> usize {
    usize::try_from((id.0 & 0xffff_ffff).saturating_sub(0x1000)).unwrap_or(usize::MAX)
}

pub(super) fn socket_address(address: u32) -> SocketAddr {
    let [_, high, mid, low] = (address + 1).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(10, high, mid, low), GOSSIP_PORT))
}

pub(super) fn address_index(address: SocketAddr) -> Option<u32> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    let [ten, high, mid, low] = ip.octets();
    if ten == 10 { u32::from_be_bytes([0, high, mid, low]).checked_sub(1) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_beyond_those_of_a_second_find_no_room() {
        let mut meter = Meter::default();
        let mut sent_at = |ms| meter.has_room(Time::from_millis(ms));
        assert!((0..MAX_DATAGRAMS_PER_SECOND).all(|_| sent_at(7_000)));
        assert!(!sent_at(7_999));
        assert!(sent_at(8_000));
    }

    #[test]
    fn ids_and_addresses_lead_back_to_their_hosts() {
        for number in [0, 1, 254, 255, 65_535, 70_000] {
            assert_eq!(host_of(node_id(number, 3)), number);
            let address = number as u32;
            assert_eq!(address_index(socket_address(address)), Some(address));
        }
        assert_eq!(address_index(SocketAddr::from(([192, 168, 0, 1], 1))), None);
    }
}
