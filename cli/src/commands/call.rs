//! `hobnob call`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use bytes::Bytes;
use hobnob_api::calls::http::{Request as HttpRequest, StatusCode};
use hobnob_api::calls::{CallConfig, CallError, CircuitState, Standing};
use hobnob_api::client::Client;
use hobnob_api::discovery::{Discovery, EffectiveSetting, SettingOrigin};
use hobnob_api::{Instance, Instances, Request, Response};
use serde::Serialize;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::catalog::Nothing;
use super::unexpected;
use crate::args::CallArgs;
use crate::exit::Exit;
use crate::output::{self, CalledInstance, Output, endpoint};

/// The longest body that is printed.
const BODY_BYTES_MAX: usize = 64 << 20;
/// The different errors that are told, at most.
const ERRORS_MAX: usize = 10;
/// The agent is told how calls ended within this time, or not at all.
const REPORT_WITHIN: Duration = Duration::from_millis(500);
/// The origin of a setting that nobody gives.
const DEFAULT: &str = "default";

/// Calls a service, and prints the answer, or how the calls went.
pub(super) async fn run(
    socket: PathBuf,
    within: Duration,
    args: &CallArgs,
) -> anyhow::Result<Exit> {
    let query = args.query();
    let mut client = Client::connect(&socket).await?.answer_within(within);
    let found = match client.call(Request::Resolve(query.clone())).await? {
        Response::Instances(found) => found,
        other => return Err(unexpected(&other)),
    };
    output::warn_if_isolated(found.isolated);
    output::warn_if_not_healthy(found.instances.iter().filter(|one| one.offered));
    if found.instances.is_empty() {
        Nothing::of(&mut client, &query).await?.say(&query);
        return Ok(Exit::NothingMatched);
    }
    drop(client);
    let discovery = Discovery::start(args.discovery(socket))?;
    if timeout(within, discovery.ready()).await.is_err() {
        return Err(anyhow!(
            "the agent did not tell the instances of `{}` within {within:?}",
            query.service
        ));
    }
    let discovery = Rc::new(discovery);
    let begun = Instant::now();
    let tally = make(&discovery, args).await;
    let took = begun.elapsed();
    let tally = tally.take();
    if args.count == 1 && !args.json {
        let told = tell_one(tally, &query.service);
        discovery.report(REPORT_WITHIN).await;
        return told;
    }
    let summary = Summary::of(&tally, &discovery, &found, &query.service, took);
    let mut out = Output::new().wide(args.table.wide);
    match args.json {
        true => out.json(&summary)?,
        false => out.line(&summary.text(&out))?,
    }
    discovery.report(REPORT_WITHIN).await;
    Ok(tally.exit())
}

/// Makes all calls, as many at a time as is asked for.
async fn make(discovery: &Rc<Discovery>, args: &CallArgs) -> Rc<RefCell<Tally>> {
    let tally = Rc::new(RefCell::new(Tally { left: args.count, ..Tally::default() }));
    let mut request = HttpRequest::new(args.body());
    *request.method_mut() = args.method();
    *request.uri_mut() = args.path.clone().into();
    for (name, value) in &args.headers {
        request.headers_mut().append(name, value.clone());
    }
    let keeps_body = args.count == 1;
    let callers = LocalSet::new();
    for _ in 0..args.concurrency.min(args.count) {
        let (discovery, tally) = (discovery.clone(), tally.clone());
        let (request, options) = (request.clone(), args.options());
        callers.spawn_local(async move {
            while tally.borrow_mut().take_one() {
                let begun = Instant::now();
                let made = match discovery.call_with(request.clone(), options.clone()).await {
                    Ok(answer) => {
                        let (code, tries) = (answer.status(), answer.tries);
                        let instance = answer.instance.clone();
                        let body = match keeps_body {
                            true => answer.bytes(BODY_BYTES_MAX).await,
                            false => answer.discard().await.map(|_| Bytes::new()),
                        };
                        body.map(|body| Answered { code, instance, tries, body })
                    }
                    Err(error) => Err(error),
                };
                tally.borrow_mut().add(made, begun.elapsed());
            }
        });
    }
    callers.await;
    tally
}

/// The answer of one call.
struct Answered {
    code: StatusCode,
    instance: Arc<Instance>,
    tries: u32,
    body: Bytes,
}

