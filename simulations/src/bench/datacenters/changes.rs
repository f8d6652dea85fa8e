//! How fast changes are everywhere, and how many copies of them are sent.

use std::time::Duration;

use super::DatacentersEffort;
use super::planet::{Planet, name_of};
use crate::bench::goals::quantile;
use crate::bench::row::{Goal, Row};
use crate::network::Partition;

/// The time between two followed changes.
const GAP: Duration = Duration::from_millis(200);
/// A change that is not everywhere after this time is lost.
const LIMIT: Duration = Duration::from_secs(60);

/// The times that followed changes took, in ms beyond the latency between datacenters, and the number that is not everywhere.
pub(super) fn times(planet: &Planet, effort: &DatacentersEffort) -> (Vec<f64>, usize) {
    let all = planet.world.running().count();
    let (mut times, mut missing) = (Vec::new(), 0);
    for followed in planet.log.followed.values() {
        let last = followed.last.iter().max().map_or(followed.at, |at| *at);
        let took = (last - followed.at).saturating_sub(effort.latency);
        times.push(took.as_secs_f64() * 1e3);
        missing += usize::from(followed.knowing < all);
    }
    (times, missing)
}

fn rounds(planet: &mut Planet, changes: usize, of: &[usize]) {
    for _ in 0..changes {
        let agent = planet.any(of);
        planet.follow(agent);
        planet.run_for(GAP);
    }
}

pub(super) fn wait(planet: &mut Planet) {
    let all = planet.world.running().count();
    planet.run_until(Duration::from_millis(100), LIMIT, |planet| {
        planet.log.followed.values().all(|followed| followed.knowing >= all)
    });
}

/// Changes at every loss.
pub(super) fn spread(effort: &DatacentersEffort, told: &mut dyn FnMut(&str)) -> Vec<Row> {
    let mut rows = Vec::new();
    told("settling");
    let mut planet = Planet::with(effort, |_| {});
    for loss in &effort.lan_losses {
        planet.log.followed.clear();
        planet.lose(effort, *loss);
        let all: Vec<usize> = (0..planet.world.len()).collect();
        let sent = |planet: &Planet| {
            let wan = planet.sum(&all, |counters| counters.wan_rumors_sent);
            let lan = planet.sum(&all, |counters| counters.rumors_received);
            (wan, lan)
        };
        let before = sent(&planet);
        let mut over = 0;
        for number in 0..effort.changes {
            if number % 20 == 0 {
                told(&format!("{:.0} % LAN loss: {number} changes", loss * 100.0));
            }
            let received = |planet: &Planet, dc: usize| {
                planet.sum(&planet.of(dc), |counters| counters.wan_rumors_received)
            };
            let dcs = planet.datacenters();
            let arrived: Vec<u64> = (0..dcs).map(|dc| received(&planet, dc)).collect();
            let agent = planet.any(&all);
            planet.follow(agent);
            planet.run_for(GAP);
            over += (0..dcs).filter(|dc| received(&planet, *dc) - arrived[*dc] > 2).count();
        }
        wait(&mut planet);
        let after = sent(&planet);
        let (times, missing) = times(&planet, effort);
        let small = effort.agents <= 100;
        let goal = match (small, (loss * 100.0).round() as u64) {
            (true, 0) => Some(10.0),
            (true, 1) => Some(12.0),
            (false, 0) => Some(10.0),
            (false, 1) => Some(25.0),
            (false, 5) => Some(60.0),
            (false, 25) => Some(160.0),
            _ => None,
        };
        let at = format!("{:.0} % LAN loss", loss * 100.0);
        let late = |least: usize| {
            planet.log.followed.values().filter(move |it| it.late.len() >= least).count()
        };
        let note = format!(
            "{} changes, {missing} of them not everywhere; {} were late at an agent, {} of them at more than one",
            times.len(),
            late(1),
            late(2),
        );
        let quant = |share| quantile(&times, share).unwrap_or(f64::NAN);
        let half = Row::new(format!("a change everywhere, {at}: p50"), quant(0.5), "ms");
        rows.push(if small && *loss == 0.0 { half.goal(Goal::AtMost(6.0)) } else { half });
        let p99 =
            Row::new(format!("a change everywhere, {at}: p99"), quant(0.99), "ms").note(&note);
        rows.push(goal.map_or(p99.clone(), |goal| p99.goal(Goal::AtMost(goal))));
        let links = (effort.changes * (effort.datacenters - 1)).max(1) as f64;
        let mean = (after.0 - before.0) as f64 / links;
        rows.push(
            Row::new(format!("copies per directed link, {at}"), mean, "").goal(Goal::AtMost(2.01)),
        );
        let share = over as f64 / links * 100.0;
        let what = format!("links that carried more than 2 copies, {at}");
        rows.push(Row::new(what, share, "%").goal(Goal::AtMost(0.1)));
        let copies = (after.1 - before.1) as f64 / (effort.changes * all.len()).max(1) as f64;
        let what = format!("copies per agent inside, {at}");
        rows.push(Row::new(what, copies, "").goal(Goal::AtMost(5.0)));
    }
    rows
}

/// Changes while gateways are dead, or hear no other datacenter.
pub(super) fn gateways(effort: &DatacentersEffort, told: &mut dyn FnMut(&str)) -> Vec<Row> {
    let mut rows = Vec::new();
    for killed in 1..=3_usize {
        told(&format!("{killed} gateways killed"));
        let mut planet = Planet::settled(effort, 0.0);
        let mut measured = Vec::new();
        for dc in 0..planet.datacenters() {
            let gateways = planet.world.gateways(&name_of(dc));
            gateways.iter().take(killed).for_each(|gateway| planet.crash(*gateway));
            // Nobody knows yet: the changes of the next two seconds, out and in.
            let inside = planet.of(dc);
            rounds(&mut planet, 5, &inside);
            let outside = planet.outside(dc);
            rounds(&mut planet, 5, &outside);
            wait(&mut planet);
            measured.extend(times(&planet, effort).0);
            planet.log.followed.clear();
            gateways.iter().take(killed).for_each(|gateway| planet.start(*gateway));
            planet.run_for(Duration::from_secs(20));
        }
        let p99 = quantile(&measured, 0.99).unwrap_or(f64::NAN);
        let what = format!("{killed} of 3 gateways just killed: changes out and in, p99");
        let note = format!("{} changes", measured.len());
        rows.push(Row::new(what, p99, "ms").goal(Goal::AtMost(60.0)).note(&note));
    }
    told("gateways that hear no other datacenter");
    let mut planet = Planet::settled(effort, 0.0);
    let (gateways, outside) = (planet.world.gateways(&name_of(0)), planet.outside(0));
    Partition::full(&gateways, &outside).begin(planet.world.network());
    let inside = planet.of(0);
    rounds(&mut planet, 10, &inside);
    rounds(&mut planet, 10, &outside);
    wait(&mut planet);
    let (times, missing) = times(&planet, effort);
    let slowest = quantile(&times, 1.0).unwrap_or(f64::NAN) / 1e3;
    let what = "three gateways hear no other datacenter: slowest change";
    let note = format!("{missing} of {} changes are not everywhere", times.len());
    rows.push(Row::new(what, slowest, "s").goal(Goal::AtMost(2.5)).note(&note));
    rows
}
