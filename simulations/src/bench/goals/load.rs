//! Measurements under load and at rest.

use std::collections::VecDeque;
use std::time::Duration;

use hobnob_membership::Time;
use rand::seq::SliceRandom;

use super::cluster::{Cluster, Sent};
use super::{SectionReport, Setting};
use crate::network::Partition;

/// The number of changes in a storm.
const STORM: usize = 10_000;
/// Copies of instances over all agents: bounds the memory of a run.
const COPIES: usize = 4_000_000;
/// Bytes that an agent may send in a second.
const BUDGET: f64 = 1_250_000.0;
/// The resolution of times.
const STEP: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_secs(900);
/// Rest is measured for this long, and an agent is absent for as long.
const MINUTE: Duration = Duration::from_secs(60);

fn seconds(time: Option<Duration>) -> Option<f64> {
    time.map(|time| time.as_secs_f64())
}

/// The number of instances per agent that fits [`COPIES`].
fn many(nodes: usize) -> usize {
    (COPIES / nodes / nodes).clamp(1, 100)
}

/// A storm: [`STORM`] changes at even intervals, over every instance of every agent in turn.
struct Storm {
    order: Vec<(usize, usize)>,
}

impl Storm {
    fn new(cluster: &mut Cluster, instances: usize) -> Self {
        let nodes = cluster.len();
        let mut order: Vec<(usize, usize)> =
            (0..STORM).map(|number| (number % nodes, number / nodes % instances)).collect();
        order.shuffle(&mut cluster.rng);
        Self { order }
    }

    /// Runs the storm. `look` is called after each hundred changes.
    fn rage(self, cluster: &mut Cluster, within: Duration, mut look: impl FnMut(&mut Cluster)) {
        let gap = within / STORM as u32;
        for (number, (agent, instance)) in self.order.into_iter().enumerate() {
            cluster.rewrite(agent, instance);
            cluster.run_for(gap);
            if number % 100 == 99 {
                look(cluster);
            }
        }
    }
}

/// The most bytes that any agent sent in one second, sampled ten times a second.
#[derive(Default)]
struct Peak {
    history: VecDeque<Sent>,
    datagrams: u64,
    total: u64,
}

impl Peak {
    fn look(&mut self, cluster: &Cluster) {
        let now = cluster.sent();
        if self.history.len() >= 10
            && let Some(before) = self.history.pop_front()
        {
            for (datagrams, streams) in now.since(&before).0 {
                self.datagrams = self.datagrams.max(datagrams);
                self.total = self.total.max(datagrams + streams);
            }
        }
        self.history.push_back(now);
    }
}

pub(super) fn storm(setting: &Setting, report: &mut SectionReport<'_>) {
    for loss in &setting.losses {
        let instances = many(setting.nodes).min(STORM / setting.nodes.min(STORM));
        report.progress(&format!("{:.0} % loss: settling", loss * 100.0));
        let mut cluster = Cluster::settled(setting.nodes, instances, *loss, setting);
        let start = cluster.now();
        let before = cluster.sent();
        let mut peak = Peak::default();
        peak.look(&cluster);
        let mut looks = 0;
        Storm::new(&mut cluster, instances).rage(&mut cluster, Duration::from_secs(1), |cluster| {
            looks += 1;
            if looks % 10 == 0 {
                peak.look(cluster);
                report.progress(&format!("{:.0} % loss: raging", loss * 100.0));
            }
        });
        let mut converged = None;
        while cluster.now() - start < LIMIT {
            for _ in 0..10 {
                if converged.is_none() && cluster.is_converged() {
                    converged = Some(cluster.now() - start);
                }
                cluster.run_for(STEP);
            }
            peak.look(&cluster);
            let since = cluster.now() - start;
            report.progress(&format!("{:.0} % loss: {since:.0?} since it began", loss * 100.0));
            if converged.is_some_and(|at| since > at + Duration::from_secs(1)) {
                break;
            }
        }
        let note = format!("from the first change on; {instances} instances each, by turns");
        let row = report.add("10,000 changes in 1 s: all converged", seconds(converged), "s");
        row.at_loss(*loss).goal(3.0).note(note);
        let note = format!(
            "{} B of them in datagrams; {:.0} B by an agent on streams in all, on average",
            peak.datagrams,
            cluster.sent().since(&before).streams()
        );
        report
            .add("the same: most bytes sent by one agent in 1 s", Some(peak.total as f64), "B/s")
            .at_loss(*loss)
            .goal(BUDGET)
            .note(note);
    }
}

