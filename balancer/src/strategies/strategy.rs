//! The strategies by name.

use std::{fmt, str::FromStr};

use crate::names::{UnknownName, by_name};
use crate::tables::TableKind;

/// A way to choose among the targets. Its text form is kebab-case: `round-robin`, `least-connections`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Strategy {
    /// Each target in turn, in the order of their ids, regardless of weight.
    #[default]
    RoundRobin,
    /// Each target in turn, as often as its weight says and spread as evenly as the weights allow. See
    /// [`Schedule`](crate::Schedule).
    Weighted,
    /// A random target, in proportion to its weight. See [`Alias`](crate::Alias).
    WeightedRandom,
    /// A random target, regardless of weight.
    Random,
    /// The target with fewer picks in flight for its weight, of two drawn at random; of all where there are at most four
    /// (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12(10), 2001).
    LeastConnections,
    /// The target with the lower product of latency and picks in flight, of two drawn at random. Needs outcomes and a
    /// clock (Finagle, `com.twitter.finagle.loadbalancer.PeakEwma`).
    PeakEwma,
    /// The fastest target of three drawn at random that is not hot, which means among the most loaded. Needs outcomes and
    /// a clock (Wydrowski et al., "Load is not what you should balance: Introducing Prequal", NSDI 2024).
    HotCold,
    /// The target that the key hashes to; shares are even to within a slot. See [`Maglev`](crate::Maglev).
    ConsistentHash,
    /// Like [`Strategy::ConsistentHash`], except that a target above 1.25 times its fair share of the picks in flight
    /// passes its keys on (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA 2018). A key
    /// that is passed on is hashed again (Chen, Coleman and Shrivastava, "Revisiting Consistent Hashing with Bounded
    /// Loads", AAAI 2021).
    BoundedHash,
    /// The target that the key hashes to; a target that leaves moves almost no keys but its own. See
    /// [`Rendezvous`](crate::Rendezvous).
    Rendezvous,
    /// The target that the key hashes to on the classic ring. See [`Ring`](crate::Ring).
    Ring,
}

impl Strategy {
    /// Every strategy, in the order in which help texts list them.
    pub const ALL: &'static [Self] = &[
        Self::RoundRobin,
        Self::Weighted,
        Self::WeightedRandom,
        Self::Random,
        Self::LeastConnections,
        Self::PeakEwma,
        Self::HotCold,
        Self::ConsistentHash,
        Self::BoundedHash,
        Self::Rendezvous,
        Self::Ring,
    ];

    /// The name in text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Weighted => "weighted",
            Self::WeightedRandom => "weighted-random",
            Self::Random => "random",
            Self::LeastConnections => "least-connections",
            Self::PeakEwma => "peak-ewma",
            Self::HotCold => "hot-cold",
            Self::ConsistentHash => "consistent-hash",
            Self::BoundedHash => "bounded-hash",
            Self::Rendezvous => "rendezvous",
            Self::Ring => "ring",
        }
    }

    /// One line for help texts.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::RoundRobin => "Each instance in turn",
            Self::Weighted => "Each instance in turn, as often as its weight says",
            Self::WeightedRandom => "A random instance, in proportion to its weight",
            Self::Random => "A random instance",
            Self::LeastConnections => "The one with fewer calls in flight, of two drawn at random",
            Self::PeakEwma => {
                "The one with lower latency times calls in flight, of two; needs reports"
            }
            Self::HotCold => {
                "The fastest of three that is not among the most loaded; needs reports"
            }
            Self::ConsistentHash => "The instance that the key hashes to (Maglev)",
            Self::BoundedHash => {
                "The same, but none above 1.25 times its share of the calls in flight"
            }
            Self::Rendezvous => {
                "The instance that the key hashes to; few other keys move when one leaves"
            }
            Self::Ring => "The instance that the key hashes to on the classic ring",
        }
    }

    /// Whether the key of a pick decides where it goes.
    #[inline]
    pub const fn is_keyed(self) -> bool {
        matches!(self, Self::ConsistentHash | Self::BoundedHash | Self::Rendezvous | Self::Ring)
    }

    /// The table that it reads, if any.
    pub(crate) const fn table(self) -> Option<TableKind> {
        match self {
            Self::RoundRobin | Self::Random => None,
            Self::Weighted => Some(TableKind::Schedule),
            Self::WeightedRandom | Self::LeastConnections | Self::PeakEwma | Self::HotCold => {
                Some(TableKind::Alias)
            }
            Self::ConsistentHash | Self::BoundedHash => Some(TableKind::Maglev),
            Self::Rendezvous => Some(TableKind::Rendezvous),
            Self::Ring => Some(TableKind::Ring),
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Strategy {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        by_name("strategy", Self::ALL, Self::name, name)
    }
}
