//! The measurements of the comparison.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::Subject;

/// A gossip interval, the unit that others count in.
const INTERVAL_MS: f64 = 200.0;
/// The resolution of spreading times.
const TICK: Duration = Duration::from_millis(1);
/// The resolution of longer times.
const STEP: Duration = Duration::from_millis(50);

/// The extent of the measurements.
#[derive(Clone, Copy, Debug)]
pub struct ComparisonEffort {
    /// Changes to follow.
    pub changes: u16,
    /// Crashes to follow.
    pub crashes: usize,
    /// Minutes over which false downs are counted.
    pub minutes: u64,
    /// The seed.
    pub seed: u64,
}

/// The measurements of one protocol in one setting. Times are in milliseconds, and `None` when the event did not
/// happen in time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Comparison {
    /// The protocol.
    pub protocol: String,
    /// Agents.
    pub nodes: usize,
    /// Share of datagrams lost.
    pub loss: f64,
    /// From the start of all agents at once until all views are full.
    pub join_ms: Option<u64>,
    /// Until half of the agents know a change; the median of all changes.
    pub change_half_ms: Option<u64>,
    /// Until 99 % do.
    pub change_99_ms: Option<u64>,
    /// Until all do; the median of all changes.
    pub change_all_ms: Option<u64>,
    /// The same, in gossip intervals of 200 ms.
    pub change_all_intervals: Option<f64>,
    /// Until all do; the slowest change.
    pub change_all_worst_ms: Option<u64>,
    /// Changes that did not reach all within 30 s.
    pub changes_lost: u64,
    /// Copies of a change that an agent received.
    pub copies: f64,
    /// Until the first agent knows of a crash; the median of all crashes.
    pub crash_first_ms: Option<u64>,
    /// Until half do.
    pub crash_half_ms: Option<u64>,
    /// Until all do.
    pub crash_all_ms: Option<u64>,
    /// Live agents believed down, counted for each observer, with no fault but the loss.
    pub false_downs: u64,
    /// The same while one agent in twenty repeatedly pauses for 0.1 to 2 s.
    pub false_downs_slow: u64,
    /// Bytes a second that an agent sends at rest.
    pub rest_bytes_per_second: f64,
    /// From the end of a 60 s cut between halves until all views are full again.
    pub heal_ms: Option<u64>,
}

/// Measures one protocol in one setting. `progress` receives the name of each step.
pub fn measure<S: Subject>(
    nodes: usize,
    loss: f64,
    effort: ComparisonEffort,
    mut progress: impl FnMut(&str),
) -> Comparison {
    let mut row = Comparison { protocol: S::NAME.into(), nodes, loss, ..Comparison::default() };
    progress("join");
    let mut cluster = S::new(nodes, loss, effort.seed);
    row.join_ms = until(&mut cluster, STEP, 300, |c| (0..nodes).all(|a| c.active(a) == nodes));
    cluster.run_for(Duration::from_secs(60));
    progress("changes");
    changes(&mut cluster, nodes, effort, &mut row);
    cluster.run_for(Duration::from_secs(30));
    progress("rest");
    let before = cluster.bytes();
    cluster.run_for(Duration::from_secs(60));
    row.rest_bytes_per_second = (cluster.bytes() - before) as f64 / 60.0 / nodes as f64;
    progress("false downs");
    let before = cluster.false_downs();
    cluster.run_for(Duration::from_secs(60 * effort.minutes));
    row.false_downs = cluster.false_downs() - before;
    progress("crashes");
    crashes(&mut cluster, nodes, effort, &mut row);
    drop(cluster);
    progress("false downs with slow agents");
    row.false_downs_slow = slow::<S>(nodes, loss, effort);
    progress("a cut between halves");
    row.heal_ms = halves::<S>(nodes, loss, effort);
    row
}

fn until<S: Subject>(
    cluster: &mut S,
    step: Duration,
    limit_seconds: u64,
    done: impl Fn(&S) -> bool,
) -> Option<u64> {
    let start = cluster.now();
    while !done(cluster) {
        if cluster.now() - start > Duration::from_secs(limit_seconds) {
            return None;
        }
        cluster.run_for(step);
    }
    Some((cluster.now() - start).as_millis() as u64)
}

fn median(mut times: Vec<u64>) -> Option<u64> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