pub(super) fn absence(setting: &Setting, report: &mut SectionReport<'_>) {
    let instances = many(setting.nodes).min(10);
    report.progress("settling");
    let mut cluster = Cluster::settled(setting.nodes, instances, 0.0, setting);
    let absent = setting.nodes - 1;
    let all: Vec<usize> = (0..setting.nodes).collect();
    let mut alone = Partition::isolate(&[absent], &all);
    cluster.cut(&mut alone);
    Storm::new(&mut cluster, instances).rage(&mut cluster, MINUTE, |cluster| {
        report.progress(&format!("away, at {}", cluster.now()));
    });
    cluster.run_for(Duration::from_secs(5));
    cluster.mend(&mut alone);
    report.progress("back");
    let caught_up = cluster.run_until(STEP, LIMIT, Cluster::is_converged);
    let note = format!("{instances} instances each; cut off for 65 s in all");
    let what = "cut off for 60 s during 10,000 changes: caught up";
    report.add(what, seconds(caught_up), "s").note(note);
    let whole = cluster.run_until(STEP, LIMIT, Cluster::is_whole);
    let whole = caught_up.zip(whole).map(|(before, after)| before + after);
    report.add("the same: all believe all alive", seconds(whole), "s");
}

pub(super) fn join(setting: &Setting, report: &mut SectionReport<'_>) {
    for loss in &setting.losses {
        report.progress(&format!("{:.0} % loss", loss * 100.0));
        let mut cluster = Cluster::new(setting.nodes, 1, setting);
        cluster.set_loss(*loss);
        let mut whole = None;
        while whole.is_none() && cluster.now().since(Time::ZERO) < LIMIT {
            whole = cluster.run_until(STEP, STEP * 10, Cluster::is_whole).map(|_| cluster.now());
            report.progress(&format!("{:.0} % loss, at {}", loss * 100.0, cluster.now()));
        }
        let whole = whole.map(|at| at - Time::ZERO);
        let sent = cluster.sent();
        let kilobytes = (sent.datagrams() + sent.streams()) / 1e3;
        let note = format!("{kilobytes:.0} kB sent by an agent, on average");
        let goal = if setting.nodes <= 100 { 2.0 } else { 5.0 };
        let what = "all join at once: full views";
        report.add(what, seconds(whole), "s").at_loss(*loss).goal(goal).note(note);
        let converged = cluster.run_until(STEP, LIMIT, Cluster::is_converged);
        let converged = whole.zip(converged).map(|(whole, after)| whole + after);
        let what = "the same: also all records";
        report.add(what, seconds(converged), "s").at_loss(*loss);
    }
}

pub(super) fn rest(setting: &Setting, report: &mut SectionReport<'_>) {
    let mut counts = vec![0, many(setting.nodes)];
    counts.dedup();
    for instances in counts {
        for loss in &setting.losses {
            report.progress(&format!("{instances} instances each: settling"));
            let mut cluster = Cluster::settled(setting.nodes, instances, *loss, setting);
            // Loss begins in a settled cluster; its first effects do not count as rest.
            cluster.run_for(MINUTE);
            let before = cluster.sent();
            report.progress(&format!("{instances} instances each, {:.0} % loss", loss * 100.0));
            cluster.run_for(MINUTE);
            let (sent, seconds) = (cluster.sent().since(&before), MINUTE.as_secs_f64());
            let most = sent.0.iter().map(|sent| sent.0).max().unwrap_or_default() as f64 / seconds;
            let note = format!(
                "{most:.0} B/s by the busiest; {:.1} B/s on streams beside",
                sent.streams() / seconds
            );
            let mean = sent.datagrams() / seconds;
            let what = format!("at rest, {instances} instances each: datagram bytes of an agent");
            let row = report.add(what, Some(mean), "B/s").at_loss(*loss).note(note);
            if *loss <= 0.0 {
                row.goal(300.0);
            }
        }
    }
}
