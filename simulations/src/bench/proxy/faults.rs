//! Servers that are slow, fail and die behind `hobnob proxy`.

use std::thread;
use std::time::{Duration, SystemTime};

use hyper::StatusCode;

use super::h2load::{Asked, Load};
use super::kind::ProxyKind;
use super::rounds::median;
use super::stage::Stage;
use super::upstream::UpstreamSetting;
use super::{ProxyBenchError, ProxyEffort, UPSTREAMS};
use crate::bench::goals::quantile;
use crate::bench::row::{Goal, Row};
use crate::processes::Fleet;

/// The rate of all calls here.
const RATE: u32 = 1_000;
/// The time that a server takes, and the slow one.
const DELAY: Duration = Duration::from_millis(2);
const SLOW_DELAY: Duration = Duration::from_millis(20);
/// Rounds of each strategy.
const SLOW_ROUNDS: usize = 3;
/// The time for which calls meet a server that fails.
const FAILING: Duration = Duration::from_secs(10);
/// The times from the first call to the death of a server, and from there to the last call.
const BEFORE_KILL: Duration = Duration::from_secs(2);
const AFTER_KILL: Duration = Duration::from_secs(4);

fn servers(count: usize, delay: Duration, status: StatusCode) -> UpstreamSetting {
    UpstreamSetting { count, delay, status }
}

/// One of ten servers takes ten times as long.
pub(super) fn slow(
    stage: &Stage,
    fleet: &Fleet,
    effort: &ProxyEffort,
    rows: &mut Vec<Row>,
    told: &mut impl FnMut(&str),
) -> Result<(), ProxyBenchError> {
    let quick = stage.upstreams(fleet, servers(UPSTREAMS - 1, DELAY, StatusCode::OK))?;
    let slow = stage.upstreams(fleet, servers(1, SLOW_DELAY, StatusCode::OK))?;
    let addresses = [&quick.addresses[..], &slow.addresses].concat();
    stage.register(fleet, "slow", &addresses)?;
    let strategies = [("by default", &[][..]), ("round robin", &["--strategy", "round-robin"])];
    let mut proxies = Vec::new();
    for (name, options) in strategies {
        let proxy = stage.proxy(fleet, ProxyKind::Hobnob, "slow", &addresses, options)?;
        proxies.push((name, proxy, Vec::new()));
    }
    for number in 1..=SLOW_ROUNDS {
        for (name, proxy, rounds) in &mut proxies {
            told(&format!("a slow server, {name}, round {number} of {SLOW_ROUNDS}"));
            let asked = Asked { rate: RATE, lasts: effort.lasts, is_post: false };
            let load = Load::start(stage, fleet, proxy.address, asked)?;
            let from = SystemTime::now();
            let calls = load.end()?;
            let counted = calls.iter().filter(|call| call.began >= from);
            let took: Vec<f64> = counted.map(|call| call.took.as_secs_f64() * 1e3).collect();
            rounds.push(quantile(&took, 0.99).unwrap_or(f64::NAN));
        }
    }
    for (name, _, rounds) in &proxies {
        let what = format!("one of {UPSTREAMS} servers 10x slow, p99, {name}");
        let note = format!("{SLOW_ROUNDS} rounds at {RATE} calls a second");
        rows.push(Row::new(what, median(rounds.iter().copied()), "ms").note(&note));
    }
    let [(_, _, own), (_, _, even)] = &proxies[..] else { return Ok(()) };
    let ratio = median(own.iter().zip(even).map(|(own, even)| own / even));
    let row = Row::new("the same, p99 by default over round robin", ratio, "x");
    rows.push(row.goal(Goal::AtMost(0.5)));
    Ok(())
}

/// One of ten servers answers each call by an error, at once.
pub(super) fn failing(
    stage: &Stage,
    fleet: &Fleet,
    rows: &mut Vec<Row>,
    told: &mut impl FnMut(&str),
) -> Result<(), ProxyBenchError> {
    let good = stage.upstreams(fleet, servers(UPSTREAMS - 1, DELAY, StatusCode::OK))?;
    let error = StatusCode::INTERNAL_SERVER_ERROR;
    let bad = stage.upstreams(fleet, servers(1, Duration::ZERO, error))?;
    let addresses = [&good.addresses[..], &bad.addresses].concat();
    stage.register(fleet, "failing", &addresses)?;
    let proxy = stage.proxy(fleet, ProxyKind::Hobnob, "failing", &addresses, &[])?;
    told("a server that fails");
    let asked = Asked { rate: RATE, lasts: FAILING, is_post: false };
    let load = Load::start(stage, fleet, proxy.address, asked)?;
    let asked = load.asked;
    let succeeded = load.end()?.iter().filter(|call| call.is_success()).count() as u64;
    let failed = asked.saturating_sub(succeeded);
    let what = format!("one of {UPSTREAMS} servers answers 500, idempotent: calls seen to fail");
    let row = Row::new(what, 100.0 * failed as f64 / asked as f64, "%");
    rows.push(row.goal(Goal::AtMost(0.01)).note(&format!("{failed} of {asked}")));
    Ok(())
}

/// One of three servers is killed, without a check that tells the agent.
pub(super) fn killed(
    stage: &Stage,
    fleet: &Fleet,
    rows: &mut Vec<Row>,
    told: &mut impl FnMut(&str),
) -> Result<(), ProxyBenchError> {
    for is_post in [false, true] {
        let (service, name) =
            if is_post { ("killed-post", "not idempotent") } else { ("killed-get", "idempotent") };
        told(&format!("a server is killed, {name}"));
        let mut alive = Vec::new();
        for _ in 0..3 {
            alive.push(stage.upstreams(fleet, servers(1, DELAY, StatusCode::OK))?);
        }
        let addresses: Vec<_> = alive.iter().flat_map(|one| one.addresses.clone()).collect();
        stage.register(fleet, service, &addresses)?;
        let proxy = stage.proxy(fleet, ProxyKind::Hobnob, service, &addresses, &[])?;
        let lasts = BEFORE_KILL + AFTER_KILL;
        let load = Load::start(stage, fleet, proxy.address, Asked { rate: RATE, lasts, is_post })?;
        thread::sleep(BEFORE_KILL);
        let killing = SystemTime::now();
        drop(alive.pop());
        let killed = SystemTime::now();
        let asked = load.asked;
        let calls = load.end()?;
        let under_way =
            calls.iter().filter(|call| call.began <= killed && call.ended() >= killing).count();
        let failures: Vec<_> = calls.iter().filter(|call| !call.is_success()).collect();
        // A call without an answer had a connection that broke.
        let unanswered = asked.saturating_sub(calls.len() as u64);
        let failed = failures.len() as u64 + unanswered;
        let later = failures.iter().filter(|call| call.began > killed).count() as u64 + unanswered;
        let earlier = failures.iter().filter(|call| call.ended() < killing).count() as u64;
        let note = format!("{failed} of {asked} failed; {under_way} were under way at the kill");
        let what = format!("one of 3 servers killed at {RATE} calls a second, {name}: failed");
        let (what, counted) = match is_post {
            false => (what, failed),
            true => (format!("{what}, of those not under way"), later + earlier),
        };
        rows.push(Row::new(what, counted as f64, "").goal(Goal::AtMost(0.0)).note(&note));
    }
    Ok(())
}