/// How the calls went.
#[derive(Default)]
struct Tally {
    left: u32,
    latencies: Vec<Duration>,
    codes: BTreeMap<u16, u64>,
    answers: BTreeMap<(String, String), u64>,
    errors: BTreeMap<String, u64>,
    /// The calls that ended with further errors.
    other_errors: u64,
    failed: u64,
    last: Option<(Result<Answered, CallError>, Duration)>,
}

impl Tally {
    /// Whether there is one more call to make. It is then taken.
    fn take_one(&mut self) -> bool {
        let one = self.left.checked_sub(1);
        self.left = one.unwrap_or(0);
        one.is_some()
    }

    fn add(&mut self, made: Result<Answered, CallError>, latency: Duration) {
        match &made {
            Ok(answered) => {
                self.latencies.push(latency);
                *self.codes.entry(answered.code.as_u16()).or_default() += 1;
                let instance = &answered.instance;
                let key = (instance.id.clone(), instance.node.clone());
                *self.answers.entry(key).or_default() += 1;
                let is_failure = CallConfig::default().is_failure;
                self.failed += u64::from(is_failure(answered.code));
            }
            Err(error) => {
                let error = error.to_string();
                if self.errors.len() < ERRORS_MAX || self.errors.contains_key(&error) {
                    *self.errors.entry(error).or_default() += 1;
                } else {
                    self.other_errors += 1;
                }
                self.failed += 1;
            }
        }
        self.last = Some((made, latency));
    }

    fn exit(&self) -> Exit {
        if self.failed == 0 { Exit::Done } else { Exit::Failed }
    }
}

/// Prints the body of the answer to stdout, and by whom it is to stderr.
fn tell_one(tally: Tally, service: &str) -> anyhow::Result<Exit> {
    let exit = tally.exit();
    let (made, latency) = tally.last.ok_or_else(|| anyhow!("no call to `{service}` was made"))?;
    let answered = made?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&answered.body)?;
    stdout.flush()?;
    let Instance { id, address, port, .. } = &*answered.instance;
    let tries = match answered.tries {
        1 => String::new(),
        tries => format!(", the last of {tries} tried"),
    };
    let (endpoint, code) = (endpoint(address, *port), answered.code);
    output::say(&format!(
        "{id} at {endpoint} answered {code} in {}{tries}",
        output::latency(latency)
    ));
    Ok(exit)
}

/// What is told of the calls.
#[derive(Serialize)]
struct Summary {
    revision: u64,
    isolated: bool,
    service: String,
    /// Milliseconds that all calls took.
    took_ms: f64,
    call_count: u64,
    failed_count: u64,
    retry_count: u64,
    latency: Option<Latencies>,
    answers: Vec<Answers>,
    errors: Vec<Errors>,
    /// The calls that failed with none of these errors: only so many different ones are told.
    other_error_count: u64,
    settings: Vec<CallSetting>,
    instances: Vec<CalledInstance>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

/// The time of calls that were answered, until the end of their bodies.
#[derive(Serialize)]
struct Latencies {
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

/// A setting of the calls.
#[derive(Serialize)]
struct CallSetting {
    key: String,
    value: String,
    /// `flag`, `registration` or `default`.
    origin: &'static str,
}

#[derive(Serialize)]
struct Answers {
    code: u16,
    answer_count: u64,
}

#[derive(Serialize)]
struct Errors {
    why: String,
    failed_count: u64,
}

impl Summary {
    fn of(
        tally: &Tally,
        discovery: &Discovery,
        found: &Instances,
        service: &str,
        took: Duration,
    ) -> Self {
        let body = match &tally.last {
            Some((Ok(answered), _)) if !answered.body.is_empty() => {
                Some(String::from_utf8_lossy(&answered.body).into_owned())
            }
            _ => None,
        };
        let counts = |(code, count): (&u16, &u64)| Answers { code: *code, answer_count: *count };
        let errors =
            |(why, count): (&String, &u64)| Errors { why: why.clone(), failed_count: *count };
        let stats = discovery.call_stats();
        Self {
            revision: found.revision,
            isolated: found.isolated,
            service: service.to_owned(),
            took_ms: millis(took),
            call_count: stats.calls,
            failed_count: tally.failed,
            retry_count: stats.retries,
            latency: Latencies::of(tally.latencies.clone()),
            answers: tally.codes.iter().map(counts).collect(),
            errors: tally.errors.iter().map(errors).collect(),
            other_error_count: tally.other_errors,
            settings: discovery.settings().into_iter().map(setting).collect(),
            instances: discovery.standings().iter().map(|one| called(one, tally)).collect(),
            body,
        }
    }

