//! How near a target is.

use std::{str::FromStr, time::Duration};

/// Where something runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The datacenter.
    pub datacenter: &'a str,
    /// The zone within it; empty where there are none.
    pub zone: &'a str,
}

/// What counts as nearest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefer {
    /// The same zone, then the same datacenter, then the others in order.
    #[default]
    Zone,
    /// The same datacenter, then the others in order.
    Datacenter,
    /// Every place alike.
    Any,
}

/// Sorts targets into layers by distance, for a [`Layered`](crate::Layered) balancer: layer 0 is nearest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nearness {
    prefer: Prefer,
    /// The other datacenters, nearest first.
    order: Vec<String>,
}

impl Nearness {
    /// Other datacenters follow in the order given; those not named come last, together.
    pub fn listed(prefer: Prefer, order: impl IntoIterator<Item = String>) -> Self {
        Self { prefer, order: order.into_iter().collect() }
    }

    /// Other datacenters follow by measured round-trip time; those without one come last, together.
    pub fn measured(
        prefer: Prefer,
        round_trips: impl IntoIterator<Item = (String, Duration)>,
    ) -> Self {
        let mut round_trips: Vec<_> =
            round_trips.into_iter().map(|(name, time)| (time, name)).collect();
        round_trips.sort();
        Self { prefer, order: round_trips.into_iter().map(|(_, name)| name).collect() }
    }

    /// The layer of a target that runs `there` for a client that runs `here`, below [`Nearness::layers`].
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

    /// How many layers there can be.
    pub fn layers(&self) -> usize {
        match self.prefer {
            Prefer::Zone => self.order.len() + 3,
            Prefer::Datacenter => self.order.len() + 2,
            Prefer::Any => 1,
        }
    }
}

/// Nothing is preferred by this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown preference `{0}`; known are zone, datacenter, any")]
pub struct UnknownPreference(pub String);

impl FromStr for Prefer {
    type Err = UnknownPreference;

    fn from_str(name: &str) -> Result<Self, UnknownPreference> {
        match name {
            "zone" => Ok(Self::Zone),
            "datacenter" => Ok(Self::Datacenter),
            "any" => Ok(Self::Any),
            _ => Err(UnknownPreference(name.into())),
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
        assert_eq!(Nearness::default().layer(nowhere, nowhere), 1);
    }
}
