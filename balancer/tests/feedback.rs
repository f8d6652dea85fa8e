//! Outcomes steer the picks that follow: circuits, ejection, panic, ramps and bounds.

use hobnob_balancer::{
    Balancer, BreakerConfig, Circuit, Config, Observed, Outcome, OutlierConfig, Pick, Picker,
    Strategy, Target,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

fn targets(count: usize) -> Vec<Target<usize>> {
    (0..count).map(|i| Target { id: format!("i-{i:04}").into(), weight: 1, item: i }).collect()
}

fn balancer(count: usize, config: Config) -> Arc<Balancer<usize>> {
    let balancer = Arc::new(Balancer::new(config));
    balancer.update(targets(count));
    balancer
}

fn breaker() -> Option<BreakerConfig> {
    Some(BreakerConfig { failure_threshold: 3, recovery_timeout: SECOND, jitter_percent: 0 })
}

/// Picks and completes `picks` times, failing at the targets named, and counts the picks of each target.
fn drive(
    picker: &mut Picker<usize>,
    strategy: Strategy,
    picks: usize,
    failing: impl Fn(usize) -> bool,
) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for i in 0..picks {
        if let Some(pick) = picker.pick(strategy, Some(&i.to_le_bytes())) {
            *counts.entry(*pick.item()).or_default() += 1;
            let outcome = if failing(*pick.item()) { Outcome::Failure } else { Outcome::Success };
            pick.complete(outcome, MILLISECOND);
        }
    }
    counts
}

#[test]
fn a_circuit_opens_probes_once_and_closes() {
    for &strategy in Strategy::ALL {
        let balancer = balancer(3, Config { breaker: breaker(), ..Config::default() });
        balancer.advance(SECOND);
        let mut picker = balancer.picker();
        drive(&mut picker, strategy, 300, |item| item == 1);
        let instance = Arc::clone(&balancer.snapshot().instances()[1]);
        assert_eq!(instance.circuit(), Circuit::Open { until_us: 2_000_000 }, "{strategy}");
        assert_eq!(instance.failures(), 3, "{strategy}");
        assert!(!drive(&mut picker, strategy, 300, |_| false).contains_key(&1), "{strategy}");

        balancer.advance(2 * SECOND);
        let held: Vec<_> =
            (0..300_usize).filter_map(|i| picker.pick(strategy, Some(&i.to_le_bytes()))).collect();
        let probes: Vec<_> = held.iter().filter(|pick| *pick.item() == 1).collect();
        assert!(
            probes.len() == 1 && probes[0].is_probe(),
            "{strategy}: exactly one probe, {}",
            probes.len()
        );
        held.into_iter().for_each(|pick| pick.complete(Outcome::Success, MILLISECOND));
        assert_eq!(instance.circuit(), Circuit::Closed, "{strategy}");
        balancer.advance(3 * SECOND);
        assert!(drive(&mut picker, strategy, 600, |_| false)[&1] > 50, "{strategy}");
    }
}

#[test]
fn a_failed_probe_doubles_the_timeout_and_a_cancelled_one_is_repeated() {
    let balancer = balancer(1, Config { breaker: breaker(), ..Config::default() });
    let mut picker = balancer.picker();
    assert_eq!(drive(&mut picker, Strategy::Random, 10, |_| true)[&0], 3);
    balancer.advance(SECOND);
    drop(picker.pick(Strategy::Random, None).expect("the probe"));
    assert_eq!(drive(&mut picker, Strategy::Random, 10, |_| true)[&0], 1, "the probe again");
    let circuit = balancer.snapshot().instances()[0].circuit();
    assert_eq!(circuit, Circuit::Open { until_us: 3_000_000 });
    assert!(picker.choose(Strategy::Random, None).is_none());
}

#[test]
fn an_unreported_probe_is_under_way_until_it_counts_as_lost() {
    let balancer = balancer(1, Config { breaker: breaker(), ..Config::default() });
    let mut picker = balancer.picker();
    drive(&mut picker, Strategy::Random, 10, |_| true);
    let mut calls = |now| {
        balancer.advance(now);
        let unreported = || picker.pick(Strategy::Random, None);
        let made = std::iter::from_fn(unreported).take(10).map(Pick::end_unreported);
        made.count()
    };
    assert_eq!(calls(SECOND), 1);
    assert_eq!(calls(2 * SECOND - MILLISECOND), 0);
    assert_eq!(calls(2 * SECOND), 1, "the first one is lost");
    let target = Arc::clone(&balancer.snapshot().instances()[0]);
    assert_eq!(target.circuit(), Circuit::HalfOpen { until_us: 3_000_000 });
    assert_eq!(target.in_flight(), 0);
    balancer.advance(3 * SECOND);
    drive(&mut balancer.picker(), Strategy::Random, 1, |_| false);
    assert_eq!(target.circuit(), Circuit::Closed, "a reported one decides");
}

