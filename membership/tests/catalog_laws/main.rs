//! The laws of the catalog's merge, on histories of a real origin, cut into deltas in every way in which the system
//! cuts them, then delivered in any order, more than once or not at all.

mod examples;
mod origin;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hobnob_membership::catalog::{Applied, Catalog, Delta, Head, Replica, Standing, Version, Want};
use hobnob_membership::limits::MAX_FRAME_BYTES;
use hobnob_membership::record::{Health, Key, NodeRecord, Value};
use hobnob_membership::testing::record;
use hobnob_membership::{Epoch, NodeId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use origin::Origin;

const ORIGIN: NodeId = NodeId(1);
const REPLICAS: usize = 3;
/// The bytes of an origin that one datagram carries.
const RUMOR_BUDGET: usize = 1_384;

fn node_value(generation: u64) -> Value {
    Value::Node(Arc::new(NodeRecord { name: format!("origin-{generation}").into(), ..record(0) }))
}

fn key(n: u8) -> Key {
    Key::Health(format!("k{n}").into())
}

fn value(n: u8) -> Value {
    Value::Health([Health::Unknown, Health::Passing, Health::Failing][usize::from(n) % 3])
}

/// Something that the origin does.
#[derive(Clone, Debug)]
enum Act {
    /// Writes or deletes some of a few keys, in one step.
    Write(Vec<(u8, Option<u8>)>),
    /// Writes many keys and deletes them again: this is what makes tombstones be collected.
    Churn { keys: u16, in_one_step: bool },
    /// Ends, and starts again in a new epoch with the records that it had.
    Restart,
    /// Takes a higher epoch while it runs.
    Raise,
}

/// Something that happens.
#[derive(Clone, Debug)]
enum Step {
    Act(Act),
    /// A delta that was ever sent arrives, perhaps late, perhaps again.
    Deliver {
        to: usize,
        which: Index,
    },
    /// A replica sees the origin as an active member, or no longer.
    Lives {
        by: usize,
        lives: bool,
    },
    /// A replica drops the records of the origin, if it is dead as far as it knows.
    Reap(usize),
    /// An operator says at a replica that the origin is dead.
    ForceLeave(usize),
    /// A replica asks the origin (0) or another replica for what it lacks, and gets a part of the answer.
    Pull {
        by: usize,
        from: usize,
        budget: usize,
        arrives: u8,
        backwards: bool,
    },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => vec((0..8_u8, proptest::option::weighted(0.7, 0..3_u8)), 1..6).prop_map(Act::Write),
        2 => (100..320_u16, any::<bool>())
            .prop_map(|(keys, in_one_step)| Act::Churn { keys, in_one_step }),
        1 => Just(Act::Restart),
        1 => Just(Act::Raise),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => act().prop_map(Step::Act),
        6 => (0..REPLICAS, any::<Index>()).prop_map(|(to, which)| Step::Deliver { to, which }),
        2 => (0..REPLICAS, any::<bool>()).prop_map(|(by, lives)| Step::Lives { by, lives }),
        2 => (0..REPLICAS).prop_map(Step::Reap),
        1 => (0..REPLICAS).prop_map(Step::ForceLeave),
        6 => (0..REPLICAS, 0..=REPLICAS, prop_oneof![60..400_usize, Just(RUMOR_BUDGET)], any::<u8>(), any::<bool>())
            .prop_map(|(by, from, budget, arrives, backwards)| Step::Pull { by, from, budget, arrives, backwards }),
    ]
}

fn served(catalog: &Catalog) -> Option<&Replica> {
    catalog.origin(ORIGIN)?.current()
}

fn live(catalog: &Catalog) -> BTreeMap<Key, Value> {
    let slots = served(catalog).into_iter().flat_map(Replica::slots);
    slots.filter_map(|slot| Some((slot.key().clone(), slot.value()?.clone()))).collect()
}

/// A replica, and what it served before.
struct Observed {
    catalog: Catalog,
    /// Whether it takes the origin for an active member.
    lives: bool,
    epoch: Epoch,
    /// The newest version of each key that was served in this epoch, and whether the key lived.
    seen: BTreeMap<Key, (Version, bool)>,
}

impl Observed {
    fn new(id: u64) -> Self {
        Self {
            catalog: Catalog::new(NodeId(id), Epoch(1)),
            lives: true,
            epoch: Epoch(0),
            seen: BTreeMap::new(),
        }
    }

    fn apply(&mut self, delta: &Delta, origin: &Origin) {
        delta.validate().expect("an honest delta");
        self.catalog.apply(delta, Standing::of_member(self.lives));
        self.check(origin);
    }

    fn set_lives(&mut self, lives: bool) {
        self.lives = lives;
        self.catalog.set_lives(ORIGIN, lives);
    }

    fn reap(&mut self) {
        if !self.lives {
            self.catalog.reap(ORIGIN);
            assert!(served(&self.catalog).is_none());
        }
    }

