//! The nearness of a target.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use super::layered::Layer;
use crate::{
    names::{UnknownName, by_name},
    snapshot::Target,
};

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
    Any,
    /// Those in the same zone, then those in the same datacenter, then the other datacenters in order.
    Zone,
    /// Those in the same datacenter, then the other datacenters in order.
    #[default]
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
            Self::Zone => {
                "Those in the agent's zone, then those in its datacenter, then the others"
            }
            Self::Datacenter => "Those in the agent's datacenter, then the others",
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

/// Sorts targets into layers by distance, for a [`Layered`](crate::Layered) balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nearness {
    prefer: Prefer,
    /// The other datacenters, nearest first.
    order: Vec<String>,
}

impl Nearness {
    /// Other datacenters follow in the order given. Those not named come last, all alike.
    pub fn listed(prefer: Prefer, order: impl IntoIterator<Item = String>) -> Self {
        Self { prefer, order: order.into_iter().collect() }
    }

    /// Other datacenters follow by measured round-trip time. Those without one come last, all alike.
    pub fn measured(
        prefer: Prefer,
        round_trips: impl IntoIterator<Item = (String, Duration)>,
    ) -> Self {
        let mut round_trips: Vec<_> =
            round_trips.into_iter().map(|(name, time)| (time, name)).collect();
        round_trips.sort();
        Self { prefer, order: round_trips.into_iter().map(|(_, name)| name).collect() }
    }

    /// The layers of targets, nearest first, for a client that runs `here`. Each instance has its place and its weight, and a
    /// target if it may be picked.
    pub fn arrange<'a, T>(
        &self,
        here: Place<'_>,
        instances: impl IntoIterator<Item = (Place<'a>, u32, Option<Target<T>>)>,
    ) -> Vec<Layer<T>> {
        let mut layers: BTreeMap<(u32, &str, bool), Layer<T>> = BTreeMap::new();
        for (there, weight, target) in instances {
            let own_zone = self.prefer == Prefer::Zone && here == there && !here.zone.is_empty();
            let (distance, region) = match self.prefer {
                Prefer::Any => (0, ""),
                Prefer::Zone | Prefer::Datacenter => {
                    (self.distance(here.datacenter, there.datacenter), there.datacenter)
                }
            };
            // The own zone comes before the rest of its datacenter.
            let layer = layers.entry((distance, region, !own_zone)).or_insert_with(|| Layer {
                region: region.into(),
                distance,
                own_zone,
                targets: Vec::new(),
                total: 0,
            });
            layer.total += u64::from(weight);
            layer.targets.extend(target);
        }
        layers.into_values().collect()
    }

    fn distance(&self, here: &str, there: &str) -> u32 {
        if here == there {
            return 0;
        }
        let listed = self.order.iter().position(|name| name == there);
        1 + listed.unwrap_or(self.order.len()) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'_> = Place { datacenter: "fra", zone: "a" };

    /// The layers of five instances, each layer as its distance and the targets in it.
    fn layers(nearness: &Nearness, here: Place<'_>) -> Vec<(u32, String)> {
        let places = [("fra", "a"), ("fra", "b"), ("ams", "a"), ("nyc", "x"), ("tok", "")];
        let instances = places.iter().enumerate().map(|(number, &(datacenter, zone))| {
            let target = Target { id: number.to_string().into(), weight: 1, item: () };
            (Place { datacenter, zone }, 1, Some(target))
        });
        let ids = |layer: Layer<()>| {
            assert_eq!(layer.total, layer.targets.len() as u64);
            let ids: Vec<&str> = layer.targets.iter().map(|target| &*target.id).collect();
            (layer.distance, ids.concat())
        };
        nearness.arrange(here, instances).into_iter().map(ids).collect()
    }

    fn expected(layers: &[(u32, &str)]) -> Vec<(u32, String)> {
        layers.iter().map(|(distance, ids)| (*distance, (*ids).to_owned())).collect()
    }

    #[test]
    fn zone_then_datacenter_then_the_listed_order() {
        let order = ["fra", "nyc", "ams"].map(String::from);
        let zone = layers(&Nearness::listed(Prefer::Zone, order.clone()), HERE);
        assert_eq!(zone, expected(&[(0, "0"), (0, "1"), (2, "3"), (3, "2"), (4, "4")]));
        let datacenter = layers(&Nearness::listed(Prefer::Datacenter, order.clone()), HERE);
        assert_eq!(datacenter, expected(&[(0, "01"), (2, "3"), (3, "2"), (4, "4")]));
        let any = layers(&Nearness::listed(Prefer::Any, order), HERE);
        assert_eq!(any, expected(&[(0, "01234")]));
    }

    #[test]
    fn without_an_order_all_other_datacenters_are_alike() {
        let layers = layers(&Nearness::default(), HERE);
        assert_eq!(layers, expected(&[(0, "01"), (1, "2"), (1, "3"), (1, "4")]));
    }

    #[test]
    fn or_by_round_trip_time() {
        let times = [("nyc", 90), ("tok", 240), ("ams", 7)];
        let times = times.map(|(name, ms)| (name.into(), Duration::from_millis(ms)));
        let layers = layers(&Nearness::measured(Prefer::Datacenter, times), HERE);
        assert_eq!(layers, expected(&[(0, "01"), (1, "2"), (2, "3"), (3, "4")]));
    }

    #[test]
    fn without_zones_the_datacenter_is_next() {
        let nowhere = Place { datacenter: "tok", zone: "" };
        let layers = layers(&Nearness::listed(Prefer::Zone, []), nowhere);
        assert_eq!(layers[0], (0, "4".to_owned()));
        assert!(layers[1..].iter().all(|(distance, _)| *distance == 1));
    }
}