#[test]
fn an_open_circuit_moves_its_own_keys_and_no_others() {
    for strategy in [Strategy::ConsistentHash, Strategy::Rendezvous, Strategy::Ring] {
        let balancer = balancer(100, Config { breaker: breaker(), ..Config::default() });
        let mut picker = balancer.picker();
        let mut map = || -> Vec<usize> {
            let choose =
                |key: u32| picker.choose(strategy, Some(&key.to_le_bytes())).map(|i| *i.item());
            (0..20_000).filter_map(choose).collect()
        };
        let before = map();
        drive(&mut balancer.picker(), strategy, 10_000, |item| item == 7);
        let after = map();
        let mut moved_to = BTreeMap::<usize, usize>::new();
        for (old, new) in before.iter().zip(&after) {
            assert_eq!(old != new, *old == 7, "{strategy}");
            if *old == 7 {
                *moved_to.entry(*new).or_default() += 1;
            }
        }
        assert!(moved_to.len() > 60, "{strategy}: its keys spread over {} targets", moved_to.len());
    }
}

#[test]
fn consecutive_failures_eject_up_to_a_share_of_the_targets() {
    let outlier = OutlierConfig { max_ejection_percent: 20, ..Default::default() };
    let balancer = balancer(10, Config { outlier: Some(outlier), ..Config::default() });
    balancer.advance(SECOND);
    let mut picker = balancer.picker();
    drive(&mut picker, Strategy::RoundRobin, 1_000, |item| item < 5);
    let ejected =
        || balancer.snapshot().instances().iter().filter(|instance| instance.is_ejected()).count();
    assert_eq!(ejected(), 2);
    balancer.advance(30 * SECOND);
    assert_eq!(ejected(), 2, "30 s from the first second on");
    balancer.advance(31 * SECOND);
    assert_eq!(ejected(), 0);
    assert_eq!(drive(&mut picker, Strategy::RoundRobin, 100, |_| false).len(), 10);
}

#[test]
fn a_low_success_rate_ejects() {
    let outlier = OutlierConfig { consecutive_failures: 1_000, ..Default::default() };
    let balancer = balancer(20, Config { outlier: Some(outlier), ..Config::default() });
    balancer.advance(MILLISECOND);
    let (mut picker, mut odd) = (balancer.picker(), 0);
    for _ in 0..20 * 200 {
        let pick = picker.pick(Strategy::RoundRobin, None).expect("twenty targets");
        odd += usize::from(*pick.item() == 4);
        let failed = *pick.item() == 4 && odd % 2 == 0;
        pick.complete(if failed { Outcome::Failure } else { Outcome::Success }, MILLISECOND);
    }
    balancer.advance(11 * SECOND);
    let snapshot = balancer.snapshot();
    let ejected: Vec<_> =
        snapshot.instances().iter().filter(|i| i.is_ejected()).map(|i| *i.item()).collect();
    assert_eq!(ejected, [4]);
}

#[test]
fn in_panic_every_target_is_offered() {
    for (panic_threshold_percent, offered) in [(0, 2), (50, 10)] {
        let config = Config { breaker: breaker(), panic_threshold_percent, ..Config::default() };
        let balancer = balancer(10, config);
        balancer.advance(SECOND);
        let mut picker = balancer.picker();
        drive(&mut picker, Strategy::RoundRobin, 1_000, |item| item > 1);
        assert_eq!(drive(&mut picker, Strategy::RoundRobin, 100, |item| item > 1).len(), offered);
    }
}

#[test]
fn a_new_target_starts_slowly() {
    for strategy in [
        Strategy::RoundRobin,
        Strategy::Random,
        Strategy::ConsistentHash,
        Strategy::LeastConnections,
    ] {
        let balancer = balancer(9, Config { slow_start: Some(10 * SECOND), ..Config::default() });
        let mut picker = balancer.picker();
        balancer.advance(SECOND);
        balancer.update(targets(10));
        let mut share = |seconds: u32| {
            balancer.advance(seconds * SECOND);
            drive(&mut picker, strategy, 10_000, |_| false).get(&9).copied().unwrap_or(0)
        };
        assert!((40..200).contains(&share(1)), "{strategy}: a tenth of its share");
        assert!((350..700).contains(&share(6)), "{strategy}: half of its share");
        assert!((850..1_200).contains(&share(12)), "{strategy}: all of its share");
    }
}

