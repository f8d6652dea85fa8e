//! Round robin is fair while targets come and go.

use std::{collections::BTreeMap, sync::Arc};

use hobnob_balancer::{Balancer, Config, Layered, OVERPROVISIONING, Picker, Strategy, Target};
use proptest::{collection::vec, prelude::*, strategy::Strategy as _};

/// The targets that stay, with their weights. Those that come and go stand between them and around them.
const STAYING: [(&str, u32); 4] = [("b", 1), ("d", 3), ("f", 1), ("h", 2)];
const CHANGING: [(&str, u32); 5] = [("a", 1), ("c", 2), ("e", 7), ("g", 1), ("i", 1)];

#[derive(Clone, Debug)]
enum Step {
    Pick { picker: usize, times: usize },
    Change { which: usize },
    Renew { picker: usize },
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_usize, 1..4_usize).prop_map(|(picker, times)| Step::Pick { picker, times }),
        1 => (0..3_usize, 1..400_usize).prop_map(|(picker, times)| Step::Pick { picker, times }),
        3 => (0..CHANGING.len()).prop_map(|which| Step::Change { which }),
        1 => (0..3_usize).prop_map(|picker| Step::Renew { picker }),
    ]
}

struct World {
    balancer: Arc<Balancer<()>>,
    weighted: bool,
    there: [bool; CHANGING.len()],
    picks: BTreeMap<String, u32>,
}

impl World {
    fn new(seed: u64, weighted: bool) -> Self {
        let balancer = Arc::new(Balancer::new(Config { seed, ..Config::default() }));
        let mut world =
            Self { balancer, weighted, there: Default::default(), picks: BTreeMap::new() };
        world.update();
        world
    }

    fn update(&mut self) {
        let changing = CHANGING.iter().zip(self.there).filter(|(_, there)| *there);
        let all = STAYING.iter().chain(changing.map(|(target, _)| target));
        let weight = |weight| if self.weighted { weight } else { 1 };
        let target =
            |&(id, of): &(&str, u32)| Target { id: id.into(), weight: weight(of), item: () };
        self.balancer.update(all.map(target).collect());
    }

    fn change(&mut self, which: usize) {
        self.there[which] = !self.there[which];
        self.update();
    }

    fn pick(&mut self, picker: &mut Picker<()>) {
        let strategy = if self.weighted { Strategy::Weighted } else { Strategy::RoundRobin };
        let pick = picker.pick(strategy, None).expect("there are targets");
        *self.picks.entry(pick.id().to_string()).or_default() += 1;
    }

    /// The turns of each target that stays: its picks over its weight.
    fn turns(&self) -> Vec<f64> {
        let turns = |(id, weight): &(&str, u32)| {
            let weight = if self.weighted { *weight } else { 1 };
            f64::from(self.picks.get(*id).copied().unwrap_or(0)) / f64::from(weight)
        };
        STAYING.iter().map(turns).collect()
    }
}

fn spread(turns: &[f64]) -> f64 {
    turns.iter().copied().fold(0.0, f64::max) - turns.iter().copied().fold(f64::MAX, f64::min)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn targets_that_stay_get_their_share_whatever_comes_and_goes(
        steps in vec(step(), 1..200),
        seed: u64,
        weighted: bool,
    ) {
        let mut world = World::new(seed, weighted);
        let mut pickers: Vec<_> = (0..3).map(|_| world.balancer.picker()).collect();
        let mut renewed = 0_u32;
        for step in steps {
            match step {
                Step::Pick { picker, times } => {
                    (0..times).for_each(|_| world.pick(&mut pickers[picker]));
                }
                Step::Change { which } => world.change(which),
                Step::Renew { picker } => {
                    pickers[picker] = world.balancer.picker();
                    renewed += 1;
                }
            }
        }
        // The turn that all pickers share, and one of its own for each picker.
        let bound = 2.0 + 3.0 + f64::from(renewed);
        prop_assert!(spread(&world.turns()) <= bound, "{:?}, renewed {renewed}", world.turns());
    }

    #[test]
    fn one_picker_misses_no_target_that_stays(
        steps in vec((1..4_usize, 0..CHANGING.len()), 1..200),
        before in 0..3_000_usize,
        seed: u64,
        weighted: bool,
    ) {
        let mut world = World::new(seed, weighted);
        let mut picker = world.balancer.picker();
        (0..before).for_each(|_| world.pick(&mut picker));
        for (times, which) in steps {
            (0..times).for_each(|_| world.pick(&mut picker));
            world.change(which);
            prop_assert!(spread(&world.turns()) <= 2.0, "{:?}", world.turns());
        }
    }
}

/// Four targets, and one that comes and goes between picks.
fn beside_one_that_flaps(strategy: Strategy, warm_up: usize) -> Vec<u64> {
    let balancer = Balancer::new(Config::default());
    let targets = |count: usize| {
        let target = |id: &&str| Target { id: (*id).into(), weight: 1, item: () };
        ["a", "b", "c", "d", "e"].iter().take(count).map(target).collect::<Vec<_>>()
    };
    balancer.update(targets(4));
    let mut picker = balancer.picker();
    (0..warm_up).for_each(|_| drop(picker.pick(strategy, None)));
    for pick in 0..1_000 {
        balancer.update(targets(if pick % 2 == 0 { 5 } else { 4 }));
        drop(picker.pick(strategy, None));
    }
    let snapshot = balancer.snapshot();
    snapshot.instances().iter().map(|instance| instance.picks()).collect()
}

#[test]
fn four_targets_are_picked_alike_beside_one_that_flaps() {
    for strategy in [Strategy::RoundRobin, Strategy::Weighted] {
        for warm_up in [0, 20, 2_000] {
            let picks = beside_one_that_flaps(strategy, warm_up);
            let (least, most) = (picks[..4].iter().min(), picks[..4].iter().max());
            assert!(
                most.zip(least).is_some_and(|(most, least)| most - least <= 2),
                "{strategy} {picks:?}"
            );
        }
    }
}

#[test]
fn turns_begin_where_the_seed_says() {
    for strategy in [Strategy::RoundRobin, Strategy::Weighted] {
        let mut first = [0_u32; 5];
        for seed in 0..1_000 {
            let balancer = Balancer::new(Config { seed, ..Config::default() });
            let target = |id: usize| Target { id: format!("{id}").into(), weight: 1, item: id };
            balancer.update((0..5).map(target).collect());
            let pick = balancer.picker().pick(strategy, None).expect("a target");
            first[*pick.item()] += 1;
        }
        assert!(first.iter().all(|&count| (140..=260).contains(&count)), "{strategy} {first:?}");
    }
}

#[test]
fn short_lived_pickers_of_layers_take_turns() {
    let layered = Arc::new(Layered::new(&Config::default(), OVERPROVISIONING));
    let target = |id: usize| Target { id: format!("{id}").into(), weight: 1, item: id };
    let layer = hobnob_balancer::Layer {
        region: "dc1".into(),
        distance: 0,
        own_zone: false,
        targets: (0..5).map(target).collect(),
        total: 5,
    };
    layered.update(vec![layer]);
    let mut picks = [0; 5];
    for _ in 0..500 {
        let pick = layered.picker().pick(Strategy::RoundRobin, None).expect("a target");
        picks[*pick.item()] += 1;
    }
    assert_eq!(picks, [100; 5]);
}