    fn check(&mut self, origin: &Origin) {
        let Some(replica) = served(&self.catalog) else {
            let dropped = self.epoch == Epoch(0) || self.catalog.origin_tombstone(ORIGIN).is_some();
            assert!(dropped, "what was served is served no more");
            return;
        };
        assert!(replica.epoch() >= self.epoch, "the epoch fell");
        assert!(replica.gc_floor() <= replica.known_to(), "the floor is above what is known");
        let epoch = replica.epoch();
        if epoch > self.epoch {
            self.epoch = epoch;
            self.seen.clear();
        }
        for key in &origin.beginnings[&epoch] {
            assert!(
                replica.get(key).is_some() || origin.was_deleted(epoch, key),
                "{key:?} of the beginning of the epoch is not served"
            );
        }
        let deletions = origin.deletions(epoch);
        for slot in replica.slots() {
            let (key, at) = (slot.key(), slot.version());
            let written = &origin.history[&(epoch, at)];
            assert_eq!((key, slot.value()), (&written.0, written.1.as_ref()), "never written");
            let deleted_for_good = deletions[key].is_some_and(|at| at <= replica.known_to());
            assert!(
                slot.value().is_none() || !deleted_for_good,
                "{key:?} is served although its deletion is known"
            );
            if let Some((version, lived)) = self.seen.get(key) {
                assert!(at >= *version, "{key:?} went back to an older version");
                assert!(
                    at > *version || *lived || slot.value().is_none(),
                    "{key:?} returned after its deletion"
                );
            }
        }
        for (key, (_, lived)) in &mut self.seen {
            *lived &= replica.get(key).is_some();
        }
        let slots =
            replica.slots().map(|slot| (slot.key(), slot.version(), slot.value().is_some()));
        for (key, version, lives) in slots {
            self.seen.insert(key.clone(), (version, lives));
        }
    }
}

/// The answers to a want, as a pull and a session make them.
fn answers(answerer: &Catalog, mut want: Want, budget: usize, most: usize) -> Vec<Delta> {
    let mut deltas = Vec::new();
    while deltas.len() < most
        && let Some(delta) = answerer.answer(&want, budget)
    {
        assert!((delta.epoch, delta.to) > (want.epoch, want.after) || delta.after == 0);
        want = Want { epoch: delta.epoch, after: delta.to, gc_floor: delta.gc_floor, ..want };
        deltas.push(delta);
    }
    deltas
}

/// The answers to all that a replica asks for: the first that there are.
fn all_answers(answerer: &Catalog, asker: &Catalog, budget: usize, most: usize) -> Vec<Delta> {
    let wants = asker.wants(ORIGIN).map(|want| answers(answerer, want, budget, most));
    wants.into_iter().find(|answers| !answers.is_empty()).unwrap_or_default()
}

/// Lets everybody ask everybody until nothing changes anywhere. The origin is the first of those that are asked, unless
/// it is dead. It is told its origin tombstones and may take a new epoch, which the replicas have yet to ask for.
fn exchange_until_quiet(replicas: &mut [Observed], origin: &mut Origin, dead: bool) {
    let held = |replicas: &[Observed], origin: &Origin| -> Vec<Catalog> {
        let replicas = replicas.iter().map(|replica| &replica.catalog);
        replicas.chain([&origin.catalog]).cloned().collect()
    };
    for _ in 0..20 {
        let before = held(replicas, origin);
        for by in 0..replicas.len() {
            for from in usize::from(dead)..=replicas.len() {
                let answerer =
                    if from == 0 { &origin.catalog } else { &replicas[from - 1].catalog };
                let answers =
                    all_answers(answerer, &replicas[by].catalog, MAX_FRAME_BYTES, usize::MAX);
                for delta in answers {
                    replicas[by].apply(&delta, origin);
                }
            }
            if !dead {
                origin.hear_of(&replicas[by].catalog);
            }
        }
        if before == held(replicas, origin) {
            return;
        }
    }
    panic!("never quiet");
}

/// All hold the same, or its origin_tombstone, of an origin that does not answer.
fn assert_agreed(replicas: &[Observed]) {
    let first = &replicas[0].catalog;
    for replica in replicas {
        assert_eq!(replica.catalog.head(ORIGIN), first.head(ORIGIN));
        assert_eq!(replica.catalog.digest(), first.digest());
    }
    let served: Vec<_> = replicas.iter().filter(|r| served(&r.catalog).is_some()).collect();
    for pair in served.windows(2) {
        assert_eq!(live(&pair[0].catalog), live(&pair[1].catalog));
    }
}

fn assert_converged(replicas: &[Observed], origin: &Origin) {
    for replica in replicas {
        assert_eq!(live(&replica.catalog), origin.live());
        assert_eq!(replica.catalog.digest(), origin.catalog.digest());
        assert_eq!(replica.catalog.head(ORIGIN), origin.catalog.head(ORIGIN));
    }
}