fn changes<S: Subject>(
    cluster: &mut S,
    nodes: usize,
    effort: ComparisonEffort,
    row: &mut Comparison,
) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(effort.seed);
    let before = cluster.copies();
    let (mut half, mut most, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for value in 1..=effort.changes {
        let origin = rng.random_range(0..nodes);
        cluster.publish(origin, value);
        let start = cluster.now();
        let (mut at_half, mut at_most) = (None, None);
        let took = loop {
            let knowing = (0..nodes).filter(|agent| cluster.known(*agent, origin) == value).count();
            let took = cluster.now() - start;
            let millis = took.as_millis() as u64;
            if knowing * 2 >= nodes {
                at_half.get_or_insert(millis);
            }
            if knowing * 100 >= nodes * 99 {
                at_most.get_or_insert(millis);
            }
            if knowing == nodes {
                break Some(millis);
            }
            if took > Duration::from_secs(30) {
                break None;
            }
            // A hundredth of the time so far is fine enough.
            cluster.run_for(TICK.max(took / 100));
        };
        half.extend(at_half);
        most.extend(at_most);
        match took {
            Some(millis) => all.push(millis),
            None => row.changes_lost += 1,
        }
        cluster.run_for(Duration::from_secs(2));
    }
    row.change_all_worst_ms = all.iter().max().copied();
    row.change_half_ms = median(half);
    row.change_99_ms = median(most);
    row.change_all_ms = median(all);
    row.change_all_intervals = row.change_all_ms.map(|ms| ms as f64 / INTERVAL_MS);
    let received = (cluster.copies() - before) as f64;
    row.copies = received / f64::from(effort.changes) / nodes as f64;
}

fn crashes<S: Subject>(
    cluster: &mut S,
    nodes: usize,
    effort: ComparisonEffort,
    row: &mut Comparison,
) {
    let (mut first, mut half, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..effort.crashes {
        // Neither the seed nor an agent that has crashed.
        let victim = 1 + number * (nodes - 1) / effort.crashes;
        cluster.crash(victim);
        let knowing = |c: &S| {
            let others = (0..nodes).filter(|agent| c.active(*agent) > 0);
            others.filter(|agent| !c.believes_alive(*agent, victim)).count()
        };
        let others = (0..nodes).filter(|agent| cluster.active(*agent) > 0).count();
        let start = cluster.now();
        let since = |c: &S| (c.now() - start).as_millis() as u64;
        // Some agent may have believed it down before the crash.
        let already = knowing(cluster);
        if until(cluster, STEP, 120, |c| knowing(c) > already.min(others - 1)).is_some() {
            first.push(since(cluster));
        }
        if until(cluster, STEP, 120, |c| knowing(c) * 2 >= others).is_some() {
            half.push(since(cluster));
        }
        if until(cluster, STEP, 120, |c| knowing(c) == others).is_some() {
            all.push(since(cluster));
        }
        cluster.run_for(Duration::from_secs(5));
    }
    row.crash_first_ms = median(first);
    row.crash_half_ms = median(half);
    row.crash_all_ms = median(all);
}

fn slow<S: Subject>(nodes: usize, loss: f64, effort: ComparisonEffort) -> u64 {
    let mut cluster = S::new(nodes, loss, effort.seed + 1);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(effort.seed + 1);
    cluster.run_for(Duration::from_secs(60));
    let before = cluster.false_downs();
    let slow = nodes.div_ceil(20);
    for _ in 0..60 * effort.minutes {
        for agent in 0..slow {
            if rng.random_bool(0.5) {
                let pause = Duration::from_millis(rng.random_range(100..2_000));
                cluster.pause(1 + agent, pause);
            }
        }
        cluster.run_for(Duration::from_secs(1));
    }
    cluster.false_downs() - before
}

fn halves<S: Subject>(nodes: usize, loss: f64, effort: ComparisonEffort) -> Option<u64> {
    let mut cluster = S::new(nodes, loss, effort.seed + 2);
    cluster.run_for(Duration::from_secs(60));
    cluster.cut_halves();
    cluster.run_for(Duration::from_secs(60));
    cluster.heal();
    until(&mut cluster, STEP, 600, |c| (0..nodes).all(|agent| c.active(agent) == nodes))
}
