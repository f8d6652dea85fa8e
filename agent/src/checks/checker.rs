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
use super::probes::{LATE_AFTER, probe};
use super::verdict::{Thresholds, Verdict};

/// How much later than its interval and its timeout together an outcome may come before it is overdue. The fault is this
/// agent's own, since a probe always ends in time, and is no news about the instance; but a verdict this old is none.
pub const OVERDUE_AFTER: Duration = Duration::from_secs(30);

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
/// A void outcome changes nothing. The probe is made again at once, and if it is void again, at the next interval.
///
/// When no other outcome has come for interval, timeout and [`OVERDUE_AFTER`] together, there is time for one more probe,
/// since a process that stalled finds all its time over at once. Then the verdict becomes [`Health::Unknown`], the
/// probe under way is given up, and a new one begins.
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

    /// The time at which the next outcome is overdue, after the latest one or the start.
    fn overdue_after(&self, latest: Instant) -> Instant {
        self.last_chance(latest) + OVERDUE_AFTER
    }

    /// The time by which another probe has ended.
    fn last_chance(&self, now: Instant) -> Instant {
        now + self.interval + self.timeout + LATE_AFTER
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
    let mut has_last_chance = false;
    let mut void: Option<Outcome> = None;
    loop {
        let outcome = {
            let mut next = pin!(async {
                ticks.tick().await;
                attempt().await
            });
            loop {
                tokio::select! {
                    biased;
                    () = time::sleep_until(overdue_at) => match has_last_chance {
                        true => break None,
                        false => {
                            has_last_chance = true;
                            overdue_at = schedule.last_chance(Instant::now());
                        }
                    },
                    permit = tx.reserve(), if verdict.health() != reported => match permit {
                        Ok(permit) => {
                            reported = verdict.health();
                            permit.send(report(&id, &verdict, void.as_ref()));
                        }
                        Err(_) => return,
                    },
                    outcome = &mut next => break Some(outcome),
                }
            }
        };
        match outcome {
            Some(outcome) if outcome.is_void() => {
                if void.is_none() {
                    ticks.reset_immediately();
                }
                void = Some(outcome);
                continue;
            }
            Some(outcome) => {
                verdict.record(outcome);
                void = None;
            }
            None => {
                ticks.reset_immediately();
                verdict.overdue();
            }
        }
        has_last_chance = false;
        overdue_at = schedule.overdue_after(Instant::now());
    }
}

fn report(id: &CheckId, verdict: &Verdict, void: Option<&Outcome>) -> CheckReport {
    let output = match verdict.health() {
        Health::Unknown => {
            let reason = void.map_or("this agent stalled, or has too many checks", Outcome::output);
            format!("no result for {} s: {reason}", OVERDUE_AFTER.as_secs())
        }
        Health::Passing | Health::Failing => {
            verdict.history().next_back().map_or("", Outcome::output).to_owned()
        }
    };
    CheckReport { id: id.clone(), health: verdict.health(), output }
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

    /// Runs the loop with outcomes from a script: `+`, `-` and `v` (void) come after 10 ms, `.` never does. When the script is at
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
                Some('v') => Outcome::void("no news"),
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
    async fn a_void_outcome_is_no_news_and_is_tried_again_at_once() {
        use Health::{Failing, Passing};
        assert_eq!(reports_of("v+", None).await, [(20, Passing)]);
        assert_eq!(
            reports_of("+v-v-+", None).await,
            [(10, Passing), (2_020 + 10, Failing), (3_020 + 10, Passing)]
        );
        assert_eq!(reports_of("+vvvvvvvvvvvv", None).await, [(10, Passing)]);
    }

    /// Whether the outcomes are void or never come, the verdict is given up after a time and one more chance.
    #[tokio::test(start_paused = true)]
    async fn an_overdue_outcome_makes_the_verdict_unknown() {
        use Health::{Passing, Unknown};
        let overdue = 10 + (INTERVAL + TIMEOUT + LATE_AFTER).as_millis() as u64 * 2 + 30_000;
        let expected = [(10, Passing), (overdue, Unknown), (overdue + 10, Passing)];
        assert_eq!(reports_of("+.+", None).await, expected);
        let void = format!("+{}", "v".repeat(100));
        assert_eq!(reports_of(&void, None).await, expected[..2]);
    }

    /// The clock jumps in the middle of a probe, as it does for a process that was stopped.
    #[tokio::test(start_paused = true)]
    async fn a_stall_withdraws_nothing_before_another_probe() {
        let server = FakeServer::start().await;
        let (tx, mut rx) = mpsc::channel(4);
        let check = Check {
            interval_ms: INTERVAL.as_millis() as u64,
            failures_before_failing: 1,
            success_before_passing: 1,
            ..http_check(&server)
        };
        let _checker = Checker::spawn(id("web-1"), check, None, tx);
        assert_eq!(rx.recv().await.map(|report| report.health), Some(Health::Passing));
        for round in 0..3 {
            server.behave(Behaviour::Hang);
            let before = server.requests().len();
            time::advance(INTERVAL).await;
            while server.requests().len() == before {
                tokio::task::yield_now().await;
            }
            server.behave(Behaviour::Status(if round < 2 { 200 } else { 503 }));
            time::advance(Duration::from_secs(600)).await;
            while server.requests().len() < before + 2 {
                tokio::task::yield_now().await;
            }
        }
        let report = rx.recv().await.expect("a report");
        assert_eq!(report.health, Health::Failing, "the first news: {}", report.output);
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