#[test]
fn a_drained_target_fades_and_comes_back() {
    let balancer = balancer(2, Config::default());
    let mut picker = balancer.picker();
    balancer.advance(SECOND);
    assert!(balancer.drain("i-0001", 10 * SECOND) && !balancer.drain("no-such-target", SECOND));
    let mut share = |seconds: u32| {
        balancer.advance(seconds * SECOND);
        drive(&mut picker, Strategy::Random, 10_000, |_| false).get(&1).copied().unwrap_or(0)
    };
    assert!((4_500..5_500).contains(&share(1)));
    assert!((2_800..3_800).contains(&share(6)), "a third when one of two has half of its weight");
    assert_eq!(share(11), 0);
    balancer.update(targets(2));
    assert_eq!(share(12), 0, "it stays drained across updates");
    assert!(balancer.undrain("i-0001") && !balancer.undrain("i-0001"));
    assert!((4_500..5_500).contains(&share(13)));
    balancer.drain("i-0000", Duration::ZERO);
    balancer.drain("i-0001", Duration::ZERO);
    assert!(balancer.picker().pick(Strategy::RoundRobin, None).is_none());
}

#[test]
fn a_bounded_load_is_bounded_and_keeps_most_keys() {
    for (strategy, load_bound_percent) in [
        (Strategy::BoundedHash, None),
        (Strategy::ConsistentHash, Some(125)),
        (Strategy::Rendezvous, Some(125)),
        (Strategy::Ring, Some(125)),
    ] {
        let balancer = balancer(20, Config { load_bound_percent, ..Config::default() });
        let mut picker = balancer.picker();
        let held: Vec<_> = (0..400_u32)
            .filter_map(|i| {
                picker.pick(strategy, Some(&(if i % 2 == 0 { 0 } else { i }).to_le_bytes()))
            })
            .collect();
        let fullest =
            balancer.snapshot().instances().iter().map(|instance| instance.in_flight()).max();
        assert_eq!(held.len(), 400);
        assert!(
            fullest.is_some_and(|fullest| fullest <= 25),
            "{strategy}: {fullest:?}, the mean is 20"
        );
        drop(held);
        let home = balancer.snapshot().lookup(strategy, b"key").map(|instance| *instance.item());
        assert_eq!(
            picker.pick(strategy, Some(b"key")).map(|pick| *pick.item()),
            home,
            "{strategy}: idle again"
        );
    }
}

#[test]
fn a_target_that_fails_fast_gets_no_more_than_its_share() {
    for strategy in [Strategy::LeastConnections, Strategy::PeakEwma, Strategy::HotCold] {
        let balancer = balancer(20, Config::default());
        let mut picker = balancer.picker();
        let mut under_way = std::collections::VecDeque::new();
        let mut failures = 0;
        for step in 0..40_000_u32 {
            balancer.advance(step * MILLISECOND / 10);
            let pick = picker.pick(strategy, None).expect("twenty targets");
            if *pick.item() == 3 {
                failures += usize::from(step > 1_000);
                pick.complete(Outcome::Failure, MILLISECOND / 100);
            } else {
                under_way.push_back(pick);
            }
            if under_way.len() > 60
                && let Some(pick) = under_way.pop_front()
            {
                pick.complete(Outcome::Success, 6 * MILLISECOND);
            }
        }
        assert!(
            failures <= 39_000 / 20 * 3 / 2,
            "{strategy}: {failures} of 39,000 picks of 20 targets"
        );
    }
}

#[test]
fn peak_ewma_and_hot_cold_avoid_a_slow_target() {
    for strategy in [Strategy::PeakEwma, Strategy::HotCold] {
        let balancer = balancer(10, Config::default());
        let mut picker = balancer.picker();
        let mut slow = 0;
        for step in 0..10_000_u32 {
            balancer.advance(step * MILLISECOND);
            let pick = picker.pick(strategy, None).expect("ten targets");
            let is_slow = *pick.item() == 0;
            slow += usize::from(is_slow);
            pick.complete(Outcome::Success, if is_slow { 50 * MILLISECOND } else { MILLISECOND });
        }
        assert!(slow < 100, "{strategy}: {slow} picks of the slow target");
    }
}

