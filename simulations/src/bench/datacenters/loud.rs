//! An origin that changes more than the links between datacenters let through.

use std::time::Duration;

use super::DatacentersEffort;
use super::changes::{times, wait};
use super::planet::Planet;
use crate::bench::goals::quantile;
use crate::bench::row::{Goal, Row};
use crate::network::{Channel, Partition};

/// Changes a second that a link lets through of one origin.
const RATE: u64 = 5;
/// Changes that it lets through at once: what the rate allows in 40 s.
const BURST: u64 = 40 * RATE;
/// Changes a second of the loud origin.
const LOUD: u64 = 50;
const SECONDS: u64 = 15;
/// Instances that the loud origin changes in turn.
const INSTANCES: u64 = 8;
const LIMIT: Duration = Duration::from_secs(60);

/// One agent changes its instances ten times as often as a link lets through, while another one of its datacenter changes
/// now and then. No stream passes between datacenters, so nothing is repaired by a session.
pub(super) fn loud(effort: &DatacentersEffort, told: &mut dyn FnMut(&str)) -> Vec<Row> {
    told("settling");
    let lossless = DatacentersEffort { wan_loss: 0.0, ..effort.clone() };
    let mut planet = Planet::with(&lossless, |it| it.wan_changes_per_second_of_origin = RATE);
    let (inside, outside) = (planet.of(0), planet.outside(0));
    Partition::full(&inside, &outside).only(Channel::Streams).begin(planet.world.network());
    let (loud, quiet) = (inside[0], inside[inside.len() - 1]);
    let all: Vec<usize> = (0..planet.world.len()).collect();
    let counts = |planet: &Planet| {
        let crossed = planet.sum(&all, |counters| counters.wan_rumors_sent);
        (crossed, planet.sum(&all, |counters| counters.wan_held_given_up))
    };
    let before = counts(&planet);
    told("one agent is loud");
    for number in 0..LOUD * SECONDS {
        planet.change(loud, (number % INSTANCES) as usize);
        if number % (LOUD / 5) == 0 {
            planet.follow(quiet);
        }
        planet.run_for(Duration::from_secs(1) / LOUD as u32);
    }
    let step = Duration::from_millis(100);
    let equal = planet.run_until(step, LIMIT, Planet::is_equal).map(|time| time.as_secs_f64());
    wait(&mut planet);
    let after = counts(&planet);
    let (times, missing) = times(&planet, effort);
    let links = (effort.datacenters - 1).max(1) as u64;
    let quiet_changes = times.len() as u64;
    // Two copies of what goes at once, and of what the quiet one changes; one of what goes later.
    let most = 2 * (BURST + quiet_changes) + RATE * SECONDS;
    let made = LOUD * SECONDS;
    let what = format!("{made} changes of one agent in {SECONDS} s at {RATE} a second");
    let p99 = quantile(&times, 0.99).unwrap_or(f64::NAN);
    vec![
        Row::new(
            format!("{what}: sent over a link"),
            (after.0 - before.0) as f64 / links as f64,
            "",
        )
        .goal(Goal::AtMost(most as f64)),
        Row::new("the same: left to repair", (after.1 - before.1) as f64, "")
            .goal(Goal::AtMost(0.0)),
        Row::new("the same: all equal after the last one", equal.unwrap_or(f64::NAN), "s")
            .goal(Goal::AtMost(5.0))
            .note("no streams pass"),
        Row::new("the same: a change of another agent there, p99", p99, "ms")
            .goal(Goal::AtMost(60.0))
            .note(&format!("{quiet_changes} changes, {missing} of them not everywhere")),
    ]
}
