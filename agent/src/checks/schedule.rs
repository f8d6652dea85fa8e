//! When a check is probed, and the task that does it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hobnob_api::Check;
use hobnob_membership::record::Health;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{self, Instant, MissedTickBehavior};

use super::outcome::Outcome;
use super::probes::probe;
use super::verdict::{Thresholds, Verdict};

/// An outcome is overdue when it comes this much later than its interval and its timeout together. Our own timers
/// are not exact on a busy host, and a slow one is no news about the instance.
pub const OVERDUE_SLACK: Duration = Duration::from_millis(100);

/// The first probe of a check begins within this part of its interval, at random, so that an agent that starts with many
/// checks does not run all of them in one beat.
const JITTER_PARTS: u32 = 10;
/// The longest delay of the first probe by jitter.
const MAX_JITTER: Duration = Duration::from_millis(100);

/// One check of one registration. A later registration of the same instance has checks with other ids, so that a verdict
/// on the earlier one is known to be stale.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckId {
    /// The id of the instance.
    pub instance: Arc<str>,
    /// Unique among all checks since the agent started.
    pub number: u64,
}

/// The verdict on an instance has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// The check.
    pub id: CheckId,
    /// The verdict now.
    pub health: Health,
    /// The output of the latest probe, for people.
    pub output: String,
}

/// A running check. Dropping it stops the check; reports that were sent before may still be in the channel.
///
/// One probe begins every interval, or as soon as the one before has ended when that took longer; probes never overlap.
/// A changed verdict is reported, and nothing else is. When the channel of the reports is full, probes go on and the
/// report waits; a later verdict takes its place, so that a slow reader gets the latest one, not all of them.
///
/// When no outcome has come for interval, timeout and [`OVERDUE_SLACK`] together, this process stalled and its
/// verdict is too old: the verdict becomes [`Health::Unknown`], the probe under way is void, and a new one begins.
#[derive(Debug)]
pub struct Checker {
    task: AbortHandle,
}

