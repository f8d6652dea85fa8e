//! Processor time of a call and the latency that a proxy adds, of all proxies at equal rates.

use std::time::Duration;

use hyper::StatusCode;

use super::h2load::highest_rate;
use super::kind::ProxyKind;
use super::rounds::{Round, Subject, median, rounds};
use super::stage::{Proxy, Stage};
use super::upstream::UpstreamSetting;
use super::{ProxyBenchError, ProxyEffort, UPSTREAMS};
use crate::bench::row::{Goal, Row};
use crate::processes::Fleet;

const SERVICE: &str = "cost";
const SETTING: UpstreamSetting =
    UpstreamSetting { count: UPSTREAMS, delay: Duration::ZERO, status: StatusCode::OK };
/// The times that the highest rate of each proxy is taken.
const HIGHEST_ROUNDS: usize = 3;
/// Rates are multiples of this.
const RATE_STEP: f64 = 100.0;

pub(super) fn measure(
    stage: &Stage,
    fleet: &Fleet,
    effort: &ProxyEffort,
    rows: &mut Vec<Row>,
    told: &mut impl FnMut(&str),
) -> Result<(), ProxyBenchError> {
    let servers = stage.upstreams(fleet, SETTING)?;
    stage.register(fleet, SERVICE, &servers.addresses)?;
    let proxies = stage.proxies(fleet, &effort.proxies, SERVICE, &servers.addresses, rows)?;
    let highest = highest(stage, fleet, &proxies, rows, told)?;
    let half = |rate: f64| (rate / 2.0 / RATE_STEP).round().max(1.0) as u32 * RATE_STEP as u32;
    let lowest = highest.iter().map(|(_, rate)| *rate).fold(f64::INFINITY, f64::min);
    let haproxy = highest.iter().find(|(kind, _)| *kind == ProxyKind::Haproxy);
    let Some((_, reference)) = haproxy.or(highest.first()) else { return Ok(()) };
    let mut others = 0.0_f64;
    let mut at = |rate, kinds: &dyn Fn(ProxyKind) -> bool| {
        let proxies = proxies.iter().filter(|proxy| kinds(proxy.kind));
        let extent = (effort.rounds, rate, effort.lasts);
        let subjects = rounds(stage, fleet, &servers, proxies, extent, told)?;
        let rounds = subjects.iter().flat_map(|subject| &subject.rounds);
        others = rounds.map(|round| round.others).fold(others, f64::max);
        Ok::<_, ProxyBenchError>(subjects)
    };
    // A rate that all of them bear.
    let rate = effort.rate.unwrap_or(half(lowest));
    processor_time(&at(rate, &|_| true)?, rate, rows);
    // A proxy that cannot bear the rate would only show its queue.
    let rate = half(*reference);
    let bears = |kind| highest.iter().any(|(one, most)| *one == kind && *most > f64::from(rate));
    latency(&at(rate, &bears)?, rate, rows);
    let row = Row::new("generator and servers, busiest round", others * 100.0, "% of a core");
    rows.push(row);
    Ok(())
}

/// The highest rate of each proxy: medians of rounds in turn.
fn highest(
    stage: &Stage,
    fleet: &Fleet,
    proxies: &[Proxy],
    rows: &mut Vec<Row>,
    told: &mut impl FnMut(&str),
) -> Result<Vec<(ProxyKind, f64)>, ProxyBenchError> {
    let mut rates = vec![Vec::new(); proxies.len()];
    for number in 1..=HIGHEST_ROUNDS {
        for (proxy, rates) in proxies.iter().zip(&mut rates) {
            told(&format!("the highest rate of {}, {number} of {HIGHEST_ROUNDS}", proxy.kind));
            rates.push(highest_rate(stage, fleet, proxy.address)?);
        }
    }
    let highest = proxies.iter().zip(rates).map(|(proxy, rates)| (proxy.kind, median(rates)));
    let highest: Vec<_> = highest.collect();
    for (kind, rate) in &highest {
        let note = format!("64 connections, median of {HIGHEST_ROUNDS}");
        rows.push(Row::new(format!("{kind}: highest rate"), *rate, "/s").note(&note));
    }
    Ok(highest)
}

fn processor_time(subjects: &[Subject], rate: u32, rows: &mut Vec<Row>) {
    let what = format!("processor time of a call at {rate}/s");
    for subject in &subjects[1..] {
        let row =
            Row::new(format!("{}: {what}", subject.name()), subject.median(|r| r.cpu_us), "us");
        rows.push(row.note(&subject.told(rate)));
    }
    let goal = |peer| match peer {
        ProxyKind::Haproxy => Some(1.25),
        ProxyKind::Envoy => Some(0.83),
        _ => None,
    };
    compare(subjects, &what, rows, |round, _| round.cpu_us, goal);
}

fn latency(subjects: &[Subject], rate: u32, rows: &mut Vec<Row>) {
    let Some((direct, proxied)) = subjects.split_first() else { return };
    for (name, of) in [("p50", p50 as fn(&Round) -> f64), ("p99", p99)] {
        let what = format!("latency at {rate}/s, {name}");
        let row = Row::new(format!("no proxy: {what}"), direct.median(of), "us");
        rows.push(row.note(&direct.told(rate)));
        for subject in proxied {
            let both = subject.rounds.iter().zip(&direct.rounds);
            let added = median(both.map(|(with, without)| of(with) - of(without)));
            let row = Row::new(format!("{}: added {what}", subject.name()), added, "us");
            rows.push(row.note(&subject.told(rate)));
        }
        let added = |with: &Round, without: &Round| of(with) - of(without);
        compare(subjects, &format!("added {what}"), rows, added, |peer| {
            (peer == ProxyKind::Haproxy).then_some(1.2)
        });
    }
    let what = format!("processor time of a call at {rate}/s");
    compare(subjects, &what, rows, |round, _| round.cpu_us, |_| None);
}

fn p50(round: &Round) -> f64 {
    round.p50_us
}

fn p99(round: &Round) -> f64 {
    round.p99_us
}

/// Adds the ratio of Hobnob to each other proxy: the median of the ratios of the rounds. `of` takes a round of a proxy and
/// the one without a proxy.
fn compare(
    subjects: &[Subject],
    what: &str,
    rows: &mut Vec<Row>,
    of: impl Fn(&Round, &Round) -> f64,
    goal: impl Fn(ProxyKind) -> Option<f64>,
) {
    let find = |kind| subjects.iter().find(|subject| subject.kind == Some(kind));
    let Some(hobnob) = find(ProxyKind::Hobnob) else { return };
    for peer in ProxyKind::ALL.into_iter().skip(1) {
        let Some(subject) = find(peer) else { continue };
        let rounds = hobnob.rounds.iter().zip(&subject.rounds).zip(&subjects[0].rounds);
        let ratios = rounds.map(|((own, theirs), direct)| of(own, direct) / of(theirs, direct));
        let ratios: Vec<f64> = ratios.collect();
        let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let range = format!("{} rounds, {lowest:.2} to {highest:.2}", ratios.len());
        let row = Row::new(format!("{what}, hobnob over {peer}"), median(ratios), "x").note(&range);
        rows.push(match goal(peer) {
            Some(goal) => row.goal(Goal::AtMost(goal)),
            None => row,
        });
    }
}
