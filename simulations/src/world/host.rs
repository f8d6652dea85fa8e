//! A host: a machine with a disk and clocks, on which a node may run.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hobnob_keys::{GenerationId, PublicKey};
use hobnob_membership::testing::Shared;
use hobnob_membership::{ClusterId, Node, NodeId, Time};

use super::clock::Clock;
use super::disk::Disk;
use super::ids::clear_id;
use super::queue::Delivery;
use super::sealed::Keyed;

/// The port on which every node receives datagrams.
const GOSSIP_PORT: u16 = 7_946;
/// The port on which every node accepts streams.
pub(super) const SYNC_PORT: u16 = 7_947;
/// Receive buffer of the socket, in bytes (Linux's default). Datagrams beyond it are dropped.
const SOCKET_BUFFER_BYTES: usize = 212_992;

/// Datagrams a second that a host can send. Answers to hellos are not counted: there is one for each hello, so their
/// number is bounded by the hellos. At 1,000 joining agents and 25 % loss, a host sends up to 3,850 others a second.
const MAX_DATAGRAMS_PER_SECOND: u32 = 5_000;

/// Wake-ups at one moment after which a process counts as spinning. It then waits for a millisecond, so that time goes
/// on.
pub(crate) const MAX_WAKES: u32 = 1_000;

/// The fate of the disk when a host stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// The disk is intact.
    Kept,
    /// The disk is empty; a new node with a new id starts from it.
    Lost,
    /// This many of the last writes are undone.
    RolledBack(usize),
}

/// The slowness of a host. The default is not at all slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slowness {
    /// Time that each input takes.
    pub service_time: Duration,
    /// The least time between two datagrams read from the socket.
    pub receive_gap: Duration,
    /// Timers fire up to this late.
    pub timers_late: Duration,
}

/// The traffic that a host has sent since the start of the run, over all its lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// Datagrams.
    pub datagrams: u64,
    /// Bytes in datagrams.
    pub datagram_bytes: u64,
    /// The longest datagram.
    pub longest_datagram: usize,
    /// Streams that it opened.
    pub streams: u64,
    /// Bytes in stream frames.
    pub frame_bytes: u64,
    /// Datagrams dropped because of `MAX_DATAGRAMS_PER_SECOND`.
    pub flooded: u64,
    pub(super) second: (u64, u32),
}

impl Meter {
    /// Counts a datagram, and tells whether the limit of this second permits it.
    pub(super) fn has_room(&mut self, now: Time) -> bool {
        let second = now.as_micros() / 1_000_000;
        let before = if self.second.0 == second { self.second.1 } else { 0 };
        self.second = (second, before + 1);
        before < MAX_DATAGRAMS_PER_SECOND
    }
}

/// A simulated machine.
pub struct Host {
    /// The node id in its data directory.
    pub id: NodeId,
    /// The cluster that its node is configured for.
    pub cluster: ClusterId,
    /// The hash of the instance key in its data directory.
    pub key: u64,
    /// Its data directory.
    pub disk: Disk,
    /// Its clocks.
    pub clock: Clock,
    /// Its slowness.
    pub slowness: Slowness,
    /// Whether its token allows none of the services that clients register.
    pub is_restricted: bool,
    /// Whether its token is of the second CA key.
    pub is_of_successor: bool,
    /// The node key in its data directory.
    pub(super) keyed: Keyed,
    /// The public part of it; `None` in a clear cluster.
    pub(super) public_key: Option<PublicKey>,
    pub(super) address: u32,
    pub(super) process: Option<Process>,
    /// When its kernel refuses, or refused, new connections, since its process was killed or stopped. `None` without
    /// power.
    pub(super) refuses_from: Option<Time>,
    pub(super) lives: u32,
    pub(super) generation: u64,
    pub(super) meter: Meter,
}

