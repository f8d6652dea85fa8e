//! Whether datacenters stay in reach over long and bad links.

use std::time::Duration;

use rand::RngExt;

use super::DatacentersEffort;
use super::planet::Planet;
use crate::bench::row::{Goal, Row};
use crate::network::{Conditions, Latency};

/// The share of packets between datacenters that is lost.
const LOSS: f64 = 0.05;
/// The one-way latency in a spike.
const SPIKE: Duration = Duration::from_millis(300);
const SECOND: Duration = Duration::from_secs(1);
/// One second in this many, on average, is a spike on the links of a datacenter.
const SPIKE_EVERY: u32 = 6;
const HOUR: u64 = 3_600;

/// Days in which one packet in twenty between datacenters is lost, and in which all packets between one datacenter and the others take
/// 300 ms for a second, every six seconds on average.
pub(super) fn reach(effort: &DatacentersEffort, told: &mut dyn FnMut(&str)) -> Vec<Row> {
    told("settling");
    let lossy = DatacentersEffort { wan_loss: LOSS, ..effort.clone() };
    let mut planet = Planet::settled(&lossy, 0.0);
    planet.log.false_downs.clear();
    planet.log.unreachable.clear();
    let seconds = (effort.days * 24.0 * HOUR as f64) as u64;
    let mut spikes = 0_u64;
    for second in 0..seconds {
        if second % HOUR == 0 {
            let events = planet.log.unreachable.len();
            told(&format!("hour {} of {}, {events} events", second / HOUR, seconds / HOUR));
        }
        let spiked = planet.rng.random_ratio(1, SPIKE_EVERY).then(|| {
            let datacenter = planet.rng.random_range(0..planet.datacenters());
            set_latency(&mut planet, datacenter, SPIKE);
            datacenter
        });
        planet.run_for(SECOND);
        if let Some(datacenter) = spiked {
            spikes += 1;
            set_latency(&mut planet, datacenter, effort.latency);
        }
    }
    let days = seconds as f64 / (24 * HOUR) as f64;
    let what = format!("{days:.2} days at 5 % WAN loss and spikes of 300 ms");
    let events = planet.log.unreachable.len() as f64;
    let downs = planet.log.false_downs.len() as f64;
    vec![
        Row::new(format!("{what}: times that an agent told \"out of reach\""), events, "")
            .goal(Goal::AtMost(0.0))
            .note(&format!("{} agents, {spikes} spikes", planet.world.len())),
        Row::new("the same: false downs", downs, "").goal(Goal::AtMost(0.0)),
    ]
}

fn set_latency(planet: &mut Planet, datacenter: usize, latency: Duration) {
    let (inside, outside) = (planet.of(datacenter), planet.outside(datacenter));
    let latency = Latency::Uniform { min: latency, max: latency };
    let change = |before: &Conditions| Conditions { latency, ..*before };
    planet.world.network().change(&inside, &outside, change);
    planet.world.network().change(&outside, &inside, change);
}
