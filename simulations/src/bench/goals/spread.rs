//! The time until a change reaches all agents, and that it does.

use std::time::Duration;

use rand::RngExt;

use super::cluster::Cluster;
use super::{SectionReport, Setting, quantile};

/// The mean time between two followed changes: the next one finds the network idle.
const GAP: Duration = Duration::from_millis(500);
/// A change that is not known to all by then is lost.
const LOST_AFTER: Duration = Duration::from_secs(60);
/// Changes a second in the whole cluster, for very many of them.
const RATE: u64 = 1_000;

pub(super) fn changes(setting: &Setting, report: &mut SectionReport<'_>) {
    for loss in &setting.losses {
        let (nodes, loss) = (setting.nodes, *loss);
        report.progress(&format!("{:.0} % loss: settling", loss * 100.0));
        let mut cluster = Cluster::settled(nodes, 1, loss, setting);
        let copies = cluster.copies();
        for number in 0..setting.changes {
            let agent = cluster.rng.random_range(0..nodes);
            cluster.change(agent, 0);
            let wait = GAP.mul_f64(0.5 + cluster.rng.random::<f64>());
            cluster.run_for(wait);
            report.progress(&format!("{:.0} % loss: change {number}", loss * 100.0));
        }
        cluster.run_until(GAP, LOST_AFTER, |cluster| cluster.seen.followed.missing() == 0);
        let copies = (cluster.copies() - copies) as f64 / setting.changes as f64 / nodes as f64;
        let changes = cluster.seen.followed.changes();
        let millis = |took: Option<Duration>| took.map(|took| took.as_secs_f64() * 1e3);
        let half: Vec<f64> = changes.iter().filter_map(|change| millis(change.half)).collect();
        // A lost change counts as the slowest.
        let all: Vec<f64> =
            changes.iter().map(|change| millis(change.all).unwrap_or(f64::INFINITY)).collect();
        let at = |share: f64| quantile(&all, share).filter(|millis| millis.is_finite());
        let goal = match loss {
            loss if loss <= 0.0 => 10.0,
            loss if loss <= 0.05 => 50.0,
            _ => 200.0,
        };
        let lost = cluster.seen.followed.missing();
        let note = format!("{} changes, {lost} lost", setting.changes);
        report.add("change known to half, p50", quantile(&half, 0.5), "ms").at_loss(loss);
        report.add("change known to all, p50", at(0.5), "ms").at_loss(loss);
        report.add("change known to all, p99", at(0.99), "ms").at_loss(loss).goal(goal).note(note);
        report.add("change known to all, worst", at(1.0), "ms").at_loss(loss);
        report.add("copies of a change per agent", Some(copies), "").at_loss(loss).goal(4.5);
    }
}

pub(super) fn delivery(setting: &Setting, report: &mut SectionReport<'_>) {
    let (nodes, loss) = (setting.nodes, 0.25);
    report.progress("settling");
    let mut cluster = Cluster::settled(nodes, 1, loss, setting);
    let gap = Duration::from_secs(1) / RATE as u32;
    for number in 0..setting.deliveries {
        let agent = cluster.rng.random_range(0..nodes);
        cluster.change(agent, 0);
        cluster.run_for(gap);
        if number.is_multiple_of(100) {
            let missing = cluster.seen.followed.missing();
            report.progress(&format!("change {number}, {missing} not yet known to all"));
        }
    }
    cluster.run_until(GAP, LOST_AFTER, |cluster| cluster.seen.followed.missing() == 0);
    let changes = cluster.seen.followed.changes();
    let all: Vec<f64> =
        changes.iter().filter_map(|change| Some(change.all?.as_secs_f64() * 1e3)).collect();
    let at = |share: f64| quantile(&all, share).unwrap_or_default();
    let note = format!(
        "of {} at {RATE}/s; known to all after {:.0} / {:.0} / {:.0} ms (p50 / p99 / worst)",
        setting.deliveries,
        at(0.5),
        at(0.99),
        at(1.0)
    );
    let lost = cluster.seen.followed.missing() as f64;
    report.add("changes lost", Some(lost), "").at_loss(loss).goal(0.0).note(note);
}