#[test]
fn a_closure_chooses_anything() {
    let balancer = balancer(5, Config { breaker: breaker(), ..Config::default() });
    let mut picker = balancer.picker();
    let mut largest = || {
        picker.pick_with(|all| (0..all.len()).max_by_key(|&i| *all[i].item())).map(|p| *p.item())
    };
    assert_eq!(largest(), Some(4));
    let (mut picker, mut last) = (balancer.picker(), 0);
    let mut backwards = || {
        let pick = picker.pick_with(|all| {
            last = (last + all.len() - 1) % all.len();
            Some(last)
        });
        pick.map(|pick| *pick.item())
    };
    assert_eq!([backwards(), backwards(), backwards()], [Some(4), Some(3), Some(2)]);
    let mut picker = balancer.picker();
    assert!(
        picker.pick_with(|_| None).is_none() && picker.pick_with(|all| Some(all.len())).is_none()
    );
    for _ in 0..3 {
        picker.pick_with(|_| Some(0)).expect("closed").complete(Outcome::Failure, MILLISECOND);
    }
    assert!(picker.pick_with(|_| Some(0)).is_none(), "its circuit is open");
}

fn told(successes: u32, failures: u32) -> Observed {
    Observed { successes, failures, latency: None }
}

fn circuit(balancer: &Balancer<usize>, target: usize) -> Circuit {
    balancer.snapshot().instances()[target].circuit()
}

#[test]
fn a_client_whose_calls_fail_opens_no_circuit_while_another_has_successes() {
    let balancer = balancer(2, Config { breaker: breaker(), ..Config::default() });
    for second in 1..100 {
        balancer.advance(second * SECOND);
        // The broken client tells a lot, in many reports; the other one a little, once a second.
        (0..10).for_each(|_| assert!(balancer.observe("i-0000", &told(0, 1_000))));
        assert!(balancer.observe("i-0000", &told(1, 0)));
        assert_eq!(circuit(&balancer, 0), Circuit::Closed, "after {second} s");
    }
    let instance = Arc::clone(&balancer.snapshot().instances()[0]);
    assert_eq!(instance.observed(), (99, 990_000));
    assert_eq!((instance.picks(), instance.completed(), instance.failures()), (0, 0, 0));
    assert!(!balancer.observe("i-9999", &told(1, 0)), "there is none");
}

#[test]
fn without_a_success_told_failures_open_a_circuit_and_the_next_success_closes_it() {
    let balancer = balancer(2, Config { breaker: breaker(), ..Config::default() });
    let mut opened_after = None;
    for second in 1..10 {
        balancer.advance(second * SECOND);
        balancer.observe("i-0000", &told(0, 1_000));
        if circuit(&balancer, 0) != Circuit::Closed {
            opened_after = Some(second);
            break;
        }
    }
    assert_eq!(opened_after, Some(3), "in two windows");
    let mut picker = balancer.picker();
    assert!(!drive(&mut picker, Strategy::RoundRobin, 10, |_| false).contains_key(&0));
    balancer.observe("i-0000", &Observed { latency: Some(5 * SECOND), ..told(1, 0) });
    assert_eq!(circuit(&balancer, 0), Circuit::Closed);
    assert_eq!(balancer.snapshot().instances()[0].latency(), Some(5 * SECOND));
    assert!(drive(&mut picker, Strategy::RoundRobin, 10, |_| false).contains_key(&0));
}

#[test]
fn a_circuit_of_told_failures_closes_a_minute_after_the_last_of_them() {
    let breaker = Some(BreakerConfig { failure_threshold: 1, ..breaker().expect("on") });
    let balancer = balancer(2, Config { breaker, ..Config::default() });
    let mut picker = balancer.picker();
    balancer.advance(SECOND);
    balancer.observe("i-0000", &told(0, 1));
    balancer.advance(31 * SECOND);
    balancer.observe("i-0000", &told(0, 1));
    balancer.advance(90 * SECOND);
    assert_ne!(circuit(&balancer, 0), Circuit::Closed);
    // Picks whose outcome nobody reports decide nothing.
    (0..10).for_each(|_| picker.pick(Strategy::RoundRobin, None).expect("one").end_unreported());
    assert_ne!(circuit(&balancer, 0), Circuit::Closed);
    balancer.advance(91 * SECOND);
    assert_eq!(circuit(&balancer, 0), Circuit::Closed);

    // One that a pick holds open stays.
    drive(&mut picker, Strategy::RoundRobin, 2, |item| item == 0);
    assert_ne!(circuit(&balancer, 0), Circuit::Closed);
    balancer.advance(300 * SECOND);
    assert_ne!(circuit(&balancer, 0), Circuit::Closed);
}