fn run(steps: Vec<Step>, dies: Option<bool>) {
    let mut origin = Origin::new();
    let mut replicas: Vec<Observed> = (0..REPLICAS as u64).map(|n| Observed::new(10 + n)).collect();
    let mut sent: Vec<Delta> = origin.rumors.clone();
    for step in steps {
        match step {
            Step::Act(act) => {
                let rumors = origin.rumors.len();
                origin.act(act);
                sent.extend_from_slice(&origin.rumors[rumors..]);
            }
            Step::Deliver { to, which } => {
                if !sent.is_empty() {
                    replicas[to].apply(which.get(&sent), &origin);
                }
            }
            Step::Lives { by, lives } => replicas[by].set_lives(lives),
            Step::Reap(by) => replicas[by].reap(),
            Step::ForceLeave(by) => {
                if !replicas[by].lives {
                    sent.extend(replicas[by].catalog.force_leave(ORIGIN).map(|(delta, _)| delta));
                }
            }
            Step::Pull { by, from, budget, arrives, backwards } => {
                let answerer =
                    if from == 0 { &origin.catalog } else { &replicas[from - 1].catalog };
                let mut deltas = all_answers(answerer, &replicas[by].catalog, budget, 8);
                sent.extend_from_slice(&deltas);
                if backwards {
                    deltas.reverse();
                }
                for (n, delta) in deltas.iter().enumerate() {
                    if arrives & (1 << n) != 0 {
                        replicas[by].apply(delta, &origin);
                    }
                }
            }
        }
    }
    if let Some(reaped) = dies {
        // One survivor knows all that the origin ever said, and may have dropped it; that is enough.
        replicas[0].set_lives(true);
        exchange_until_quiet(&mut replicas[..1], &mut origin, false);
        replicas.iter_mut().for_each(|replica| replica.set_lives(false));
        if reaped {
            replicas[0].reap();
        }
        exchange_until_quiet(&mut replicas, &mut origin, true);
        assert_agreed(&replicas);
    }
    replicas.iter_mut().for_each(|replica| replica.set_lives(true));
    exchange_until_quiet(&mut replicas, &mut origin, false);
    assert_converged(&replicas, &origin);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replicas_keep_every_promise_and_converge(steps in vec(step(), 1..60), dies in any::<Option<bool>>()) {
        run(steps, dies);
    }

    #[test]
    fn every_order_and_repetition_of_all_rumors_ends_in_the_same_state(
        acts in vec(act(), 1..8),
        order in vec(any::<Index>(), 0..200),
        other_order in vec(any::<Index>(), 0..200),
    ) {
        let mut origin = Origin::new();
        for act in acts {
            // One rumor for each write: an order may leave more gaps open than a replica holds.
            if !matches!(act, Act::Churn { in_one_step: false, .. }) {
                origin.act(act);
            }
        }
        let mut replicas = [Observed::new(10), Observed::new(11)];
        for (replica, order) in replicas.iter_mut().zip([order, other_order]) {
            for which in order {
                replica.apply(which.get(&origin.rumors), &origin);
            }
        }
        let backwards: Vec<&Delta> = origin.rumors.iter().rev().collect();
        for delta in &origin.rumors {
            replicas[0].apply(delta, &origin);
        }
        for delta in backwards {
            replicas[1].apply(delta, &origin);
        }
        assert_converged(&replicas, &origin);
    }

    #[test]
    fn merging_replicas_groups_and_repeats_as_it_likes(
        acts in vec(act(), 1..10),
        parts in vec(vec(any::<Index>(), 0..30), 3),
    ) {
        let mut origin = Origin::new();
        for act in acts {
            origin.act(act);
        }
        let replicas = |origin: &Origin| -> Vec<Observed> {
            let replica = |(n, part): (usize, &Vec<Index>)| {
                let mut replica = Observed::new(10 + n as u64);
                for which in part {
                    replica.apply(which.get(&origin.rumors), origin);
                }
                replica
            };
            parts.iter().enumerate().map(replica).collect()
        };
        // a with (b with c), (a with b) with c, and all of it twice, each with the origin at the end.
        for grouping in [[[1, 2], [0, 1]], [[0, 1], [1, 2]]] {
            for repeat in 1..=2 {
                let mut replicas = replicas(&origin);
                for [a, b] in (0..repeat).flat_map(|_| grouping) {
                    for (by, from) in [(a, b), (b, a)] {
                        let want = replicas[by].catalog.want(ORIGIN);
                        let deltas = answers(&replicas[from].catalog, want, 300, usize::MAX);
                        for delta in deltas {
                            replicas[by].apply(&delta, &origin);
                        }
                    }
                }
                exchange_until_quiet(&mut replicas, &mut origin, false);
                assert_converged(&replicas, &origin);
            }
        }
    }
}
