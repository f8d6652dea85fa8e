//! Cuts, power losses and churn.

use std::time::Duration;

use hobnob_membership::Time;

use super::DatacentersEffort;
use super::planet::{Planet, name_of};
use crate::bench::row::{Goal, Row};
use crate::network::{Channel, Conditions, Partition};
use crate::world::Crossed;

const STEP: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(120);
const MINUTE: Duration = Duration::from_secs(60);

fn seconds(time: Option<Duration>) -> f64 {
    time.map_or(f64::NAN, |time| time.as_secs_f64())
}

/// Changes on both sides of a cut of a minute.
pub(super) fn storm(effort: &DatacentersEffort, told: &mut dyn FnMut(&str)) -> Vec<Row> {
    told("settling");
    let mut planet = Planet::settled(effort, 0.0);
    let (inside, outside) = (planet.of(0), planet.outside(0));
    let cut = Partition::full(&inside, &outside);
    cut.begin(planet.world.network());
    let gap = MINUTE / effort.storm.max(1) as u32;
    for number in 0..effort.storm {
        let (a, b) = (inside[number % inside.len()], outside[number % outside.len()]);
        planet.change(a, number / inside.len());
        planet.change(b, number / outside.len());
        planet.run_for(gap);
        if number % 500 == 0 {
            told(&format!("cut, {number} changes on each side"));
        }
    }
    planet.run_for(Duration::from_secs(2));
    let before = planet.crossed();
    let all: Vec<usize> = (0..planet.world.len()).collect();
    let records = planet.sum(&all, |counters| counters.far_records_received);
    cut.end(planet.world.network());
    told("healed");
    let healed = planet.run_until(STEP, LIMIT, Planet::is_equal);
    let after = planet.crossed();
    let into: u64 = (1..planet.datacenters())
        .map(|dc| {
            let of = |all: &std::collections::BTreeMap<(usize, usize), Crossed>| {
                all.get(&(dc, 0)).map_or(0, Crossed::bytes)
            };
            of(&after) - of(&before)
        })
        .sum();
    let note = format!("{into} B from the others into the one that was cut off");
    let what = format!("60 s cut with {} changes on each side: all equal", effort.storm);
    // What changed in the datacenter goes to each other one, and what changed elsewhere comes to it.
    let must_cross = effort.storm * planet.datacenters();
    let crossed_now = planet.sum(&all, |counters| counters.far_records_received);
    let times = (crossed_now - records) as f64 / must_cross.max(1) as f64;
    vec![
        Row::new(what, seconds(healed), "s").goal(Goal::AtMost(8.0)).note(&note),
        Row::new("the same: sessions bring a changed record so often", times, "x")
            .goal(Goal::AtMost(1.1)),
    ]
}

/// Bytes a second between two datacenters whose link is narrow.
const NARROW: u64 = 4_000;

/// More changes within a second than a narrow link takes, while no stream passes between datacenters: the changes wait, and
/// none is lost.
pub(super) fn narrow(effort: &DatacentersEffort, told: &mut dyn FnMut(&str)) -> Vec<Row> {
    told("settling");
    let lossless = DatacentersEffort { wan_loss: 0.0, ..effort.clone() };
    let mut planet = Planet::with(&lossless, |it| it.wan_bytes_per_second = NARROW);
    let (inside, outside) = (planet.of(0), planet.outside(0));
    Partition::full(&inside, &outside).only(Channel::Streams).begin(planet.world.network());
    let changes = effort.storm.min(300);
    let gap = Duration::from_secs(1) / changes.max(1) as u32;
    for number in 0..changes {
        planet.change(inside[number % inside.len().min(8)], number);
        planet.run_for(gap);
    }
    let equal = planet.run_until(STEP, MINUTE, Planet::is_equal);
    let what = format!("{changes} changes within 1 s over links of {NARROW} B/s: all equal");
    vec![Row::new(what, seconds(equal), "s").goal(Goal::AtMost(30.0)).note("no streams pass")]
}

/// What agents told of a datacenter since a moment: the most events at one agent, and when the last agent told its first.
fn told_since(planet: &Planet, since: Time, cut: usize) -> (usize, Option<Duration>) {
    let mut counts = vec![0; planet.world.len()];
    let mut last = Time::ZERO;
    let name = name_of(cut);
    for (at, agent, _) in
        planet.log.unreachable.iter().filter(|(at, _, told)| *at >= since && *told == name)
    {
        counts[*agent] += 1;
        if counts[*agent] == 1 {
            last = *at;
        }
    }
    let elsewhere = planet.outside(cut);
    let all = elsewhere.iter().all(|agent| counts[*agent] > 0);
    (counts.into_iter().max().unwrap_or(0), all.then(|| last - since))
}