/// A running node.
pub(super) struct Process {
    pub(super) node: Node,
    pub(super) life: u32,
    /// The scheduled wake-up.
    pub(super) wake_at: Option<Time>,
    /// The process is busy or paused until this moment.
    pub(super) ready_at: Time,
    /// The next moment at which the socket is read.
    pub(super) receives_at: Time,
    pub(super) inbox: VecDeque<Delivery>,
    inbox_bytes: usize,
    pub(super) left: bool,
    /// The number of hellos that it had answered when they were last counted.
    pub(super) hellos_answered: u64,
    /// The number of origins that it held when it last shared them.
    pub(super) origins_shared: usize,
    /// The digest of its records when it last shared what it holds. `None` when it told of a change since then.
    pub(super) shared_at: Option<u64>,
    /// Whether it told of keys that the disk does not hold yet.
    pub(super) keys_changed: bool,
    /// The generation that it uses, and since when.
    pub(super) in_use: Option<(GenerationId, Time)>,
    /// The latest moment of a wake-up, and the number of wake-ups at it.
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
            hellos_answered: 0,
            origins_shared: 0,
            shared_at: None,
            keys_changed: false,
            in_use: None,
            wakes_at: (Time::ZERO, 0),
        }
    }

    /// Shares what it holds as other nodes do, unless nothing has changed since it last did.
    pub(super) fn share(&mut self, shared: &mut Shared) {
        let digest = self.node.catalog().digest();
        if self.shared_at == Some(digest) {
            return;
        }
        self.node.share(shared);
        self.origins_shared = self.node.catalog().origins().len();
        self.shared_at = Some(digest);
    }

    /// Keeps a delivery until the process is ready. A datagram is dropped when the buffer is full.
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

/// The data directory of a host.
#[derive(Clone, Debug)]
pub struct DataDirectory {
    id: NodeId,
    key: u64,
    keyed: Keyed,
    public_key: Option<PublicKey>,
    disk: Disk,
}

impl Host {
    /// A copy of its data directory.
    #[must_use]
    pub fn directory(&self) -> DataDirectory {
        let Self { id, key, keyed, public_key, disk, .. } = self;
        DataDirectory {
            id: *id,
            key: *key,
            keyed: *keyed,
            public_key: *public_key,
            disk: disk.clone(),
        }
    }

    /// Replaces its data directory.
    pub fn set_directory(&mut self, directory: DataDirectory) {
        let DataDirectory { id, key, keyed, public_key, disk } = directory;
        (self.id, self.key, self.keyed, self.public_key, self.disk) =
            (id, key, keyed, public_key, disk);
    }

    pub(super) fn new(number: usize, address: u32, skew_micros: u64) -> Self {
        Self {
            id: clear_id(number, 0),
            cluster: ClusterId::default(),
            key: number as u64,
            disk: Disk::default(),
            is_restricted: false,
            is_of_successor: false,
            keyed: Keyed { host: number, generation: 0 },
            public_key: None,
            clock: Clock::new(skew_micros),
            slowness: Slowness::default(),
            address,
            process: None,
            refuses_from: None,
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

    /// The number of times that a node was started here.
    #[must_use]
    pub fn lives(&self) -> u32 {
        self.lives
    }

    /// Whether its process keeps asking to be woken at a moment that has come already.
    #[must_use]
    pub fn spins(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.wakes_at.1 >= MAX_WAKES)
    }

    /// The traffic that it has sent.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The end of the pause, if the process is paused at `now`.
    #[must_use]
    pub fn paused_until(&self, now: Time) -> Option<Time> {
        self.process.as_ref().map(|process| process.ready_at).filter(|ready| *ready > now)
    }
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
    fn addresses_lead_back_to_their_hosts() {
        for number in [0, 1, 254, 255, 65_535, 70_000] {
            let address = number as u32;
            assert_eq!(address_index(socket_address(address)), Some(address));
        }
        assert_eq!(address_index(SocketAddr::from(([192, 168, 0, 1], 1))), None);
    }
}
