//! The names of the balancing policies.

use std::{fmt, str::FromStr};

/// How to choose among the targets. Its text form is kebab-case: `round-robin`, `least-connections`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Strategy {
    /// Each target in turn, in the order of their ids, regardless of weight.
    #[default]
    RoundRobin,
    /// Each target in turn, as often as its weight says and as evenly spread as possible.
    Weighted,
    /// Any target, uniformly, regardless of weight.
    Random,
    /// The one of two random targets with fewer picks in flight relative to its weight; of all, when there are few.
    LeastConnections,
    /// The target that a key hashes to; targets that come or go move few keys.
    ConsistentHash,
}

impl Strategy {
    /// Every strategy, in the order in which help texts list them.
    pub const ALL: &'static [Self] = &[
        Self::RoundRobin,
        Self::Weighted,
        Self::Random,
        Self::LeastConnections,
        Self::ConsistentHash,
    ];

    /// The name in kebab-case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Weighted => "weighted",
            Self::Random => "random",
            Self::LeastConnections => "least-connections",
            Self::ConsistentHash => "consistent-hash",
        }
    }

    /// Whether the key of a pick decides where it goes.
    pub const fn is_keyed(self) -> bool {
        matches!(self, Self::ConsistentHash)
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
