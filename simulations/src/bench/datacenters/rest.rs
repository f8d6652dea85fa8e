//! Bytes between datacenters at rest.

use std::time::Duration;

use super::DatacentersEffort;
use super::planet::Planet;
use crate::bench::row::{Goal, Row};
use crate::world::Crossed;

const MINUTE: Duration = Duration::from_secs(60);

/// What crosses while nothing happens.
pub(super) fn rest(effort: &DatacentersEffort, told: &mut dyn FnMut(&str)) -> Vec<Row> {
    told("settling");
    let mut planet = Planet::settled(effort, 0.0);
    planet.run_for(MINUTE / 2);
    let before = planet.crossed();
    told("at rest");
    planet.run_for(MINUTE);
    let after = planet.crossed();
    let rates: Vec<f64> = after
        .iter()
        .map(|(pair, crossed)| {
            let before = before.get(pair).map_or(0, Crossed::bytes);
            (crossed.bytes() - before) as f64 / MINUTE.as_secs_f64()
        })
        .collect();
    let mean = rates.iter().sum::<f64>() / rates.len().max(1) as f64;
    let most = rates.iter().copied().fold(0.0, f64::max);
    let note = format!("{most:.0} B/s on the busiest; {} instances an agent", effort.instances);
    vec![
        Row::new("at rest, for each directed pair", mean, "B/s")
            .goal(Goal::AtMost(500.0))
            .note(&note),
    ]
}