    fn text(&self, out: &Output) -> String {
        let Self { service, call_count, failed_count, retry_count, .. } = self;
        let took = output::latency(Duration::from_secs_f64(self.took_ms / 1e3));
        let mut lines = vec![format!(
            "{call_count} calls of `{service}` in {took}: {failed_count} failed, {retry_count} retries"
        )];
        if let Some(Latencies { p50_ms, p90_ms, p99_ms, max_ms }) = self.latency {
            let [p50, p90, p99, max] = [p50_ms, p90_ms, p99_ms, max_ms]
                .map(|ms| output::latency(Duration::from_secs_f64(ms / 1e3)));
            lines.push(format!("latency: p50 {p50}, p90 {p90}, p99 {p99}, max {max}"));
        }
        for Answers { code, answer_count } in &self.answers {
            lines.push(format!("status {code}: {answer_count}"));
        }
        for Errors { why, failed_count } in &self.errors {
            lines.push(format!("failed {failed_count}: {}", hobnob_api::names::printable(why)));
        }
        if self.other_error_count > 0 {
            lines.push(format!("failed {}: for other reasons", self.other_error_count));
        }
        let set = self.settings.iter().filter(|one| one.origin != DEFAULT);
        let set = set.map(|one| format!("{} {} ({})", one.key, one.value, one.origin));
        let set = set.collect::<Vec<_>>().join(", ");
        if !set.is_empty() {
            lines.push(format!("settings: {}", hobnob_api::names::printable(&set)));
        }
        lines.push(output::called(&self.instances, out.style()));
        lines.join("\n")
    }
}

impl Latencies {
    /// `None` without one.
    fn of(mut latencies: Vec<Duration>) -> Option<Self> {
        latencies.sort_unstable();
        let max = *latencies.last()?;
        let rank = |share: f64| (share * latencies.len() as f64).ceil() as usize;
        let quantile = |share: f64| millis(latencies[rank(share).saturating_sub(1)]);
        Some(Self {
            p50_ms: quantile(0.5),
            p90_ms: quantile(0.9),
            p99_ms: quantile(0.99),
            max_ms: millis(max),
        })
    }
}

fn setting(EffectiveSetting { setting, value, origin }: EffectiveSetting) -> CallSetting {
    let origin = match origin {
        SettingOrigin::Program => "flag",
        SettingOrigin::Registration => "registration",
        SettingOrigin::Default => DEFAULT,
    };
    CallSetting { key: setting, value, origin }
}

fn called(standing: &Standing, tally: &Tally) -> CalledInstance {
    let instance = &standing.instance;
    let key = (instance.id.clone(), instance.node.clone());
    CalledInstance {
        instance: instance.id.clone(),
        member: instance.node.clone(),
        address: instance.address.clone(),
        port: instance.port,
        answer_count: tally.answers.get(&key).copied().unwrap_or(0),
        try_count: standing.tries,
        failed_count: standing.failures,
        latency_ms: standing.latency.map(millis),
        circuit: standing.circuit.name().to_owned(),
        circuit_for_ms: match standing.circuit {
            CircuitState::Closed => None,
            CircuitState::Open { trial_in } => Some(millis(trial_in)),
            CircuitState::HalfOpen { lost_in } => Some(millis(lost_in)),
        },
        ejected_for_ms: standing.ejected_for.map(millis),
    }
}

/// Milliseconds, to the microsecond.
fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_latency_that_was_seen() {
        let latencies =
            |count: u64| Latencies::of((1..=count).map(Duration::from_millis).collect());
        assert!(latencies(0).is_none());
        let told = latencies(200).unwrap();
        assert_eq!(
            [told.p50_ms, told.p90_ms, told.p99_ms, told.max_ms],
            [100.0, 180.0, 198.0, 200.0]
        );
        let told = latencies(1).unwrap();
        assert_eq!([told.p50_ms, told.max_ms], [1.0, 1.0]);
    }
}
