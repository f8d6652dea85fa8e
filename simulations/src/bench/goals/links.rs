//! Measurements with broken links.

use std::time::Duration;

use super::cluster::{Belief, Cluster};
use super::{SectionReport, Setting};
use crate::network::{Channel, Partition};

const STEP: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(900);
/// One agent is cut off for this long.
const CUT: Duration = Duration::from_secs(120);
const MINUTE: Duration = Duration::from_secs(60);

/// The effect of a cut of one agent on beliefs.
struct Suffering {
    downs: usize,
    ups: usize,
    most_downs: usize,
    /// The number of times that another agent declared a third one down.
    harm: usize,
    /// The number of times that the agent itself declared another one down.
    own: usize,
}

impl Suffering {
    fn of(agent: usize, nodes: usize, beliefs: &[Belief]) -> Self {
        let mut downs = vec![0; nodes];
        let mut this = Self { downs: 0, ups: 0, most_downs: 0, harm: 0, own: 0 };
        for belief in beliefs {
            match (belief.observer == agent, belief.about == agent, belief.alive) {
                (false, true, false) => {
                    this.downs += 1;
                    downs[belief.observer] += 1;
                }
                (false, true, true) => this.ups += 1,
                (false, false, false) => this.harm += 1,
                (true, _, false) => this.own += 1,
                _ => {}
            }
        }
        this.most_downs = downs.into_iter().max().unwrap_or_default();
        this
    }

    fn note(&self, nodes: usize) -> String {
        let observers = (nodes - 1) as f64;
        format!(
            "{:.2} downs and {:.2} ups per observer; it declared others down {} times",
            self.downs as f64 / observers,
            self.ups as f64 / observers,
            self.own
        )
    }
}

/// Applies a partition for [`CUT`], mends it, and returns what it did and how long all took to recover.
fn suffer(
    cluster: &mut Cluster,
    agent: usize,
    mut partition: Partition,
    report: &mut SectionReport<'_>,
) -> (Suffering, Option<Duration>) {
    cluster.take_beliefs();
    cluster.cut(&mut partition);
    for second in 0..CUT.as_secs() {
        cluster.run_for(Duration::from_secs(1));
        report.progress(&format!("cut for {second} s"));
    }
    cluster.mend(&mut partition);
    let well = cluster.run_until(STEP, LIMIT, |c| c.is_whole() && c.is_converged());
    cluster.run_for(MINUTE);
    let beliefs = cluster.take_beliefs();
    (Suffering::of(agent, cluster.len(), &beliefs), well)
}

pub(super) fn one_way(setting: &Setting, report: &mut SectionReport<'_>) {
    let nodes = setting.nodes;
    report.progress("settling");
    let mut cluster = Cluster::settled(nodes, 1, 0.0, setting);
    for (agent, how) in [(nodes / 2, "is not heard"), (nodes - 1, "hears no other")] {
        let others: Vec<usize> = (0..nodes).filter(|other| *other != agent).collect();
        let partition = if agent == nodes / 2 {
            Partition::one_way(&[agent], &others)
        } else {
            Partition::one_way(&others, &[agent])
        };
        let (suffering, well) = suffer(&mut cluster, agent, partition, report);
        let what = format!("one agent {how} for 120 s: downs of it, by its worst observer");
        let most = Some(suffering.most_downs as f64);
        report.add(what, most, "").goal(1.0).note(suffering.note(nodes));
        let harm = Some(suffering.harm as f64);
        report.add("the same: other agents declared down by others", harm, "").goal(0.0);
        let well = well.map(|time| time.as_secs_f64());
        report.add("the same: recovered after the heal", well, "s");
    }
}

pub(super) fn udp_blocked(setting: &Setting, report: &mut SectionReport<'_>) {
    let nodes = setting.nodes;
    report.progress("settling");
    let mut cluster = Cluster::settled(nodes, 1, 0.0, setting);
    let agent = nodes - 1;
    let others: Vec<usize> = (0..agent).collect();
    let partition = Partition::full(&[agent], &others).only(Channel::Datagrams);
    let mut blocked = partition.clone();
    let (suffering, well) = suffer(&mut cluster, agent, partition, report);
    let most = Some(suffering.most_downs as f64);
    let what = "UDP of one agent blocked for 120 s: downs of it, by its worst observer";
    report.add(what, most, "").goal(1.0).note(suffering.note(nodes));
    let harm = Some(suffering.harm as f64);
    report.add("the same: other agents declared down by others", harm, "").goal(0.0);
    let well = well.map(|time| time.as_secs_f64());
    report.add("the same: recovered after the heal", well, "s");
    cluster.cut(&mut blocked);
    cluster.run_for(MINUTE);
    cluster.change(0, 0);
    cluster.change(agent, 0);
    let start = cluster.now();
    let missing = |c: &Cluster| c.seen.followed.missing() == 0;
    let known = cluster.run_until(STEP, MINUTE * 5, missing).map(|_| cluster.now() - start);
    let known = known.map(|time| time.as_secs_f64());
    report.add("the same: a change from it and one to it known to all", known, "s");
}

pub(super) fn halves(setting: &Setting, report: &mut SectionReport<'_>) {
    let nodes = setting.nodes;
    let all: Vec<usize> = (0..nodes).collect();
    let (left, right) = all.split_at(nodes / 2);
    let mut spans = vec![1, setting.minutes.max(1)];
    spans.dedup();
    for minutes in spans {
        report.progress("settling");
        let mut cluster = Cluster::settled(nodes, 4, 0.0, setting);
        let mut halves = Partition::full(left, right);
        cluster.cut(&mut halves);
        // In each half one agent deletes more than an origin keeps tombstones for; others delete a little.
        let floods = [nodes / 4, nodes - 1];
        for minute in 0..minutes {
            for agent in floods {
                for number in 0..400 / minutes.min(400) as usize {
                    let number = 100 + minute as usize * 400 + number;
                    cluster.register(agent, number, 1);
                    cluster.delete(agent, number);
                }
            }
            let deleting = all.iter().filter(|agent| **agent as u64 % minutes == minute);
            for agent in deleting.filter(|agent| **agent % 10 < 3) {
                cluster.delete(*agent, *agent % 4);
            }
            for agent in all.iter().filter(|agent| *agent % 10 == 7) {
                cluster.rewrite(*agent, 3);
            }
            for _ in 0..6 {
                cluster.run_for(MINUTE / 6);
                report.progress(&format!("cut for minute {minute}"));
            }
        }
        cluster.take_beliefs();
        cluster.mend(&mut halves);
        let start = cluster.now();
        let (mut converged, mut whole) = (None, None);
        while (converged.is_none() || whole.is_none()) && cluster.now() - start < LIMIT {
            cluster.run_for(STEP);
            let since = cluster.now() - start;
            converged = converged.or_else(|| cluster.is_converged().then_some(since));
            whole = whole.or_else(|| cluster.is_whole().then_some(since));
            report.progress(&format!("healed for {since:.0?}"));
        }
        cluster.run_for(MINUTE);
        let returned = cluster.seen.returned + cluster.deleted_in_views();
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        let what = format!("two halves, healed after {minutes} min: records equal");
        report.add(what, seconds(converged), "s").goal(10.0);
        report.add("the same: all believe all alive", seconds(whole), "s").goal(10.0);
        let what = "the same: deleted records that returned";
        report.add(what, Some(returned as f64), "").goal(0.0);
        let still = cluster.is_converged() && cluster.is_whole();
        let still = if still { 0.0 } else { 1.0 };
        report.add("the same: not stable a minute later", Some(still), "").goal(0.0);
    }
}