impl Checker {
    /// Starts to run a check. The interval and the timeout of a check that is not [valid](super::validate) are moved to
    /// the nearest valid ones.
    ///
    /// Without a `first` outcome the verdict begins unknown, and the first probe begins at once but for a little jitter.
    /// With the outcome of a probe that the caller made after a restart, the verdict begins as [`Verdict::restored`]
    /// says, which is reported unless it is unknown, and the next probe follows after an interval.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn spawn(
        id: CheckId,
        check: Check,
        first: Option<Outcome>,
        tx: mpsc::Sender<CheckReport>,
    ) -> Self {
        let task = tokio::spawn(async move {
            let timeout = Duration::from_millis(check.timeout_ms).min(super::MAX_TIMEOUT);
            let interval = Duration::from_millis(check.interval_ms)
                .clamp(super::MIN_INTERVAL, super::MAX_INTERVAL);
            let schedule = Schedule { interval, timeout, jitter: jitter(interval) };
            let attempt = || probe(&check.probe, timeout);
            run(id, Thresholds::from(&check), schedule, first, attempt, tx).await;
        });
        Self { task: task.abort_handle() }
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn jitter(interval: Duration) -> Duration {
    (interval / JITTER_PARTS).min(MAX_JITTER).mul_f64(rand::random())
}

/// When to probe.
#[derive(Clone, Copy)]
struct Schedule {
    interval: Duration,
    timeout: Duration,
    jitter: Duration,
}

impl Schedule {
    fn first_probe(&self, restored: bool) -> Instant {
        Instant::now() + self.jitter + if restored { self.interval } else { Duration::ZERO }
    }

    fn overdue_after(&self, latest: Instant) -> Instant {
        latest + self.interval + self.timeout + OVERDUE_SLACK
    }
}

/// Probes, judges and reports until the receiver of the reports is gone.
async fn run<A: Future<Output = Outcome>>(
    id: CheckId,
    thresholds: Thresholds,
    schedule: Schedule,
    first: Option<Outcome>,
    attempt: impl Fn() -> A,
    tx: mpsc::Sender<CheckReport>,
) {
    let first_probe = schedule.first_probe(first.is_some());
    let mut ticks = time::interval_at(first_probe, schedule.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut verdict = match first {
        Some(outcome) => Verdict::restored(thresholds, outcome),
        None => Verdict::new(thresholds),
    };
    let mut reported = Health::Unknown;
    let mut overdue_at = schedule.overdue_after(first_probe);
    loop {
        let outcome = {
            let mut next = pin!(async {
                ticks.tick().await;
                attempt().await
            });
            loop {
                tokio::select! {
                    biased;
                    () = time::sleep_until(overdue_at) => break None,
                    permit = tx.reserve(), if verdict.health() != reported => match permit {
                        Ok(permit) => {
                            reported = verdict.health();
                            permit.send(report(&id, &verdict));
                        }
                        Err(_) => return,
                    },
                    outcome = &mut next => break Some(outcome),
                }
            }
        };
        match outcome {
            Some(outcome) => verdict.record(outcome),
            None => {
                ticks.reset_immediately();
                verdict.overdue()
            }
        };
        overdue_at = schedule.overdue_after(Instant::now());
    }
}

fn report(id: &CheckId, verdict: &Verdict) -> CheckReport {
    let output = match verdict.health() {
        Health::Unknown => "no result in time: this agent stood still",
        Health::Passing | Health::Failing => {
            verdict.history().next_back().map_or("", Outcome::output)
        }
    };
    CheckReport { id: id.clone(), health: verdict.health(), output: output.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::future;

    use tokio::sync::mpsc::error::TryRecvError;

    use super::*;
    use crate::checks::probes::fake_server::{Behaviour, FakeServer};
    use hobnob_api::Probe;

    fn id(instance: &str) -> CheckId {
        CheckId { instance: instance.into(), number: 1 }
    }

    const INTERVAL: Duration = Duration::from_secs(1);
    const TIMEOUT: Duration = Duration::from_millis(500);
    const THRESHOLDS: Thresholds =
        Thresholds { success_before_passing: 1, failures_before_failing: 2 };
    const SCHEDULE: Schedule =
        Schedule { interval: INTERVAL, timeout: TIMEOUT, jitter: Duration::ZERO };

    /// Runs the loop with outcomes from a script: `+` and `-` come after 10 ms, `.` never does. When the script is at
    /// its end so is the loop. Returns the reports with the milliseconds at which they came.
    async fn reports_of(script: &str, first: Option<Outcome>) -> Vec<(u64, Health)> {
        let (tx, mut rx) = mpsc::channel(1);
        let began = Instant::now();
        let script = RefCell::new(script.chars().collect::<VecDeque<_>>());
        let (over, mut is_over) = mpsc::channel::<()>(1);
        let attempt = || async {
            let step = script.borrow_mut().pop_front();
            time::sleep(Duration::from_millis(10)).await;
            match step {
                Some('+') => Outcome::success("up"),
                Some('-') => Outcome::failure("down"),
                Some(_) => future::pending().await,
                None => {
                    over.try_send(()).expect("the first time");
                    future::pending().await
                }
            }
        };
        let mut reports = Vec::new();
        tokio::select! {
            () = run(id("web-1"), THRESHOLDS, SCHEDULE, first, attempt, tx) => {}
            _ = async { while let Some(report) = rx.recv().await {
                reports.push((began.elapsed().as_millis() as u64, report.health));
            } } => {}
            _ = is_over.recv() => {}
        }
        reports
    }

    #[tokio::test(start_paused = true)]
    async fn only_changes_are_reported() {
        use Health::{Failing, Passing};
        assert_eq!(reports_of("+++", None).await, [(10, Passing)]);
        assert_eq!(reports_of("-+-+", None).await, [(1_010, Passing)]);
        assert_eq!(
            reports_of("++---++", None).await,
            [(10, Passing), (3_010, Failing), (5_010, Passing)]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_restored_verdict_is_reported_and_the_first_probe_follows_after_an_interval() {
        use Health::{Failing, Passing};
        assert_eq!(reports_of("++", Some(Outcome::success("up"))).await, [(0, Passing)]);
        assert_eq!(
            reports_of("--", Some(Outcome::success("up"))).await,
            [(0, Passing), (2_010, Failing)]
        );
        assert_eq!(reports_of("--", Some(Outcome::failure("down"))).await, [(1_010, Failing)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_overdue_result_makes_the_verdict_unknown_first() {
        use Health::{Passing, Unknown};
        assert_eq!(
            reports_of("+.+", None).await,
            [(10, Passing), (1_610, Unknown), (1_620, Passing)]
        );
    }

    /// The clock jumps in the middle of a try, as it does for a process that was stopped.
    #[tokio::test(start_paused = true)]
    async fn a_stall_voids_the_try_under_way() {
        let (tx, mut rx) = mpsc::channel(4);
        let tries = RefCell::new(0);
        let attempt = || async {
            *tries.borrow_mut() += 1;
            time::sleep(Duration::from_millis(10)).await;
            if *tries.borrow() == 2 {
                Outcome::failure("it only seems so")
            } else {
                Outcome::success("up")
            }
        };
        let strict = Thresholds { failures_before_failing: 1, ..THRESHOLDS };
        let mut healths = Vec::new();
        tokio::select! {
            () = run(id("web-1"), strict, SCHEDULE, None, attempt, tx) => {}
            () = async {
                healths.push(rx.recv().await.map(|report| report.health));
                time::sleep(Duration::from_millis(995)).await;
                assert_eq!(*tries.borrow(), 2, "the second try is under way");
                time::advance(Duration::from_secs(30)).await;
                healths.push(rx.recv().await.map(|report| report.health));
                healths.push(rx.recv().await.map(|report| report.health));
            } => {}
        }
        assert_eq!(healths, [Some(Health::Passing), Some(Health::Unknown), Some(Health::Passing)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_gets_the_latest_verdict() {
        let (tx, mut rx) = mpsc::channel(1);
        tx.try_send(CheckReport {
            id: id("other"),
            health: Health::Unknown,
            output: String::new(),
        })
        .expect("room");
        let tries = RefCell::new(0);
        let attempt = || async {
            *tries.borrow_mut() += 1;
            if *tries.borrow() <= 3 { Outcome::success("up") } else { Outcome::failure("down") }
        };
        tokio::select! {
            () = run(id("web-1"), THRESHOLDS, SCHEDULE, None, attempt, tx) => {}
            () = async {
                time::sleep(Duration::from_secs(20)).await;
                assert_eq!(rx.recv().await.map(|report| report.id), Some(id("other")));
                let report = rx.recv().await.expect("the run goes on");
                assert_eq!((report.id, report.health, report.output.as_str()), (id("web-1"), Health::Failing, "down"));
                assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
            } => {}
        }
        assert!(*tries.borrow() >= 20, "tries go on while a report waits");
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_nobody_listens() {
        let (tx, rx) = mpsc::channel(1);
        drop(rx);
        run(id("web-1"), THRESHOLDS, SCHEDULE, None, || async { Outcome::success("up") }, tx).await;
    }

    fn http_check(server: &FakeServer) -> Check {
        Check {
            name: "check".into(),
            probe: Probe::Http { url: server.url() },
            interval_ms: 20,
            timeout_ms: 5_000,
            success_before_passing: 2,
            failures_before_failing: 2,
        }
    }

    #[tokio::test]
    async fn a_service_that_stops_and_comes_back() {
        let mut server = FakeServer::start().await;
        let (tx, mut rx) = mpsc::channel(1);
        let checker = Checker::spawn(id("web-1"), http_check(&server), None, tx);
        let mut expect = async |health| {
            let report = rx.recv().await.expect("a report");
            assert_eq!((report.id, report.health), (id("web-1"), health), "{}", report.output);
        };
        expect(Health::Passing).await;
        server.behave(Behaviour::Status(503));
        expect(Health::Failing).await;
        server.behave(Behaviour::Status(204));
        expect(Health::Passing).await;
        server.stop().await;
        expect(Health::Failing).await;
        server.restart().await;
        expect(Health::Passing).await;
        drop(checker);
        assert_eq!(rx.recv().await, None, "the task is gone and its sender with it");
    }

    #[test]
    fn jitter_is_small() {
        for interval in [super::super::MIN_INTERVAL, super::super::MAX_INTERVAL] {
            for _ in 0..100 {
                assert!(jitter(interval) <= (interval / 10).min(MAX_JITTER));
            }
        }
    }
}
