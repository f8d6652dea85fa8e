//! A set of hosts as a scenario file writes it.

use std::fmt;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A set of hosts.
///
/// | text | hosts |
/// |---|---|
/// | `all` | every one |
/// | `7` | number 7 |
/// | `3..6` | 3, 4 and 5 |
/// | `first half`, `second half` | by number |
/// | `seeds` | those that others join through |
/// | `datacenter:eu`, `dc:eu` | those of a datacenter |
/// | `outside:eu` | those of all other datacenters |
/// | `gateways:eu`, `gateways:eu:1` | those that speak for a datacenter now, or the first one of them |
/// | `zone:a` | those of a zone |
/// | `random 3`, `random 10%` | drawn anew each time |
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select {
    /// Every host.
    All,
    /// By number; the last one is excluded.
    Range(usize, usize),
    /// The lower half of the numbers.
    FirstHalf,
    /// The upper half.
    SecondHalf,
    /// The seeds.
    Seeds,
    /// The hosts of a datacenter.
    Datacenter(String),
    /// The hosts of all other datacenters.
    Outside(String),
    /// The first gateways of a datacenter, as the nodes compute them now.
    Gateways(String, usize),
    /// The hosts of a zone.
    Zone(String),
    /// This many at random.
    Random(usize),
    /// This many percent at random, at least one.
    RandomPercent(usize),
}

/// The hosts that a [`Select`] chooses from.
pub trait Topology {
    /// The number of hosts.
    fn count(&self) -> usize;
    /// The datacenter and zone of a host.
    fn location(&self, host: usize) -> (&str, &str);
    /// The seeds.
    fn seeds(&self) -> &[usize];
    /// The gateways of a datacenter, in order.
    fn gateways(&self, datacenter: &str) -> Vec<usize>;
}

impl Topology for crate::World {
    fn count(&self) -> usize {
        self.len()
    }

    fn location(&self, host: usize) -> (&str, &str) {
        Self::location(self, host)
    }

    fn seeds(&self) -> &[usize] {
        &self.seeds
    }

    fn gateways(&self, datacenter: &str) -> Vec<usize> {
        Self::gateways(self, datacenter)
    }
}

impl Select {
    /// The hosts, in ascending order.
    pub fn choose(&self, topology: &impl Topology, rng: &mut Xoshiro256PlusPlus) -> Vec<usize> {
        let count = topology.count();
        let random = |wanted: usize, rng: &mut Xoshiro256PlusPlus| {
            let mut hosts: Vec<usize> = (0..count).collect();
            hosts.shuffle(rng);
            hosts.truncate(wanted);
            hosts.sort_unstable();
            hosts
        };
        match self {
            Self::All => (0..count).collect(),
            Self::Range(from, to) => (*from..(*to).min(count)).collect(),
            Self::FirstHalf => (0..count / 2).collect(),
            Self::SecondHalf => (count / 2..count).collect(),
            Self::Seeds => topology.seeds().to_vec(),
            Self::Datacenter(name) => {
                (0..count).filter(|host| topology.location(*host).0 == name).collect()
            }
            Self::Outside(name) => {
                (0..count).filter(|host| topology.location(*host).0 != name).collect()
            }
            Self::Gateways(name, first) => {
                let mut gateways = topology.gateways(name);
                gateways.truncate(*first);
                gateways.sort_unstable();
                gateways
            }
            Self::Zone(name) => {
                (0..count).filter(|host| topology.location(*host).1 == name).collect()
            }
            Self::Random(1) => (0..count.min(1)).map(|_| rng.random_range(0..count)).collect(),
            Self::Random(wanted) => random(*wanted, rng),
            Self::RandomPercent(percent) => random((count * percent / 100).max(1), rng),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let random = |amount: &str| match amount.strip_suffix('%') {
            Some(percent) => percent.parse().ok().map(Self::RandomPercent),
            None => amount.parse().ok().map(Self::Random),
        };
        match text {
            "all" => Some(Self::All),
            "first half" => Some(Self::FirstHalf),
            "second half" => Some(Self::SecondHalf),
            "seeds" => Some(Self::Seeds),
            _ => {
                let datacenter = text.strip_prefix("datacenter:");
                if let Some(name) = datacenter.or_else(|| text.strip_prefix("dc:")) {
                    return Some(Self::Datacenter(name.to_owned()));
                }
                if let Some(name) = text.strip_prefix("gateways:") {
                    let (name, first) = match name.split_once(':') {
                        Some((name, first)) => (name, first.parse().ok()?),
                        None => (name, usize::MAX),
                    };
                    return Some(Self::Gateways(name.to_owned(), first));
                }
                if let Some(name) = text.strip_prefix("outside:") {
                    return Some(Self::Outside(name.to_owned()));
                }
                if let Some(name) = text.strip_prefix("zone:") {
                    return Some(Self::Zone(name.to_owned()));
                }
                if let Some(amount) = text.strip_prefix("random ") {
                    return random(amount);
                }
                if let Some((from, to)) = text.split_once("..") {
                    return Some(Self::Range(from.parse().ok()?, to.parse().ok()?));
                }
                text.parse().ok().map(|host| Self::Range(host, host + 1))
            }
        }
    }
}

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Range(from, to) if from + 1 == *to => write!(f, "{from}"),
            Self::Range(from, to) => write!(f, "{from}..{to}"),
            Self::FirstHalf => f.write_str("first half"),
            Self::SecondHalf => f.write_str("second half"),
            Self::Seeds => f.write_str("seeds"),
            Self::Datacenter(name) => write!(f, "datacenter:{name}"),
            Self::Outside(name) => write!(f, "outside:{name}"),
            Self::Gateways(name, usize::MAX) => write!(f, "gateways:{name}"),
            Self::Gateways(name, first) => write!(f, "gateways:{name}:{first}"),
            Self::Zone(name) => write!(f, "zone:{name}"),
            Self::Random(wanted) => write!(f, "random {wanted}"),
            Self::RandomPercent(percent) => write!(f, "random {percent}%"),
        }
    }
}

impl Serialize for Select {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Select {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` names no hosts: write `all`, `7`, `3..6`, `first half`, `seeds`, `datacenter:NAME`, `outside:NAME`, `gateways:NAME`, `zone:NAME`, `random 3` or `random 10%`"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_selection_is_read_as_the_same() {
        let places = ["datacenter:eu", "outside:eu", "gateways:eu", "gateways:eu:2", "zone:a"];
        let others = ["all", "7", "3..6", "first half", "seeds", "random 3", "random 5%"];
        for text in places.into_iter().chain(others) {
            assert_eq!(Select::parse(text).map(|select| select.to_string()).as_deref(), Some(text));
        }
        assert_eq!(Select::parse("dc:eu"), Select::parse("datacenter:eu"));
        assert_eq!(Select::parse("some"), None);
    }
}
