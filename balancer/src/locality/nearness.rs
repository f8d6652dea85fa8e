//! The nearness of a target.

use std::{fmt, str::FromStr, time::Duration};

use crate::names::{UnknownName, by_name};

/// A place at which something runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The datacenter.
    pub datacenter: &'a str,
    /// The zone within it; empty where there are none.
    pub zone: &'a str,
}

/// The targets that come first. The others follow as far as these cannot take the load. Its text form is lower case:
/// `zone`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Prefer {
    /// All targets alike.
    #[default]
    Any,
    /// Those in the same zone, then those in the same datacenter, then the other datacenters in order.
    Zone,
    /// Those in the same datacenter, then the other datacenters in order.
    Datacenter,
}

impl Prefer {
    /// Every preference, in the order in which help texts list them.
    pub const ALL: &'static [Self] = &[Self::Any, Self::Zone, Self::Datacenter];

    /// The name in text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Zone => "zone",
            Self::Datacenter => "datacenter",
        }
    }

    /// One line for help texts.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Any => "All instances alike",
            Self::Zone => "Those in the agent's zone, then those in its datacenter",
            Self::Datacenter => "Those in the agent's datacenter",
        }
    }
}

impl fmt::Display for Prefer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Prefer {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        by_name("preference", Self::ALL, Self::name, name)
    }
}

/// Sorts targets into layers by distance, for a [`Layered`](crate::Layered) balancer. Layer 0 is the nearest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nearness {
    prefer: Prefer,
    /// The other datacenters, nearest first.
    order: Vec<String>,
}

impl Nearness {
    /// Other datacenters follow in the order given. Those not named share the last layer.
    pub fn listed(prefer: Prefer, order: impl IntoIterator<Item = String>) -> Self {
        Self { prefer, order: order.into_iter().collect() }
    }

    /// Other datacenters follow by measured round-trip time. Those without one share the last layer.
    pub fn measured(
        prefer: Prefer,
        round_trips: impl IntoIterator<Item = (String, Duration)>,
    ) -> Self {
        let mut round_trips: Vec<_> =
            round_trips.into_iter().map(|(name, time)| (time, name)).collect();
        round_trips.sort();
        Self { prefer, order: round_trips.into_iter().map(|(_, name)| name).collect() }
    }

    /// The layer, below [`Nearness::layers`], of a target that runs `there` for a client that runs `here`.
    pub fn layer(&self, here: Place<'_>, there: Place<'_>) -> usize {
        let own = match self.prefer {
            Prefer::Any => return 0,
            Prefer::Zone if here == there && !here.zone.is_empty() => return 0,
            Prefer::Zone => 1,
            Prefer::Datacenter => 0,
        };
        if here.datacenter == there.datacenter {
            return own;
        }
        let others = self.order.iter().filter(|name| *name != here.datacenter);
        let listed = others.clone().position(|name| name == there.datacenter);
        own + 1 + listed.unwrap_or_else(|| others.count())
    }

    /// The largest number of layers.
    pub fn layers(&self) -> usize {
        match self.prefer {
            Prefer::Zone => self.order.len() + 3,
            Prefer::Datacenter => self.order.len() + 2,
            Prefer::Any => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'_> = Place { datacenter: "fra", zone: "a" };

    fn layers(nearness: &Nearness) -> Vec<usize> {
        [("fra", "a"), ("fra", "b"), ("ams", "a"), ("nyc", "x"), ("tok", "")]
            .map(|(datacenter, zone)| nearness.layer(HERE, Place { datacenter, zone }))
            .into()
    }

    #[test]
    fn zone_then_datacenter_then_the_listed_order() {
        let order = ["fra", "nyc", "ams"].map(String::from);
        assert_eq!(layers(&Nearness::listed(Prefer::Zone, order.clone())), [0, 1, 3, 2, 4]);
        assert_eq!(layers(&Nearness::listed(Prefer::Datacenter, order.clone())), [0, 0, 2, 1, 3]);
        assert_eq!(layers(&Nearness::listed(Prefer::Any, order)), [0; 5]);
    }

    #[test]
    fn or_by_round_trip_time() {
        let times = [("nyc", 90), ("tok", 240), ("ams", 7)];
        let times = times.map(|(name, ms)| (name.into(), Duration::from_millis(ms)));
        let nearness = Nearness::measured(Prefer::Zone, times);
        assert_eq!(layers(&nearness), [0, 1, 2, 3, 4]);
        assert!(layers(&nearness).iter().all(|&layer| layer < nearness.layers()));
    }

    #[test]
    fn without_zones_the_datacenter_is_next() {
        let nowhere = Place { datacenter: "fra", zone: "" };
        assert_eq!(Nearness::listed(Prefer::Zone, []).layer(nowhere, nowhere), 1);
    }
}
