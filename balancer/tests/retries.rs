//! Picks for the retries of a call: never a target where it has failed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use hobnob_balancer::{
    Balancer, BreakerConfig, Config, Layer, Layered, OVERPROVISIONING, Outcome, Strategy, Target,
};

fn targets(names: &[&str]) -> Vec<Target<usize>> {
    let target = |(item, name): (usize, &&str)| Target { id: (*name).into(), weight: 1, item };
    names.iter().enumerate().map(target).collect()
}

#[test]
fn every_strategy_tries_every_target_once() {
    let names = ["a", "b", "c", "d", "e"];
    let balancer = Balancer::new(Config::default());
    balancer.update(targets(&names));
    let mut picker = balancer.picker();
    for strategy in Strategy::ALL {
        let mut tried: Vec<Arc<str>> = Vec::new();
        while let Some(pick) = picker.pick_another(*strategy, Some(b"key"), &tried) {
            assert!(!tried.contains(pick.id()), "{strategy}");
            tried.push(pick.id().clone());
        }
        assert_eq!(tried.len(), names.len(), "{strategy}");
    }
}

#[test]
fn the_second_target_of_a_key_is_always_the_same_and_keys_spread_over_all() {
    let balancer = Balancer::new(Config::default());
    balancer.update(targets(&["a", "b", "c", "d", "e"]));
    let (mut one, mut other) = (balancer.picker(), balancer.picker());
    let mut seconds = BTreeSet::new();
    for key in 0..200_u32 {
        let key = key.to_le_bytes();
        let first = one.pick(Strategy::ConsistentHash, Some(&key)).expect("five targets");
        let tried = [first.id().clone()];
        let second = |picker: &mut hobnob_balancer::Picker<usize>| {
            let pick = picker.pick_another(Strategy::ConsistentHash, Some(&key), &tried);
            *pick.expect("four targets are left").item()
        };
        let (here, there) = (second(&mut one), second(&mut other));
        assert_eq!(here, there);
        seconds.insert(here);
    }
    assert_eq!(seconds.len(), 5);
}

#[test]
fn open_circuits_are_not_tried() {
    let breaker = BreakerConfig { failure_threshold: 1, ..Default::default() };
    let balancer = Balancer::new(Config { breaker: Some(breaker), ..Config::default() });
    balancer.update(targets(&["a", "b", "c"]));
    balancer.advance(Duration::from_secs(1));
    let mut picker = balancer.picker();
    let failed = picker.pick(Strategy::RoundRobin, None).expect("three targets");
    let failed_id = failed.id().clone();
    failed.complete(Outcome::Failure, Duration::ZERO);
    let healthy = picker.pick(Strategy::RoundRobin, None).expect("two targets");
    let tried = [healthy.id().clone()];
    for _ in 0..20 {
        let pick = picker.pick_another(Strategy::RoundRobin, None, &tried).expect("one is left");
        assert!(*pick.id() != failed_id && *pick.id() != tried[0]);
    }
}

#[test]
fn a_wait_that_is_given_up_raises_the_latency_and_nothing_else() {
    let breaker = BreakerConfig { failure_threshold: 1, ..Default::default() };
    let balancer = Balancer::new(Config { breaker: Some(breaker), ..Config::default() });
    balancer.update(targets(&["a"]));
    balancer.advance(Duration::from_secs(1));
    let mut picker = balancer.picker();
    let mut pick = || picker.pick(Strategy::PeakEwma, None).expect("its circuit is closed");
    let millis = Duration::from_millis;
    pick().complete(Outcome::Success, millis(10));
    for (waited, expected) in [(5, 10), (200, 200)] {
        pick().give_up(millis(waited));
        let snapshot = balancer.snapshot();
        let latency = snapshot.instances()[0].latency().expect("it has answered");
        assert!(latency.abs_diff(millis(expected)) < millis(1), "{latency:?}");
    }
    assert_eq!(
        (balancer.report().targets[0].failures, balancer.report().targets[0].in_flight),
        (0, 0)
    );
}

#[test]
fn a_retry_goes_on_to_a_farther_layer_when_the_near_one_was_tried() {
    let layer = |region: &str, distance, names: &[&str]| Layer {
        region: region.into(),
        distance,
        own_zone: false,
        targets: targets(names),
        total: 1,
    };
    let layered = Arc::new(Layered::new(&Config::default(), OVERPROVISIONING));
    layered.update(vec![layer("near", 0, &["n"]), layer("far", 1, &["f"])]);
    let mut picker = layered.picker();
    let first = picker.pick(Strategy::RoundRobin, None).expect("two layers");
    assert_eq!(&**first.id(), "n");
    let second = picker.pick_another(Strategy::RoundRobin, None, &["n".into()]);
    assert_eq!(&**second.expect("the far one is left").id(), "f");
    assert!(picker.pick_another(Strategy::RoundRobin, None, &["n".into(), "f".into()]).is_none());
}
