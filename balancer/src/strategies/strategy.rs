//! The names of the balancing policies.

use std::{fmt, str::FromStr};

/// How to choose among the targets. Its text form is kebab-case: `round-robin`, `least-connections`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Strategy {
    /// Each target in turn, in the order of their ids, regardless of weight.
    #[default]
    RoundRobin,
    /// Each target in turn, as often as its weight says and as evenly spread as possible. See [`Schedule`](crate::Schedule).
    Weighted,
    /// Any target, in proportion to its weight. See [`Alias`](crate::Alias).
    WeightedRandom,
    /// Any target, uniformly, regardless of weight.
    Random,
    /// The one of two random targets with fewer picks in flight relative to its weight; of all, when there are few
    /// (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).
    LeastConnections,
    /// The one of two random targets with the lower latency times picks in flight; needs outcomes and a clock (Finagle's
    /// `PeakEwma`).
    PeakEwma,
    /// The fastest of a few random targets that are not hot, that is, among the most loaded; needs outcomes and a clock
    /// (Wydrowski et al., "Load is not what you should balance: Introducing Prequal", NSDI 2024).
    HotCold,
    /// The target that a key hashes to, shares even to within a slot. See [`Maglev`](crate::Maglev).
    ConsistentHash,
    /// Like [`Strategy::ConsistentHash`], but a target with more than 1.25 times its fair share of the picks in flight lets
    /// keys pass on to others (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018;
    /// passing on by hashing again as in Chen, Coleman and Shrivastava, "Revisiting Consistent Hashing with Bounded Loads",
    /// AAAI 2021).
    BoundedHash,
    /// The target that a key hashes to; one that leaves moves next to no keys but its own. See
    /// [`Rendezvous`](crate::Rendezvous).
    Rendezvous,
    /// The target that a key hashes to on the classic ring. See [`Ring`](crate::Ring).
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

    /// The name in kebab-case.
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

    /// Whether the key of a pick decides where it goes.
    #[inline]
    pub const fn is_keyed(self) -> bool {
        matches!(self, Self::ConsistentHash | Self::BoundedHash | Self::Rendezvous | Self::Ring)
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No strategy has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown strategy `{name}`; known are {}", known())]
pub struct UnknownStrategy {
    /// The name that was given.
    pub name: String,
}

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(name: &str) -> Result<Self, UnknownStrategy> {
        let found = Self::ALL.iter().copied().find(|strategy| strategy.name() == name);
        found.ok_or_else(|| UnknownStrategy { name: name.into() })
    }
}

fn known() -> String {
    Strategy::ALL.iter().map(|strategy| strategy.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_its_strategy() {
        for &strategy in Strategy::ALL {
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = "fastest".parse::<Strategy>().unwrap_err().to_string();
        assert!(
            error.starts_with("unknown strategy `fastest`; known are round-robin, weighted"),
            "{error}"
        );
    }
}
