//! The task of a check. Where time is paused, the test or the runtime moves it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future;
use std::time::Duration;

use hobnob_api::{Check, Probe};
use hobnob_membership::record::Health;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::{self, Instant};

use super::checker::Run;
use super::listener::Listener;
use super::probes::fake_server::{Behaviour, FakeServer};
use super::schedule::Schedule;
use super::*;

fn id(instance: &str) -> CheckId {
    CheckId { instance: instance.into(), number: 1 }
}

const INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_millis(500);
const THRESHOLDS: Thresholds = Thresholds {
    success_before_passing: 1,
    failures_before_warning: None,
    failures_before_critical: 2,
};
const SCHEDULE: Schedule = Schedule { interval: INTERVAL, timeout: TIMEOUT };

/// A check with nothing around it.
fn spawn(
    check: Check,
    start: Start,
    listeners: &ListenerWatch,
    reports: mpsc::Sender<CheckReport>,
) -> Checker {
    let (expired, _) = mpsc::channel(1);
    let (prober, listeners) = (Prober::default(), listeners.clone());
    let latest = std::sync::Arc::default();
    let context = CheckContext { prober, listeners, reports, expired, latest };
    Checker::spawn(id("web-1"), check, start, Subject::default(), &context)
}

/// A run whose second probe begins an interval after the first, or a kept one whose first begins at once.
fn new_run(start: Start) -> Run {
    let now = Instant::now();
    let beat = match &start {
        Start::New => SCHEDULE.begin_now(now, || 1.0),
        Start::Probed(_) => SCHEDULE.begin_later(now, || 1.0),
        Start::Kept(..) => SCHEDULE.resume(now, || 0.0),
    };
    let listener = Listener::at("127.0.0.1:80".to_owned());
    Run::new(id("web-1"), THRESHOLDS, SCHEDULE, beat, start, listener)
}

