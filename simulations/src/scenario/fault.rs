//! Faults as a scenario file describes them: what goes wrong, when, and for how long.

use serde::{Deserialize, Serialize};

use super::{LinkSpec, Select, Span};

/// A fault that happens once or repeatedly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it begins; at the start of the run by default.
    #[serde(default)]
    pub at: Span,
    /// Its duration; until everything is healed by default. A crash without it is permanent.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
    /// Repeats the fault. Intervals are random, with this mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// The kind of fault.
    pub what: FaultKind,
}

/// The fate of a disk in a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageSpec {
    /// It is intact.
    #[default]
    Kept,
    /// It is wiped. A new node with a new id starts.
    Lost,
    /// The last 1 to 20 writes are undone. The wall clock is set back two hours, so that it cannot save the epoch.
    RolledBack,
    /// The machine stops in the middle of the next write.
    Torn,
}

/// The kinds of faults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FaultKind {
    /// Nothing passes between two sets of hosts.
    Cut {
        /// One side.
        left: Select,
        /// The other.
        right: Select,
    },
    /// Datagrams pass only from `to` to `from`; streams do not pass.
    OneWay {
        /// The hosts that are not heard.
        from: Select,
        /// The hosts that do not hear them.
        to: Select,
    },
    /// Two halves are cut apart; one host sees both.
    Bridge {
        /// The host.
        node: Select,
    },
    /// Every host sees a majority, and each a different one.
    MajorityRing,
    /// Each of these hosts is cut off from all others.
    Isolate {
        /// The hosts.
        nodes: Select,
    },
    /// A datacenter is cut off.
    DatacenterCut {
        /// Its name.
        name: String,
    },
    /// A full cut that comes and goes.
    Flap {
        /// One side.
        left: Select,
        /// The other.
        right: Select,
        /// The duration of each cut.
        down: Span,
        /// The time for which it is open in between.
        up: Span,
    },
    /// Datagrams do not pass; streams do.
    UdpBlocked {
        /// One side.
        left: Select,
        /// The other.
        right: Select,
    },
    /// Streams do not pass; datagrams do.
    StreamsBlocked {
        /// One side.
        left: Select,
        /// The other.
        right: Select,
    },
    /// Links get worse.
    Degrade {
        /// The senders.
        from: Select,
        /// The receivers.
        to: Select,
        /// The conditions that change.
        link: Box<LinkSpec>,
    },
    /// Hosts crash. They start again at the end of the fault.
    Crash {
        /// The hosts.
        nodes: Select,
        /// The fate of their disks.
        #[serde(default)]
        storage: StorageSpec,
    },
    /// The processes of hosts are killed. Their kernels close their connections, and refuse new ones. They start again
    /// at the end of the fault.
    Kill {
        /// The hosts.
        nodes: Select,
        /// The longest time from the end of the process until new connections are refused.
        #[serde(default)]
        dying: Span,
    },
    /// Hosts stop as planned, and say goodbye. They start again at the end of the fault.
    Restart {
        /// The hosts.
        nodes: Select,
    },
    /// All held connections from and to these hosts are reset.
    ResetConnections {
        /// The hosts.
        nodes: Select,
    },
    /// The interface of each of these hosts is down: nothing passes, and its own attempts to connect fail at once.
    InterfaceDown {
        /// The hosts.
        nodes: Select,
    },
    /// All seeds crash.
    SeedOutage,
    /// One host after another crashes and starts again.
    RollingRestart {
        /// The hosts.
        nodes: Select,
        /// The time from one host to the next.
        gap: Span,
        /// The time for which each host is down.
        down: Span,
    },
    /// Hosts leave in an orderly way. They return at the end of the fault.
    Leave {
        /// The hosts.
        nodes: Select,
    },
    /// Hosts pause; what arrives waits.
    Pause {
        /// The hosts.
        nodes: Select,
    },
    /// One of these hosts at a time pauses for a random time, repeatedly.
    Stutter {
        /// The hosts.
        nodes: Select,
        /// The shortest pause.
        min: Span,
        /// The longest pause.
        max: Span,
        /// The mean time between two pauses.
        gap: Span,
    },
    /// Hosts are slow: each input keeps them busy for a while.
    Slow {
        /// The hosts.
        nodes: Select,
        /// The time that each input takes.
        service_time: Span,
    },
    /// Hosts read datagrams slowly; the rest waits in the socket buffer, and is lost when that is full.
    SlowReceive {
        /// The hosts.
        nodes: Select,
        /// Datagrams read per second.
        per_second: u32,
    },
    /// Timers fire late.
    LateTimers {
        /// The hosts.
        nodes: Select,
        /// The longest delay.
        by: Span,
    },
    /// Clocks drift, each at its own random rate.
    ClockDrift {
        /// The hosts.
        nodes: Select,
        /// The largest drift, in parts per million.
        ppm: u32,
    },
    /// Wall clocks jump.
    WallJump {
        /// The hosts.
        nodes: Select,
        /// The jump in seconds; negative is backwards.
        seconds: i64,
    },
    /// Disks are full: writes are refused, and new epochs are not stored.
    DiskFull {
        /// The hosts.
        nodes: Select,
    },
    /// Hosts stop, and start again at another address.
    AddressChange {
        /// The hosts.
        nodes: Select,
    },
    /// Hosts stop, and start again as members of another datacenter, with their disks. At the end of the fault they move back.
    Move {
        /// The hosts.
        nodes: Select,
        /// The name of the datacenter.
        to: String,
    },
    /// Hosts lose their disks, and start in another cluster with the seeds of this one. At the end of the fault they
    /// return as new nodes.
    OtherCluster {
        /// The hosts.
        nodes: Select,
    },
    /// An operator force-leaves other hosts, at one host. The agent refuses that for members that it believes alive.
    ForceLeave {
        /// The host.
        at: Select,
        /// The hosts to force-leave.
        nodes: Select,
    },
    /// One host starts on a copy of another's data directory, so that two live nodes have one id. At the end of the
    /// fault it returns to its own directory.
    DuplicateId {
        /// The host whose directory is copied.
        from: Select,
        /// The host that starts on the copy.
        to: Select,
    },
    /// An operator orders another generation, at one of these hosts.
    Rotate {
        /// The hosts.
        at: Select,
    },
    /// An operator hands in the succession of the CA key, at one of these hosts.
    Succession {
        /// The hosts.
        at: Select,
    },
    /// Hosts lose their disks, and start with tokens of the second CA key.
    OfSuccessor {
        /// The hosts.
        nodes: Select,
    },
    /// An operator revokes hosts at one host, and orders another generation. They go on, and try to return. If the fault
    /// ends, they lose their disks and start with new keys.
    Revoke {
        /// The host.
        at: Select,
        /// The hosts to revoke.
        nodes: Select,
    },
    /// An outsider overhears all datagrams, and tries something so often: it replays, changes and forges datagrams, and
    /// dials with certificates that do not count.
    Outsider {
        /// Attempts per second.
        per_second: u32,
    },
    /// Hosts lose their disks, and start with a token that allows none of the services that clients register.
    Restricted {
        /// The hosts.
        nodes: Select,
    },
    /// A member that is no host's orders what only an operator may, and speaks in the name of others, so often.
    Liar {
        /// Attempts per second.
        per_second: u32,
    },
}

