//! Faults as a scenario file describes them: what goes wrong, when, and for how long.

use serde::{Deserialize, Serialize};

use super::{LinkSpec, Select, Span};

/// Something that goes wrong, once or again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it begins; from the beginning when not given.
    #[serde(default)]
    pub at: Span,
    /// How long it lasts; until everything is healed when not given. A crash without it is for good.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
    /// It happens again at random times that are this far apart on average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// What happens.
    pub what: FaultKind,
}

/// What becomes of a disk in a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageSpec {
    /// Nothing.
    #[default]
    Kept,
    /// It is wiped: another node starts, with another id.
    Lost,
    /// The last 1 to 20 steps are forgotten, and the wall clock is two hours slow, so that no clock saves the epoch.
    RolledBack,
    /// The machine stops in the middle of the next write.
    Torn,
}

/// What goes wrong.
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
    /// Datagrams pass only from `to` to `from`, and streams not at all.
    OneWay {
        /// Who is not heard.
        from: Select,
        /// By whom.
        to: Select,
    },
    /// Two halves, and one host that sees both.
    Bridge {
        /// That host.
        node: Select,
    },
    /// Everybody sees a majority, and each another one.
    MajorityRing,
    /// Each of these sees nobody.
    Isolate {
        /// The lonely.
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
        /// How long it is cut.
        down: Span,
        /// How long it is not.
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
    /// Links are worse than usual.
    Degrade {
        /// The senders.
        from: Select,
        /// The receivers.
        to: Select,
        /// How they are.
        link: Box<LinkSpec>,
    },
    /// Hosts stop without a word, and start again when it ends.
    Crash {
        /// Which.
        nodes: Select,
        /// What becomes of their disks.
        #[serde(default)]
        storage: StorageSpec,
    },
    /// All seeds stop.
    SeedOutage,
    /// One host after the other leaves or stops, and starts again at once.
    RollingRestart {
        /// Which.
        nodes: Select,
        /// The time from one to the next.
        gap: Span,
        /// How long each is down.
        down: Span,
    },
    /// Hosts leave in order; they come back when it ends.
    Leave {
        /// Which.
        nodes: Select,
    },
    /// Hosts do nothing for a while; what arrives waits.
    Pause {
        /// Which.
        nodes: Select,
    },
    /// Hosts stutter: they pause for a random time, again and again.
    Stutter {
        /// Which.
        nodes: Select,
        /// The shortest pause.
        min: Span,
        /// The longest.
        max: Span,
        /// The average time between two.
        gap: Span,
    },
    /// Hosts are slow: busy for a while with each input.
    Slow {
        /// Which.
        nodes: Select,
        /// For how long.
        service_time: Span,
    },
    /// Hosts take datagrams from their sockets slowly; the rest waits, and is lost when it waits long.
    SlowReceive {
        /// Which.
        nodes: Select,
        /// Datagrams a second.
        per_second: u32,
    },
    /// Timers come late.
    LateTimers {
        /// Where.
        nodes: Select,
        /// By up to so much.
        by: Span,
    },
    /// Clocks run fast or slow, by up to so much, each its own way.
    ClockDrift {
        /// Where.
        nodes: Select,
        /// In parts of a million.
        ppm: u32,
    },
    /// Wall clocks jump.
    WallJump {
        /// Where.
        nodes: Select,
        /// By so many seconds.
        seconds: i64,
    },
    /// Disks are full: writes are refused, and epochs are not kept.
    DiskFull {
        /// Where.
        nodes: Select,
    },
    /// Hosts stop and start again at another address.
    AddressChange {
        /// Which.
        nodes: Select,
    },
    /// Hosts lose their disks and start in another cluster, with the seeds of this one; they return, as new nodes, when
    /// it ends.
    OtherCluster {
        /// Which.
        nodes: Select,
    },
    /// An operator declares others gone for good, at one host. Of those that it takes for alive that is refused.
    ForceLeave {
        /// That host.
        at: Select,
        /// The others.
        nodes: Select,
    },
    /// One host starts on a copy of another's data directory, so that two live nodes have one id; its own returns when
    /// it ends.
    DuplicateId {
        /// The host that is copied.
        from: Select,
        /// The host that takes the copy.
        to: Select,
    },
}

impl FaultKind {
    /// Its name, as a scenario file writes it.
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
            Self::OtherCluster { .. } => "other-cluster",
            Self::ForceLeave { .. } => "force-leave",
            Self::DuplicateId { .. } => "duplicate-id",
        }
    }
}