/// Runs the loop with outcomes from a script: `+`, `-` and `v` (void) come after 10 ms, `.` never does. When the script is at
/// its end so is the loop. Returns the reports with the milliseconds at which they came.
async fn reports_of(script: &str, start: Start) -> Vec<(u64, Health)> {
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
        () = new_run(start).run(attempt, tx) => {}
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
    assert_eq!(reports_of("+++", Start::New).await, [(10, Passing)]);
    assert_eq!(reports_of("-+-+", Start::New).await, [(1_010, Passing)]);
    assert_eq!(
        reports_of("++---++", Start::New).await,
        [(10, Passing), (3_010, Failing), (5_010, Passing)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_restored_verdict_is_reported_and_the_first_probe_follows_after_an_interval() {
    use Health::{Failing, Passing};
    assert_eq!(reports_of("++", Start::Probed(Outcome::success("up"))).await, [(0, Passing)]);
    assert_eq!(
        reports_of("--", Start::Probed(Outcome::success("up"))).await,
        [(0, Passing), (2_010, Failing)]
    );
    assert_eq!(reports_of("--", Start::Probed(Outcome::failure("down"))).await, [(1_010, Failing)]);
}

#[tokio::test(start_paused = true)]
async fn a_void_outcome_is_no_news_and_is_tried_again_at_once() {
    use Health::{Failing, Passing, Unknown};
    assert_eq!(reports_of("v+", Start::New).await, [(20, Passing)]);
    assert_eq!(
        reports_of("+v-v-+", Start::New).await,
        [(10, Passing), (2_020, Failing), (3_010, Passing)],
        "and the beat goes on"
    );
    assert_eq!(
        reports_of("+vv+", Start::New).await,
        [(10, Passing), (1_610, Unknown), (1_620, Passing)]
    );
    assert_eq!(reports_of("+vvvv", Start::New).await, [(10, Passing), (1_610, Unknown)]);
}

/// Whether the outcomes are void or never come, the verdict is given up after interval and timeout.
#[tokio::test(start_paused = true)]
async fn an_overdue_outcome_makes_the_verdict_unknown() {
    use Health::{Passing, Unknown};
    let overdue = 10 + (INTERVAL + TIMEOUT + LATE_AFTER).as_millis() as u64;
    let expected = [(10, Passing), (overdue, Unknown), (overdue + 10, Passing)];
    assert_eq!(reports_of("+.+", Start::New).await, expected);
    let void = format!("+{}", "v".repeat(100));
    assert_eq!(reports_of(&void, Start::New).await, expected[..2]);
}

/// The clock jumps in the middle of a probe, as it does for a process that was stopped.
#[tokio::test(start_paused = true)]
async fn a_stall_withdraws_nothing_before_another_probe() {
    let server = FakeServer::start().await;
    let (tx, mut rx) = mpsc::channel(4);
    let check = Check {
        interval_ms: INTERVAL.as_millis() as u64,
        failures_before_critical: 1,
        success_before_passing: 1,
        ..http_check(&server)
    };
    let _checker = spawn(check, Start::New, &ListenerWatch::default(), tx);
    assert_eq!(rx.recv().await.map(|report| report.health), Some(Health::Passing));
    for round in 0..3 {
        server.behave(Behaviour::Hang);
        let before = server.requests().len();
        time::advance(2 * INTERVAL).await;
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
        signal: None,
    })
    .expect("room");
    let tries = RefCell::new(0);
    let attempt = || async {
        *tries.borrow_mut() += 1;
        if *tries.borrow() <= 3 { Outcome::success("up") } else { Outcome::failure("down") }
    };
    tokio::select! {
        () = new_run(Start::New).run(attempt, tx) => {}
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
    new_run(Start::New).run(|| async { Outcome::success("up") }, tx).await;
}

fn http_check(server: &FakeServer) -> Check {
    Check {
        name: "check".into(),
        interval_ms: 20,
        timeout_ms: 5_000,
        success_before_passing: 2,
        failures_before_critical: 2,
        listener_watch: true,
        ..Check::new(Probe::http(server.url()))
    }
}

#[tokio::test]
async fn a_service_that_stops_and_comes_back() {
    let mut server = FakeServer::start().await;
    let (tx, mut rx) = mpsc::channel(1);
    let off = ListenerWatch::new(false);
    let checker = spawn(http_check(&server), Start::New, &off, tx);
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

/// A check that takes minutes to notice anything by its thresholds.
fn slow_check(server: &FakeServer) -> Check {
    Check {
        interval_ms: 600_000,
        success_before_passing: 100,
        failures_before_critical: 100,
        ..http_check(server)
    }
}

/// The next report of a check with news, as its health, the sign that decided, and the words.
async fn next(rx: &mut mpsc::Receiver<CheckReport>) -> (Health, Option<Signal>, String) {
    let report = rx.recv().await.expect("a report");
    (report.health, report.signal, report.output)
}

#[tokio::test]
async fn a_local_server_that_dies_and_comes_back_is_noticed_whatever_the_thresholds() {
    use Health::{Failing, Passing};
    let mut server = FakeServer::start().await;
    let (tx, mut rx) = mpsc::channel(1);
    let watch = ListenerWatch::new(true);
    let check = Check { success_before_passing: 1, ..slow_check(&server) };
    let _checker = spawn(check, Start::New, &watch, tx);
    let (health, signal, output) = next(&mut rx).await;
    assert_eq!((health, signal), (Passing, None), "{output}");
    server.stop().await;
    let (health, signal, output) = next(&mut rx).await;
    assert_eq!((health, signal), (Failing, Some(Signal::ListenerGone)), "{output}");
    let words = format!("nobody listens on {} since ", server.addr());
    let time = output.strip_prefix(&words).and_then(|rest| rest.strip_suffix(" UTC"));
    assert_eq!(time.map(str::len), Some("14:03:07.120".len()), "{output}");
    server.restart().await;
    let (health, signal, output) = next(&mut rx).await;
    assert_eq!((health, signal), (Passing, Some(Signal::ListenerBack)), "{output}");
    assert!(output.starts_with("HTTP 200"), "{output}");
}

/// It died while its agent was away, so the kernel has no news of it, and yet its word.
#[tokio::test]
async fn a_kept_verdict_on_a_server_that_is_gone_does_not_stand_for_long() {
    let mut server = FakeServer::start().await;
    server.stop().await;
    let (tx, mut rx) = mpsc::channel(1);
    let watch = ListenerWatch::new(true);
    let start = Start::Kept(Health::Passing, Duration::ZERO);
    let _checker = spawn(slow_check(&server), start, &watch, tx);
    let (health, signal, output) = next(&mut rx).await;
    assert_eq!((health, signal), (Health::Failing, Some(Signal::ListenerGone)), "{output}");
}

#[tokio::test]
async fn thresholds_decide_where_the_watch_is_turned_off() {
    let mut server = FakeServer::start().await;
    for (is_on, listener_watch) in [(true, false), (false, true)] {
        let (tx, mut rx) = mpsc::channel(1);
        let check = Check { listener_watch, ..http_check(&server) };
        let watch = ListenerWatch::new(is_on);
        let _checker = spawn(check, Start::New, &watch, tx);
        assert_eq!(next(&mut rx).await.0, Health::Passing);
        server.stop().await;
        let (health, signal, output) = next(&mut rx).await;
        assert_eq!((health, signal), (Health::Failing, None), "{output}");
        server.restart().await;
    }
}

/// A health page that takes long, at a restart.
#[tokio::test(start_paused = true)]
async fn a_kept_verdict_stands_until_outcomes_change_it() {
    use Health::{Failing, Passing};
    assert_eq!(reports_of("--", Start::Kept(Passing, Duration::ZERO)).await, [(1_010, Failing)]);
    assert_eq!(reports_of("-++", Start::Kept(Passing, Duration::ZERO)).await, []);
    assert_eq!(reports_of("-+-", Start::Kept(Failing, Duration::ZERO)).await, [(1_010, Passing)]);
}