impl FaultKind {
    /// Its name in a scenario file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cut { .. } => "cut",
            Self::OneWay { .. } => "one-way",
            Self::Bridge { .. } => "bridge",
            Self::MajorityRing => "majority-ring",
            Self::Isolate { .. } => "isolate",
            Self::DatacenterCut { .. } => "datacenter-cut",
            Self::Flap { .. } => "flap",
            Self::UdpBlocked { .. } => "udp-blocked",
            Self::StreamsBlocked { .. } => "streams-blocked",
            Self::Degrade { .. } => "degrade",
            Self::Crash { .. } => "crash",
            Self::Kill { .. } => "kill",
            Self::Restart { .. } => "restart",
            Self::ResetConnections { .. } => "reset-connections",
            Self::InterfaceDown { .. } => "interface-down",
            Self::SeedOutage => "seed-outage",
            Self::RollingRestart { .. } => "rolling-restart",
            Self::Leave { .. } => "leave",
            Self::Pause { .. } => "pause",
            Self::Stutter { .. } => "stutter",
            Self::Slow { .. } => "slow",
            Self::SlowReceive { .. } => "slow-receive",
            Self::LateTimers { .. } => "late-timers",
            Self::ClockDrift { .. } => "clock-drift",
            Self::WallJump { .. } => "wall-jump",
            Self::DiskFull { .. } => "disk-full",
            Self::AddressChange { .. } => "address-change",
            Self::Move { .. } => "move",
            Self::OtherCluster { .. } => "other-cluster",
            Self::ForceLeave { .. } => "force-leave",
            Self::DuplicateId { .. } => "duplicate-id",
            Self::Rotate { .. } => "rotate",
            Self::Succession { .. } => "succession",
            Self::OfSuccessor { .. } => "of-successor",
            Self::Revoke { .. } => "revoke",
            Self::Outsider { .. } => "outsider",
            Self::Restricted { .. } => "restricted",
            Self::Liar { .. } => "liar",
        }
    }
}
