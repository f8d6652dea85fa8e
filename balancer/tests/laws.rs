//! Laws of the balancer that hold for every set of targets.

use hobnob_balancer::{
    Alias, Balancer, Config, MAX_TARGETS, Maglev, Outcome, Rendezvous, Ring, Roster, Snapshot,
    Strategy, Target,
};
use proptest::{collection::btree_map, prelude::*};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

type Weights = BTreeMap<String, u32>;

fn targets(weights: &Weights) -> Vec<Target<()>> {
    weights
        .iter()
        .map(|(id, &weight)| Target { id: id.as_str().into(), weight, item: () })
        .collect()
}

fn balancer(weights: &Weights) -> Arc<Balancer<()>> {
    let balancer = Arc::new(Balancer::new(Config::default()));
    balancer.update(targets(weights));
    balancer
}

fn named(count: usize, weight: impl Fn(usize) -> u32) -> Weights {
    (0..count).map(|i| (format!("i-{i:04}"), weight(i))).collect()
}

fn tables(snapshot: &Snapshot<()>) -> (&Roster, &Alias, &Maglev, &Rendezvous, &Ring) {
    (snapshot.roster(), snapshot.alias(), snapshot.maglev(), snapshot.rendezvous(), snapshot.ring())
}

fn weights() -> impl proptest::strategy::Strategy<Value = Weights> {
    btree_map("[a-z]{1,6}", 1..20_u32, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_snapshot_depends_on_the_set_alone(set in weights(), history in weights(), rotate in 0..12_usize) {
        let direct = balancer(&set);
        let detour = balancer(&history);
        Strategy::ALL.iter().for_each(|&strategy| detour.prepare(strategy));
        let mut permuted = targets(&set);
        permuted.reverse();
        let length = permuted.len().max(1);
        permuted.rotate_left(rotate.min(length) % length);
        detour.update(permuted);
        let (direct, detour) = (direct.snapshot(), detour.snapshot());
        prop_assert_eq!(tables(&direct), tables(&detour));
    }

    #[test]
    fn one_pick_pickers_take_strict_turns(set in weights()) {
        let balancer = balancer(&set);
        let pick = || balancer.picker().pick(Strategy::RoundRobin, None).map(|pick| pick.id().to_string());
        let first = pick();
        let after = set.keys().cycle().skip_while(|id| Some(*id) != first.as_ref()).skip(1);
        for id in after.take(3 * set.len()) {
            let picked = pick();
            prop_assert_eq!(picked.as_ref(), Some(id));
        }
    }

    #[test]
    fn a_weighted_turn_gives_every_target_its_weight(set in weights(), pickers in 1..5_usize) {
        let balancer = balancer(&set);
        let mut pickers: Vec<_> = (0..pickers).map(|_| balancer.picker()).collect();
        let turn = balancer.snapshot().schedule().len();
        let mut counts = Weights::new();
        for pick in 0..turn.min(30) {
            let length = pickers.len();
            let pick = pickers[pick % length].pick(Strategy::Weighted, None).expect("there are targets");
            *counts.entry(pick.id().to_string()).or_default() += 1;
        }
        let total: u32 = set.values().sum();
        for (id, &weight) in &set {
            let fair = f64::from(weight) * turn.min(30) as f64 / f64::from(total.max(1));
            let got = f64::from(counts.get(id).copied().unwrap_or(0));
            prop_assert!((got - fair).abs() <= 2.0, "{} got {} of {}", id, got, fair);
        }
    }

    #[test]
    fn an_update_lets_the_turn_go_on(set in weights(), gone in "[a-z]{1,6}", picks in 0..30_usize) {
        let balancer = balancer(&set);
        let mut last = None;
        for _ in 0..picks {
            last = balancer.picker().pick(Strategy::RoundRobin, None).map(|pick| pick.id().to_string());
        }
        let mut changed = set.clone();
        changed.remove(&gone);
        changed.insert(gone, 1);
        balancer.update(targets(&changed));
        let next = balancer.picker().pick(Strategy::RoundRobin, None).map(|pick| pick.id().to_string());
        if let (Some(last), false) = (last, set.is_empty()) {
            let due = set.keys().find(|id| **id > last).or_else(|| set.keys().next()).cloned();
            prop_assert_eq!(next, due);
        }
    }

    #[test]
    fn picks_in_flight_are_counted_across_updates(set in weights(), strategy in 0..Strategy::ALL.len(), count in 1..50_usize) {
        prop_assume!(!set.is_empty());
        let balancer = balancer(&set);
        let strategy = Strategy::ALL[strategy];
        let mut picker = balancer.picker();
        let picks: Vec<_> = (0..count).filter_map(|i| picker.pick(strategy, Some(&[i as u8]))).collect();
        prop_assert_eq!(picks.len(), count);
        let in_flight = || balancer.snapshot().instances().iter().map(|i| i.in_flight() as usize).sum::<usize>();
        prop_assert_eq!(in_flight(), count);
        balancer.update(Vec::new());
        balancer.update(targets(&set));
        prop_assert_eq!(in_flight(), count);
        for (i, pick) in picks.into_iter().enumerate() {
            if i % 2 == 0 { pick.complete(Outcome::Success, Duration::from_millis(1)) } else { drop(pick) }
        }
        prop_assert_eq!(in_flight(), 0);
    }

    #[test]
    fn a_key_keeps_its_target(set in weights(), key in any::<Vec<u8>>()) {
        let (here, there) = (balancer(&set), balancer(&set));
        for &strategy in Strategy::ALL.iter().filter(|strategy| strategy.is_keyed()) {
            let pick = |balancer: &Arc<Balancer<()>>| {
                balancer.picker().pick(strategy, Some(&key)).map(|pick| pick.id().to_string())
            };
            prop_assert_eq!(pick(&here), pick(&there));
            let looked_up = here.snapshot().lookup(strategy, &key).map(|i| i.id().to_string());
            prop_assert_eq!(pick(&here), looked_up);
        }
    }
}

#[test]
fn no_targets_no_pick() {
    let balancer = balancer(&Weights::new());
    for &strategy in Strategy::ALL {
        assert!(balancer.picker().pick(strategy, Some(b"key")).is_none());
    }
}

#[test]
fn a_picker_sees_updates() {
    let balancer = balancer(&named(1, |_| 1));
    let mut picker = balancer.picker();
    assert!(picker.pick(Strategy::RoundRobin, None).is_some());
    balancer.update(Vec::new());
    assert!(picker.pick(Strategy::RoundRobin, None).is_none());
    balancer.update(targets(&named(2, |_| 1)));
    assert!(picker.pick(Strategy::RoundRobin, None).is_some());
}

#[test]
fn round_robin_over_a_million_picks_is_even() {
    let balancer = balancer(&named(100, |_| 1));
    let mut pickers: Vec<_> = (0..7).map(|_| balancer.picker()).collect();
    for pick in 0..1_000_000 {
        drop(pickers[pick % 7].pick(Strategy::RoundRobin, None));
    }
    let snapshot = balancer.snapshot();
    let picks = snapshot.instances().iter().map(|instance| instance.picks());
    let (min, max) = (picks.clone().min().unwrap_or(0), picks.max().unwrap_or(1));
    assert!(min as f64 / max as f64 >= 0.999, "{min} / {max}");
}

#[test]
fn least_connections_fills_the_gap() {
    let balancer = balancer(&named(2, |_| 1));
    let mut picker = balancer.picker();
    let first = picker.pick(Strategy::LeastConnections, None).expect("two targets");
    let second = picker.pick(Strategy::LeastConnections, None).expect("two targets");
    assert_ne!(first.id(), second.id());
    let gap = first.id().to_string();
    drop(first);
    let third = picker.pick(Strategy::LeastConnections, None).expect("two targets");
    assert_eq!(**third.id(), *gap);
}

#[test]
fn least_connections_respects_weights() {
    for count in [4, 40] {
        let balancer = balancer(&named(count, |i| if i % 2 == 0 { 1 } else { 3 }));
        let mut picker = balancer.picker();
        let picks: Vec<_> =
            (0..count * 20).filter_map(|_| picker.pick(Strategy::LeastConnections, None)).collect();
        for instance in balancer.snapshot().instances() {
            let fair = instance.weight() * 10;
            assert!(
                instance.in_flight().abs_diff(fair) <= 6,
                "{} has {}",
                instance.id(),
                instance.in_flight()
            );
        }
        drop(picks);
    }
}

#[test]
fn two_choices_keep_the_fullest_bin_near_the_mean() {
    for count in [10, 100, 1000] {
        let balancer = balancer(&named(count, |_| 1));
        let mut picker = balancer.picker();
        let picks: Vec<_> = (0..100 * count)
            .filter_map(|_| picker.pick(Strategy::LeastConnections, None))
            .collect();
        let fullest = balancer.snapshot().instances().iter().map(|i| i.in_flight()).max();
        assert!(fullest.is_some_and(|fullest| fullest <= 103), "{fullest:?} of {count}");
        drop(picks);
    }
}

#[test]
fn a_target_that_leaves_moves_few_keys_of_others() {
    let all = named(100, |_| 1);
    let before = balancer(&all).snapshot();
    let mut moved = 0.0;
    for gone in all.keys().step_by(10) {
        let mut rest = all.clone();
        rest.remove(gone);
        let after = balancer(&rest).snapshot();
        let slots = before.maglev().slots().iter().zip(after.maglev().slots());
        let ids = slots.map(|(&a, &b)| {
            (before.instances()[a as usize].id(), after.instances()[b as usize].id())
        });
        moved += ids.filter(|(a, b)| a != b).count() as f64
            / (before.maglev().slots().len() as f64 / 100.0)
            / 10.0;
    }
    assert!(moved <= 1.6, "{moved} times the minimum moved");
}

#[test]
fn an_update_returns_its_changes() {
    let balancer = balancer(&named(3, |_| 1));
    let change = balancer.update(targets(&named(5, |_| 1)).split_off(1));
    assert_eq!((change.added, change.removed, change.refused), (2, 1, 0));
    let mut twice = targets(&named(2, |_| 1));
    twice.push(Target { id: "i-0000".into(), weight: 9, item: () });
    assert_eq!(balancer.update(twice).removed, 3);
    let weights: Vec<u32> =
        balancer.snapshot().instances().iter().map(|instance| instance.weight()).collect();
    assert_eq!(weights, [9, 1], "of targets with one id the last counts");
}

#[test]
fn targets_beyond_the_limit_are_refused() {
    let many =
        (0..MAX_TARGETS + 3).map(|i| Target { id: format!("{i:06}").into(), weight: 1, item: () });
    let balancer = Arc::new(Balancer::new(Config::default()));
    let change = balancer.update(many.collect());
    assert_eq!((change.added, change.refused), (MAX_TARGETS, 3));
    for strategy in [Strategy::Weighted, Strategy::LeastConnections, Strategy::ConsistentHash] {
        assert!(balancer.picker().pick(strategy, Some(b"key")).is_some(), "{strategy}");
    }
}