/// A datacenter is cut off for long.
pub(super) fn long_cut(effort: &DatacentersEffort, told: &mut dyn FnMut(&str)) -> Vec<Row> {
    told("settling");
    let mut planet = Planet::settled(effort, 0.0);
    let since = planet.world.now();
    planet.log.false_downs.clear();
    let cut = Partition::full(&planet.of(0), &planet.outside(0));
    cut.begin(planet.world.network());
    let end = since + effort.long_cut;
    while planet.world.now() < end {
        told(&format!("cut, {:.0} min", (planet.world.now() - since).as_secs_f64() / 60.0));
        planet.run_for(MINUTE.min(end - planet.world.now()));
    }
    let (events, known) = told_since(&planet, since, 0);
    let healed_at = planet.world.now();
    cut.end(planet.world.network());
    told("healed");
    let in_reach = |planet: &Planet| {
        let back = planet.log.reachable.iter().filter(|(at, ..)| *at >= healed_at);
        let here = planet.agents * (planet.datacenters() - 1);
        back.count() >= 2 * here
    };
    let healed = planet.run_until(STEP, LIMIT, |planet| planet.is_equal() && in_reach(planet));
    let minutes = effort.long_cut.as_secs_f64() / 60.0;
    let what = |it: &str| format!("a datacenter cut off for {minutes:.0} min: {it}");
    let downs = planet.log.false_downs.len() as f64;
    vec![
        Row::new(what("events at an agent elsewhere"), events as f64, "").goal(Goal::AtMost(1.0)),
        Row::new(what("false downs"), downs, "").goal(Goal::AtMost(0.0)),
        Row::new(what("known everywhere after"), seconds(known), "s").goal(Goal::AtMost(8.0)),
        Row::new(what("healed: all equal, and in reach"), seconds(healed), "s")
            .goal(Goal::AtMost(10.0)),
    ]
}

/// A datacenter loses its power.
pub(super) fn power(effort: &DatacentersEffort, told: &mut dyn FnMut(&str)) -> Vec<Row> {
    told("settling");
    let mut planet = Planet::settled(effort, 0.0);
    let since = planet.world.now();
    planet.of(0).into_iter().for_each(|agent| planet.crash(agent));
    told("without power");
    planet.run_for(MINUTE);
    let (events, known) = told_since(&planet, since, 0);
    let back_at = planet.world.now();
    planet.of(0).into_iter().for_each(|agent| planet.start(agent));
    told("back");
    let back = |planet: &Planet| {
        let back = planet.log.reachable.iter().filter(|(at, ..)| *at >= back_at);
        back.count() >= planet.agents * (planet.datacenters() - 1)
    };
    let back = planet.run_until(STEP, LIMIT, |planet| planet.is_equal() && back(planet));
    vec![
        Row::new("a datacenter loses its power: events at an agent elsewhere", events as f64, "")
            .goal(Goal::AtMost(1.0)),
        Row::new("a datacenter loses its power: known everywhere", seconds(known), "s")
            .goal(Goal::AtMost(8.0)),
        Row::new("its return: all equal, and in reach", seconds(back), "s").goal(Goal::AtMost(5.0)),
    ]
}

/// Churn of one agent a second, without loss and with a quarter of all packets lost.
pub(super) fn churn(effort: &DatacentersEffort, told: &mut dyn FnMut(&str)) -> Vec<Row> {
    let mut bytes = Vec::new();
    let mut downs = 0;
    for loss in [0.0, 0.25] {
        told(&format!("churn at {:.0} % loss inside", loss * 100.0));
        let mut planet = Planet::settled(effort, 0.0);
        let inside = planet.of(0);
        let lossy = |before: &Conditions| Conditions { loss, ..*before };
        planet.world.network().change(&inside, &inside, lossy);
        planet.run_for(Duration::from_secs(5));
        let before = planet.crossed();
        for second in 0..60 {
            let (out, back) = (second % inside.len(), (second + inside.len() - 1) % inside.len());
            planet.start(inside[back]);
            planet.crash(inside[out]);
            planet.run_for(Duration::from_secs(1));
        }
        let after = planet.crossed();
        // What the others sent, to each other and into the datacenter.
        let others = after.iter().filter(|((from, _), _)| *from != 0);
        let sent: u64 =
            others.map(|(pair, it)| it.bytes() - before.get(pair).map_or(0, Crossed::bytes)).sum();
        bytes.push(sent as f64);
        if loss > 0.0 {
            let elsewhere = |id| planet.world.host_of(id).is_some_and(|it| it >= planet.agents);
            downs = planet.log.false_downs.iter().filter(|id| elsewhere(**id)).count();
        }
    }
    let more = (bytes[1] / bytes[0] - 1.0) * 100.0;
    vec![
        Row::new(
            "churn at 25 % loss inside: false downs in the other datacenters",
            downs as f64,
            "",
        )
        .goal(Goal::AtMost(0.0)),
        Row::new("churn at 25 % loss inside: bytes of the others, against none", more, "%")
            .goal(Goal::AtMost(5.0)),
    ]
}
