//! Rounds at one rate, of each proxy and of none in turn.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, SystemTime};

use super::ProxyBenchError;
use super::h2load::{Asked, Load};
use super::kind::ProxyKind;
use super::machine::processor_time;
use super::stage::{Proxy, Stage, Upstreams};
use crate::bench::goals::quantile;
use crate::processes::Fleet;

/// One round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// Processor time of the proxy for each call, in microseconds.
    pub(super) cpu_us: f64,
    /// Latencies in microseconds.
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// Calls that were answered in a second.
    rate: f64,
    /// Calls that were not answered well.
    failed: usize,
    /// Answers that were late for the next call of their connection.
    late: usize,
    /// The share of a processor that the generator and the servers took.
    pub(super) others: f64,
}

/// All rounds of a proxy, or of no proxy.
pub(super) struct Subject {
    pub(super) kind: Option<ProxyKind>,
    address: SocketAddr,
    pid: Option<u32>,
    pub(super) rounds: Vec<Round>,
}

impl Subject {
    fn new(kind: Option<ProxyKind>, address: SocketAddr, pid: Option<u32>) -> Self {
        Self { kind, address, pid, rounds: Vec::new() }
    }

    pub(super) fn name(&self) -> &'static str {
        self.kind.map_or("no proxy", ProxyKind::name)
    }

    pub(super) fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of))
    }

    /// How far the rounds are what was asked for.
    pub(super) fn told(&self, asked: u32) -> String {
        format!(
            "{:.0} of {asked} calls a second, {} failed, {} late",
            self.median(|round| round.rate),
            self.rounds.iter().map(|round| round.failed).sum::<usize>(),
            self.rounds.iter().map(|round| round.late).sum::<usize>(),
        )
    }
}

/// Takes rounds of no proxy, which is the first of the result, and of each of the proxies.
pub(super) fn rounds<'a>(
    stage: &Stage,
    fleet: &Fleet,
    servers: &Upstreams,
    proxies: impl Iterator<Item = &'a Proxy>,
    (rounds, rate, lasts): (usize, u32, Duration),
    told: &mut impl FnMut(&str),
) -> Result<Vec<Subject>, ProxyBenchError> {
    let mut subjects = vec![Subject::new(None, servers.addresses[0], None)];
    subjects.extend(
        proxies
            .map(|proxy| Subject::new(Some(proxy.kind), proxy.address, Some(proxy.process.pid()))),
    );
    // The first round warms up.
    for number in 0..=rounds {
        for subject in &mut subjects {
            told(&format!("{rate} calls a second, round {number} of {rounds}: {}", subject.name()));
            let asked = Asked { rate, lasts, is_post: false };
            let round = round(stage, fleet, subject, asked, servers.process.pid())?;
            if number > 0 {
                subject.rounds.push(round);
            }
        }
    }
    Ok(subjects)
}

fn round(
    stage: &Stage,
    fleet: &Fleet,
    subject: &Subject,
    asked: Asked,
    servers: u32,
) -> Result<Round, ProxyBenchError> {
    let load = Load::start(stage, fleet, subject.address, asked)?;
    let interval = load.interval;
    let times = || {
        let others = processor_time(load.process.pid())? + processor_time(servers)?;
        let own = subject.pid.map_or(Ok(Duration::ZERO), processor_time)?;
        Ok::<_, ProxyBenchError>((SystemTime::now(), own, others))
    };
    let (from, own_before, others_before) = times()?;
    thread::sleep(asked.lasts);
    let (to, own_after, others_after) = times()?;
    let mut calls = load.end()?;
    calls.retain(|call| (from..to).contains(&call.ended()));
    let took: Vec<f64> = calls.iter().map(|call| call.took.as_secs_f64() * 1e6).collect();
    let lasted = to.duration_since(from).unwrap_or_default().as_secs_f64();
    Ok(Round {
        cpu_us: own_after.saturating_sub(own_before).as_secs_f64() * 1e6 / calls.len() as f64,
        p50_us: quantile(&took, 0.5).unwrap_or(f64::NAN),
        p99_us: quantile(&took, 0.99).unwrap_or(f64::NAN),
        rate: calls.len() as f64 / lasted,
        failed: calls.iter().filter(|call| !call.is_success()).count(),
        late: calls.iter().filter(|call| call.took > interval).count(),
        others: others_after.saturating_sub(others_before).as_secs_f64() / lasted,
    })
}

/// The median; not a number without values.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.into_iter().collect();
    quantile(&values, 0.5).unwrap_or(f64::NAN)
}
