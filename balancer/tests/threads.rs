//! Many threads pick while others update, report and drain.

use hobnob_balancer::{
    Balancer, BreakerConfig, Config, Ledger, Outcome, OutlierConfig, Strategy, Target,
};
use std::{sync::Arc, time::Duration};

const THREADS: usize = 4;
const MILLISECOND: Duration = Duration::from_millis(1);

fn targets(range: std::ops::Range<usize>) -> Vec<Target<usize>> {
    range
        .map(|i| Target { id: format!("i-{i:04}").into(), weight: 1 + i as u32 % 3, item: i })
        .collect()
}

fn in_flight(balancer: &Balancer<usize>) -> u32 {
    balancer.report().targets.iter().map(|target| target.in_flight).sum()
}

#[test]
fn turns_are_shared_exactly_among_threads() {
    let balancer = Arc::new(Balancer::new(Config::default()));
    balancer.update(targets(0..7));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..700 {
                    drop(balancer.picker().pick(Strategy::RoundRobin, None));
                }
            });
        }
    });
    let report = balancer.report();
    assert!(report.targets.iter().all(|target| target.picks == THREADS as u64 * 100), "{report:?}");
    assert_eq!(report.efficiency(), Some(1.0));
}

#[test]
fn every_pick_ends_while_updates_and_drains_race() {
    let config = Config {
        breaker: Some(BreakerConfig {
            failure_threshold: 2,
            recovery_timeout: MILLISECOND,
            ..Default::default()
        }),
        outlier: Some(OutlierConfig { interval: MILLISECOND, ..Default::default() }),
        slow_start: Some(5 * MILLISECOND),
        panic_threshold_percent: 30,
        load_bound_percent: Some(125),
        ..Config::default()
    };
    let balancer = Arc::new(Balancer::new(config));
    balancer.update(targets(0..20));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let balancer = &balancer;
            scope.spawn(move || {
                let mut picker = balancer.picker();
                for step in 0..3_000 {
                    let strategy = Strategy::ALL[step % Strategy::ALL.len()];
                    let Some(pick) = picker.pick(strategy, Some(&step.to_le_bytes())) else {
                        continue;
                    };
                    match (step + thread) % 3 {
                        0 if *pick.item() < 5 => pick.complete(Outcome::Failure, MILLISECOND),
                        0 | 1 => pick.complete(Outcome::Success, MILLISECOND),
                        _ => drop(pick),
                    }
                }
            });
        }
        for step in 0..200_usize {
            balancer.advance(step as u32 * MILLISECOND / 4);
            balancer.update(targets(step % 10..20));
            balancer.drain("i-0015", MILLISECOND);
            balancer.undrain("i-0015");
        }
    });
    balancer.update(targets(0..20));
    assert_eq!(in_flight(&balancer), 0);
}

#[test]
fn picks_cross_threads() {
    let balancer = Arc::new(Balancer::new(Config::default()));
    balancer.update(targets(0..3));
    let mut picker = balancer.picker();
    let mut ledger = Ledger::new(10, MILLISECOND, 1);
    let pick = picker.pick(Strategy::Random, None).expect("three targets");
    let token =
        std::thread::scope(|scope| scope.spawn(|| ledger.issue(pick, Duration::ZERO)).join());
    assert_eq!(in_flight(&balancer), 1);
    assert!(ledger.report(token.expect("no panic"), Outcome::Success, MILLISECOND).is_ok());
    assert_eq!(in_flight(&balancer), 0);
}
