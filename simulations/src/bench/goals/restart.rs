//! A rolling restart while clients pick.

use std::time::Duration;

use rand::RngExt;

use super::cluster::Cluster;
use super::{SectionReport, Setting, quantile};

/// The time for which each agent is down.
const DOWN: Duration = Duration::from_millis(300);
/// From one restart to the next.
const GAP: Duration = Duration::from_secs(1);
/// The interval at which clients pick.
const LOOK: Duration = Duration::from_millis(100);
/// Clients that pick each time.
const CLIENTS: usize = 10;

pub(super) fn rolling(setting: &Setting, report: &mut SectionReport<'_>) {
    report.progress("settling");
    let nodes = setting.nodes;
    let mut cluster = Cluster::settled(nodes, 1, 0.0, setting);
    let (mut picks, mut failed, mut missed) = (0_u64, 0_u64, 0_u64);
    let mut whole_after = Vec::new();
    for agent in (0..nodes).rev() {
        cluster.crash(agent);
        cluster.run_for(DOWN);
        cluster.start(agent);
        let started = cluster.now();
        let mut coming = true;
        while cluster.now() - started < GAP - DOWN {
            cluster.run_for(LOOK / 10);
            if coming && cluster.healthy(agent) == nodes {
                whole_after.push((cluster.now() - started).as_secs_f64() * 1e3);
                coming = false;
            }
            let since = cluster.now() - started;
            if !since.as_micros().is_multiple_of(LOOK.as_micros()) {
                continue;
            }
            for _ in 0..CLIENTS {
                let client = cluster.rng.random_range(0..nodes);
                // An agent that has just started answers once it has caught up, which is measured separately.
                if coming && agent == client {
                    continue;
                }
                let offered = cluster.healthy(client);
                picks += 1;
                failed += u64::from(offered == 0);
                missed += u64::from(offered < nodes);
            }
        }
        if coming {
            whole_after.push(f64::INFINITY);
        }
        report.progress(&format!("{} of {nodes} restarted, {missed} missed", nodes - agent));
    }
    let note = format!("{picks} picks, {failed} of them found none at all");
    let what = "rolling restart: picks that failed or missed an instance";
    report.add(what, Some(missed as f64), "").goal(0.0).note(note);
    let at = |share| quantile(&whole_after, share).filter(|millis| millis.is_finite());
    report.add("the same: a restarted agent offers all, p50", at(0.5), "ms");
    report.add("the same: a restarted agent offers all, p99", at(0.99), "ms");
}
