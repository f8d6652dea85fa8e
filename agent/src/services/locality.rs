//! The place of the agent, and the order in which other datacenters follow its own.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hobnob_api::Prefer;
use hobnob_balancer::Nearness;
use hobnob_membership::record::Text;

/// A datacenter moves before another one only when its round trip is shorter by more than this share. Otherwise the load of two
/// that are about as far would move back and forth.
const NEARER_BY: f64 = 0.2;

/// The agent's datacenter and zone, and the other datacenters as they are measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locality {
    pub(crate) datacenter: String,
    pub(crate) zone: String,
    /// The other datacenters, the nearest first. All copies share it.
    pub(super) nearest: Arc<ArcSwap<Vec<String>>>,
}

impl Locality {
    /// A place from which no round trip is measured yet.
    pub(crate) fn new(datacenter: impl Into<String>, zone: impl Into<String>) -> Self {
        Self { datacenter: datacenter.into(), zone: zone.into(), nearest: Arc::default() }
    }

    /// The order of instances under a preference: datacenters follow in the order of `failover`, then by round trip.
    pub(super) fn nearness(&self, prefer: Prefer, failover: &[Text]) -> Nearness {
        let mut order: Vec<String> = failover.iter().map(Text::to_string).collect();
        let nearest = self.nearest.load();
        let measured = nearest.iter().filter(|name| !failover.iter().any(|one| one == *name));
        order.extend(measured.cloned());
        Nearness::listed(prefer, order)
    }

    /// Takes the round trips to other datacenters. Returns whether their order changed.
    pub(super) fn measure(&self, mut round_trips: Vec<(String, Duration)>) -> bool {
        round_trips.sort_by(|one, other| (one.1, &one.0).cmp(&(other.1, &other.0)));
        if is_about_sorted(&self.nearest.load(), &round_trips) {
            return false;
        }
        let order = round_trips.into_iter().map(|(name, _)| name).collect();
        self.nearest.store(Arc::new(order));
        true
    }
}

/// Whether an order holds the same names, and no pair of neighbours the wrong way round by more than [`NEARER_BY`].
fn is_about_sorted(order: &[String], round_trips: &[(String, Duration)]) -> bool {
    let time = |name: &String| {
        let found = round_trips.iter().find(|(other, _)| other == name);
        found.map(|(_, time)| time.as_secs_f64())
    };
    let times: Option<Vec<f64>> = order.iter().map(time).collect();
    let is_sorted = |times: Vec<f64>| {
        times.array_windows().all(|[nearer, farther]| *farther >= *nearer * (1.0 - NEARER_BY))
    };
    order.len() == round_trips.len() && times.is_some_and(is_sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(of: &[(&str, u64)]) -> Vec<(String, Duration)> {
        of.iter().map(|(name, ms)| ((*name).to_owned(), Duration::from_millis(*ms))).collect()
    }

    #[test]
    fn the_order_changes_only_for_a_clear_difference() {
        let here = Locality::new("eu", "");
        let order = || here.nearest.load().to_vec();
        assert!(here.measure(times(&[("us", 90), ("uk", 10), ("asia", 200)])));
        assert_eq!(order(), ["uk", "us", "asia"]);
        assert!(!here.measure(times(&[("us", 90), ("uk", 100), ("asia", 200)])), "about as far");
        assert!(here.measure(times(&[("us", 70), ("uk", 100), ("asia", 200)])));
        assert_eq!(order(), ["us", "uk", "asia"]);
        assert!(here.measure(times(&[("us", 70), ("asia", 200)])), "one is gone");
        assert_eq!(order(), ["us", "asia"]);
    }

    #[test]
    fn a_failover_list_comes_before_what_is_measured() {
        let here = Locality::new("eu", "");
        here.measure(times(&[("us", 90), ("uk", 10), ("asia", 200)]));
        let nearness = here.nearness(Prefer::Datacenter, &["asia".into()]);
        let order = ["asia", "uk", "us"].map(str::to_owned);
        assert_eq!(nearness, Nearness::listed(Prefer::Datacenter, order));
    }
}
