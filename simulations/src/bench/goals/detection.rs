//! Detection of crashes, and false alarms.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hobnob_membership::Time;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::cluster::{Belief, Cluster};
use super::{SectionReport, Setting, quantile};

/// The resolution of times for the whole cluster. Times of single agents are exact.
const STEP: Duration = Duration::from_millis(10);
/// The longest time that is waited for all to know.
const LIMIT: Duration = Duration::from_secs(120);
const MINUTE: Duration = Duration::from_secs(60);
/// Verdicts on one agent within this time count as one incident.
const INCIDENT: Duration = Duration::from_secs(10);

/// The longest time for which the kernel of a killed process goes on accepting connections.
const MAX_DYING: Duration = Duration::from_millis(15);

/// Agents in random order, without the seeds.
fn shuffled(cluster: &mut Cluster) -> Vec<usize> {
    let mut agents: Vec<usize> = (2..cluster.len()).collect();
    agents.shuffle(&mut cluster.rng);
    agents
}

pub(super) fn crash(setting: &Setting, report: &mut SectionReport<'_>) {
    report.progress("settling");
    let mut cluster = Cluster::settled(setting.nodes, 1, 0.0, setting);
    let (mut first, mut half, mut all) = (Vec::new(), Vec::new(), Vec::new());
    let victims = shuffled(&mut cluster);
    for victim in victims.into_iter().take(setting.crashes) {
        let wait = cluster.rng.random_range(5_000..7_000);
        cluster.run_for(Duration::from_millis(wait));
        cluster.take_beliefs();
        let start = cluster.now();
        cluster.crash(victim);
        let known = cluster.run_until(STEP, LIMIT, |c| !c.believed_alive(&[victim]));
        let mut times: Vec<f64> = cluster
            .take_beliefs()
            .iter()
            .filter(|belief| belief.about == victim && !belief.alive)
            .map(|belief| (belief.at - start).as_secs_f64())
            .collect();
        times.sort_unstable_by(f64::total_cmp);
        first.extend(times.first());
        half.extend(quantile(&times, 0.5));
        all.push(times.last().copied().filter(|_| known.is_some()).unwrap_or(f64::INFINITY));
        report.progress(&format!("crash {} of {}", all.len(), setting.crashes));
        cluster.start(victim);
    }
    let at = |share: f64| quantile(&all, share).filter(|seconds| seconds.is_finite());
    let note = format!("{} crashes", all.len());
    report.add("crash known to the first, p50", quantile(&first, 0.5), "s");
    report.add("crash known to half, p50", quantile(&half, 0.5), "s");
    report.add("crash known to all, p50", at(0.5), "s").goal(1.9).note(note.clone());
    report.add("crash known to all, p99", at(0.99), "s").goal(2.5).note(note);
}

pub(super) fn kill(setting: &Setting, report: &mut SectionReport<'_>) {
    for (loss, worst) in [(0.0, 120.0), (0.05, 400.0)] {
        report.progress("settling");
        let mut cluster = Cluster::settled(setting.nodes, 1, loss, setting);
        let mut all = Vec::new();
        let victims = shuffled(&mut cluster);
        for victim in victims.into_iter().take(setting.crashes) {
            let wait = cluster.rng.random_range(5_000..7_000);
            cluster.run_for(Duration::from_millis(wait));
            let dying = MAX_DYING.mul_f64(cluster.rng.random());
            cluster.kill(victim, dying);
            let fine = Duration::from_millis(1);
            let known = cluster.run_until(fine, LIMIT, |c| !c.believed_alive(&[victim]));
            all.push(known.map_or(f64::INFINITY, |time| time.as_secs_f64() * 1e3));
            report.progress(&format!("kill {} of {}", all.len(), setting.crashes));
            cluster.run_for(Duration::from_secs(1));
            cluster.take_beliefs();
            cluster.start(victim);
        }
        let at = |share: f64| quantile(&all, share).filter(|millis| millis.is_finite());
        let note = format!("{} kills", all.len());
        let what = |share| format!("process killed: known to all, {share}");
        report.add(what("p50"), at(0.5), "ms").at_loss(loss).goal(80.0).note(note.clone());
        report.add(what("p99"), at(0.99), "ms").at_loss(loss).goal(worst).note(note);
    }
}

pub(super) fn exits(setting: &Setting, report: &mut SectionReport<'_>) {
    let loss = 0.25;
    report.progress("settling");
    let mut cluster = Cluster::settled(setting.nodes, 1, loss, setting);
    cluster.slow_some();
    cluster.run_for(MINUTE);
    cluster.take_beliefs();
    let (mut resets, mut believed, mut downs, mut incidents) = (0, 0, 0, 0);
    for minute in 0..setting.minutes {
        for _ in 0..60 {
            let agent = cluster.rng.random_range(0..cluster.len());
            cluster.reset_connections(agent);
            resets += 1;
            cluster.run_for(Duration::from_secs(1));
        }
        let beliefs = cluster.take_beliefs();
        believed += beliefs.iter().filter(|one| one.exited && one.was_running).count();
        let (more, new) = false_downs_among(&beliefs);
        (downs, incidents) = (downs + more, incidents + new);
        report.progress(&format!("minute {minute}: {believed} of {incidents} false downs"));
    }
    let what = format!("living processes taken to have exited in {} min", setting.minutes);
    let note = format!("5 % slow agents, the connections of {resets} agents reset");
    report.add(what, Some(believed as f64), "").at_loss(loss).goal(0.0).note(note);
    let what = "the same: false downs for any reason";
    let note = format!("{downs} beliefs");
    report.add(what, Some(incidents as f64), "").at_loss(loss).goal(0.0).note(note);
}

pub(super) fn mass_crash(setting: &Setting, report: &mut SectionReport<'_>) {
    report.progress("settling");
    let mut cluster = Cluster::settled(setting.nodes, 1, 0.0, setting);
    let mut victims = shuffled(&mut cluster);
    victims.truncate(setting.nodes * 3 / 10);
    cluster.take_beliefs();
    let start = cluster.now();
    for victim in &victims {
        cluster.crash(*victim);
    }
    report.progress("crashed");
    let known = cluster.run_until(STEP, LIMIT, |c| !c.believed_alive(&victims));
    let beliefs = cluster.take_beliefs();
    let times = beliefs.iter().filter(|belief| !belief.was_running && !belief.alive);
    let times: Vec<f64> = times.map(|belief| (belief.at - start).as_secs_f64()).collect();
    let note = format!(
        "{:.2} s at the median of observers and victims",
        quantile(&times, 0.5).unwrap_or(f64::NAN)
    );
    let what = "30 % crash at once: known to all";
    report.add(what, known.map(|time| time.as_secs_f64()), "s").goal(5.0).note(note);
    cluster.run_for(MINUTE);
    let wrong = cluster.wrong_beliefs() as f64;
    report.add("the same: wrong beliefs a minute later", Some(wrong), "").goal(0.0);
    let falsely = false_downs_among(&beliefs).0 + false_downs_among(&cluster.take_beliefs()).0;
    report.add("the same: survivors declared down", Some(falsely as f64), "").goal(0.0);
}

/// The number of false verdicts, and of incidents: verdicts on one agent that are more than [`INCIDENT`] apart.
fn false_downs_among(beliefs: &[Belief]) -> (usize, usize) {
    let mut last = BTreeMap::<usize, Time>::new();
    let (mut downs, mut incidents) = (0, 0);
    for belief in beliefs.iter().filter(|belief| belief.was_running && !belief.alive) {
        downs += 1;
        let before = last.insert(belief.about, belief.at);
        if before.is_none_or(|before| belief.at - before > INCIDENT) {
            incidents += 1;
        }
    }
    (downs, incidents)
}

pub(super) fn false_downs(setting: &Setting, report: &mut SectionReport<'_>) {
    for (slow, loss, goal) in [(true, 0.0, 0.0), (false, 0.25, 0.0), (true, 0.25, 1.0)] {
        report.progress("settling");
        let mut cluster = Cluster::settled(setting.nodes, 1, loss, setting);
        if slow {
            cluster.slow_some();
        }
        cluster.run_for(MINUTE);
        cluster.take_beliefs();
        let before = cluster.sent();
        let (mut downs, mut incidents) = (0, 0);
        for minute in 0..setting.minutes {
            cluster.run_for(MINUTE);
            let (more, new) = false_downs_among(&cluster.take_beliefs());
            (downs, incidents) = (downs + more, incidents + new);
            report.progress(&format!("minute {minute}: {incidents} false downs"));
        }
        let seconds = (setting.minutes * 60) as f64;
        let sent = cluster.sent().since(&before).datagrams() / seconds;
        let note = format!("{downs} beliefs; {sent:.0} B/s in datagrams by an agent");
        let with = if slow { "5 % slow agents" } else { "no slow agents" };
        let what = format!("false downs in {} min, {with}", setting.minutes);
        report.add(what, Some(incidents as f64), "").at_loss(loss).goal(goal).note(note);
    }
}

pub(super) fn onsets(setting: &Setting, report: &mut SectionReport<'_>) {
    report.progress("settling");
    let mut cluster = Cluster::settled(setting.nodes, 1, 0.0, setting);
    let agents = shuffled(&mut cluster);
    let mut declared_down = BTreeSet::new();
    let mut pauses = 0;
    for (number, agent) in agents.into_iter().take(setting.onsets).enumerate() {
        cluster.run_for(Duration::from_secs(5));
        cluster.take_beliefs();
        for _ in 0..5 {
            let pause = Duration::from_millis(cluster.rng.random_range(1_700..2_000));
            cluster.pause(agent, pause);
            pauses += 1;
            let until = cluster.rng.random_range(2_500..4_500);
            cluster.run_for(Duration::from_millis(until));
        }
        cluster.run_for(Duration::from_secs(5));
        let beliefs = cluster.take_beliefs();
        let falsely = beliefs.iter().filter(|belief| !belief.alive && belief.was_running);
        declared_down.extend(falsely.map(|belief| (number, belief.about)));
        report.progress(&format!("onset {number}: {} declared down", declared_down.len()));
    }
    let note = format!("{} onsets of five pauses each, {pauses} pauses", setting.onsets);
    let what = "agents that pause for the first time, for 1.7 to 2 s: declared down";
    report.add(what, Some(declared_down.len() as f64), "").goal(0.0).note(note);
}
