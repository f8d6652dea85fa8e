//! A model of merge, tombstones and garbage collection, checked in every state that it can reach.
//!
//! An origin writes and deletes, collects garbage and starts new epochs whenever it likes; others replicate it. Their
//! catalogs are the real ones. The network is the worst that there can be: whatever anybody could have told anybody, at
//! any time so far, may arrive at anybody now, any number of times, in any order, or never. Beside the replicas that are
//! followed there are any number of others: what follows from the origin's doings for them is told too.

mod names;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hobnob_membership::catalog::{Catalog, Replica};
use hobnob_membership::record::{Balancing, Key, NodeRecord, ServiceRecord, Value};
use hobnob_membership::{Epoch, NodeId};
use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

use names::{Name, Names, World};

#[cfg(feature = "mutants")]
use hobnob_membership::Mutant;

const ORIGIN: NodeId = NodeId(1);
/// The others are alike, so that it does not matter which of them is in which state.
const OTHERS: NodeId = NodeId(2);
const KEYS: usize = 2;

/// What the origin does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    /// A key gets a value that no key had before.
    Put(usize),
    /// A key is deleted.
    Delete(usize),
    /// All of these in one step: so many values, one after the other, of one key.
    #[cfg(feature = "mutants")]
    PutOften(usize, usize),
    /// A new epoch begins with the records that there are.
    Raise,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    script: usize,
    /// How much of its script the origin has done.
    done: usize,
    /// What it did: each write has a number, from 1, and is a put or a deletion of a key.
    writes: Vec<(usize, bool)>,
    /// For each epoch, the version of its records that stands for the write 0.
    zeros: Vec<i64>,
    origin: Name,
    world: Name,
    replicas: Vec<Seen>,
}

/// A replica and what its readers saw.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Seen {
    catalog: Name,
    /// For each key the number of the latest write that readers know to be done; deletions are known by their effect.
    latest: [usize; KEYS],
    /// A reader was shown a write older than one that it knew to be done.
    went_back: bool,
    /// A reader was shown a record that it knew to be deleted.
    returned: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Act,
    Collect { floor: u64 },
    Deliver { delta: Name, to: usize },
}

struct Gossip {
    scripts: Vec<Vec<Act>>,
    /// Replicas that are followed, beside the origin.
    others: usize,
    names: Mutex<Names>,
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
}

fn key(n: usize) -> Key {
    Key::Service(format!("k{n}").into())
}

/// The value that the `n`th write gives to a key.
fn value(n: usize) -> Value {
    Value::Service(Arc::new(ServiceRecord {
        service: "s".into(),
        namespace: "n".into(),
        address: "a".into(),
        port: u16::try_from(n).expect("few writes"),
        tags: Default::default(),
        meta: Default::default(),
        weight: 1,
        checked: false,
        balancing: Balancing::default(),
    }))
}

fn served(catalog: &Catalog) -> Option<&Replica> {
    catalog.origin(ORIGIN)?.current()
}

/// The number of the write whose value a key has.
fn live(replica: Option<&Replica>, n: usize) -> Option<usize> {
    match replica?.get(&key(n)) {
        Some(Value::Service(service)) => Some(service.port.into()),
        _ => None,
    }
}

impl Gossip {
    fn new(scripts: Vec<Vec<Act>>, others: usize) -> Self {
        Self {
            scripts,
            others,
            names: Mutex::default(),
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        #[cfg(feature = "mutants")]
        Mutant::activate(self.mutant);
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The origin does something.
    fn act(&self, state: &mut State, act: Act) {
        let mut names = self.names();
        let mut origin = names.catalogs.get(state.origin).clone();
        let mut write = |key_of: usize, puts: &[bool]| {
            let mut records = Vec::new();
            for put in puts {
                state.writes.push((key_of, *put));
                records.push((key(key_of), put.then(|| value(state.writes.len()))));
            }
            origin.write(records).expect("it is within its limits");
        };
        match act {
            Act::Put(key) => write(key, &[true]),
            Act::Delete(key) => write(key, &[false]),
            #[cfg(feature = "mutants")]
            Act::PutOften(key, times) => write(key, &vec![true; times]),
            Act::Raise => {
                origin.raise_epoch(origin.epoch().next());
                let version = served(&origin).map_or(0, Replica::known_to);
                state.zeros.push(version as i64 - state.writes.len() as i64);
            }
        }
        state.done += 1;
        self.set_origin(&mut names, state, origin);
    }

    fn set_origin(&self, names: &mut Names, state: &mut State, origin: Catalog) {
        state.origin = names.catalogs.name(origin);
        state.world = names.advance(state.world, state.origin);
    }
}

impl State {
    /// The latest write up to a version of an epoch that is of a key, and whether it is a put.
    fn latest(&self, replica: &Replica, version: u64, key: usize) -> Option<(usize, bool)> {
        let zero = self.zeros[(replica.epoch().0 - 1) as usize];
        let number = usize::try_from(version as i64 - zero).unwrap_or(0);
        let upto = &self.writes[..number.min(self.writes.len())];
        let found = upto.iter().enumerate().rfind(|(_, (of, _))| *of == key);
        found.map(|(index, (_, put))| (index + 1, *put))
    }

    /// Shows the readers of a replica what it serves now.
    fn show(&self, names: &Names, seen: &mut Seen) {
        let Some(replica) = names.served(seen.catalog) else { return };
        for n in 0..KEYS {
            let before = seen.latest[n];
            let now = match live(Some(replica), n) {
                Some(number) => {
                    seen.returned |= before > number && !self.writes[before - 1].1;
                    number
                }
                None => {
                    // A record that was there is deleted: by the first deletion after it at least.
                    let deletes = |index: &usize| self.writes[*index] == (n, false);
                    let was_live = before > 0 && self.writes[before - 1].1;
                    let after = (before..self.writes.len()).find(deletes).filter(|_| was_live);
                    // What is collected is known to be deleted, also by who never saw a tombstone.
                    let collected = self.latest(replica, replica.gc_floor(), n);
                    let collected =
                        collected.filter(|(_, put)| !put).map_or(0, |(number, _)| number);
                    after.map_or(before, |index| index + 1).max(collected)
                }
            };
            seen.went_back |= now < before;
            seen.latest[n] = before.max(now);
        }
    }

    /// Whether a settled replica has each key at least as its origin had it when it was as far.
    fn is_whole(&self, replica: &Replica) -> bool {
        (0..KEYS).all(|n| {
            match (live(Some(replica), n), self.latest(replica, replica.known_to(), n)) {
                (Some(number), Some((latest, _))) => number >= latest,
                (Some(_), None) | (None, None) => true,
                // Absent is right after a deletion, be it one that was heard of beyond a gap.
                (None, Some((latest, put))) => !put || self.writes[latest..].contains(&(n, false)),
            }
        })
    }
}

impl Model for Gossip {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut names = self.names();
        let mut origin = Catalog::new(ORIGIN, Epoch(1));
        let node = NodeRecord {
            name: "o".into(),
            datacenter: "d".into(),
            zone: "".into(),
            software: "s".into(),
            instance_key_hash: 0,
            left: None,
        };
        origin.write(vec![(Key::Node, Some(Value::Node(Arc::new(node))))]).expect("valid");
        let catalog = names.catalogs.name(Catalog::new(OTHERS, Epoch(1)));
        let nothing = Seen { catalog, latest: [0; KEYS], went_back: false, returned: false };
        let world = World::of(catalog);
        let world = names.worlds.name(world);
        let state = |script| {
            let replicas = vec![nothing.clone(); self.others];
            let mut state = State {
                script,
                done: 0,
                writes: Vec::new(),
                zeros: vec![1],
                origin: 0,
                world,
                replicas,
            };
            self.set_origin(&mut names, &mut state, origin.clone());
            state
        };
        (0..self.scripts.len()).map(state).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let names = self.names();
        if state.done < self.scripts[state.script].len() {
            actions.push(Action::Act);
        }
        if let Some(own) = names.served(state.origin)
            && own.tombstones() > 0
        {
            let floors = own.gc_floor() + 1..=own.known_to();
            actions.extend(floors.map(|floor| Action::Collect { floor }));
        }
        for &delta in &names.worlds.get(state.world).told {
            actions.extend((0..self.others).map(|to| Action::Deliver { delta, to }));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        match action {
            Action::Act => {
                let mut state = last.clone();
                self.act(&mut state, self.scripts[last.script][last.done]);
                Some(state)
            }
            Action::Collect { floor } => {
                let mut names = self.names();
                let mut origin = names.catalogs.get(last.origin).clone();
                let before = served(&origin).map(Replica::tombstones);
                origin.raise_gc_floor(floor);
                if served(&origin).map(Replica::tombstones) == before {
                    return None;
                }
                let mut state = last.clone();
                self.set_origin(&mut names, &mut state, origin);
                Some(state)
            }
            Action::Deliver { delta, to } => {
                let mut names = self.names();
                let catalog = names.apply(last.replicas[to].catalog, delta);
                if catalog == last.replicas[to].catalog {
                    return None;
                }
                let mut state = last.clone();
                let mut seen = Seen { catalog, ..state.replicas[to].clone() };
                state.show(&names, &mut seen);
                state.replicas[to] = seen;
                state.replicas.sort_unstable();
                Some(state)
            }
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn each(model: &Gossip, state: &State, holds: impl Fn(&Replica) -> bool) -> bool {
            let names = model.names();
            let catalogs = state.replicas.iter().map(|seen| seen.catalog).chain([state.origin]);
            let mut replicas = catalogs.filter_map(|name| names.served(name));
            replicas.all(holds)
        }
        vec![
            Property::always("no deleted record returns", |_, state: &State| {
                state.replicas.iter().all(|seen| !seen.returned)
            }),
            Property::always("versions never go back", |_, state: &State| {
                state.replicas.iter().all(|seen| !seen.went_back)
            }),
            Property::always("gc_floor <= known_to", |model, state| {
                each(model, state, |replica| replica.gc_floor() <= replica.known_to())
            }),
            Property::always("who is settled misses nothing", |model, state| {
                each(model, state, |replica| !replica.is_settled() || state.is_whole(replica))
            }),
            Property::always(
                "repair makes all equal, from wherever they are",
                |model: &Gossip, state: &State| {
                    let mut names = model.names();
                    state.replicas.iter().all(|seen| names.heals(seen.catalog, state.origin))
                },
            ),
            Property::sometimes(
                "a floor rises above what somebody knows",
                |model: &Gossip, state: &State| {
                    let names = model.names();
                    let floor = names.served(state.origin).map(Replica::gc_floor);
                    let known = |name: Name| names.served(name).map(Replica::known_to);
                    state
                        .replicas
                        .iter()
                        .any(|seen| known(seen.catalog).is_some_and(|k| Some(k) < floor))
                },
            ),
            Property::sometimes("all are equal in the end", |model: &Gossip, state: &State| {
                let names = model.names();
                let head = |name: Name| names.catalogs.get(name).head(ORIGIN);
                let last = state.done == model.scripts[state.script].len();
                last && state.replicas.iter().all(|seen| head(seen.catalog) == head(state.origin))
            }),
        ]
    }

    fn format_action(&self, action: &Action) -> String {
        match action {
            Action::Deliver { delta, to } => {
                format!("deliver to {to}: {:?}", self.names().deltas.get(*delta))
            }
            other => format!("{other:?}"),
        }
    }
}

/// Every way to write or delete some of the keys so many times, of which the first key is the first that is written.
fn all_scripts(len: usize) -> Vec<Vec<Act>> {
    let mut scripts = vec![vec![Act::Put(0)]];
    for _ in 1..len {
        let longer = scripts.iter().flat_map(|script| {
            let is_live = |key| {
                let last = script
                    .iter()
                    .rfind(|act| matches!(act, Act::Put(k) | Act::Delete(k) if *k == key));
                matches!(last, Some(Act::Put(_)))
            };
            let puts = (0..KEYS).map(Act::Put);
            let next = puts.chain((0..KEYS).filter(|key| is_live(*key)).map(Act::Delete));
            let next: Vec<Act> = next.collect();
            next.into_iter().map(|act| [&script[..], &[act]].concat())
        });
        scripts = longer.collect();
    }
    scripts
}

fn explore(model: Gossip) -> impl Checker<Gossip> {
    // One thread, so that names are given in the same order each time.
    model.checker().threads(1).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join()
}

/// The properties that do not hold, each with a story that shows it.
fn failures(checker: &impl Checker<Gossip>) -> Vec<String> {
    let model = checker.model();
    let is_failure =
        |name: &'static str| model.property(name).expectation != Expectation::Sometimes;
    let found = checker.discoveries().into_iter().filter(|(name, _)| is_failure(name));
    let story = found.map(|(name, path)| {
        let state = format!("{:?}", path.last_state());
        let actions: Vec<String> =
            path.into_actions().iter().map(|action| model.format_action(action)).collect();
        format!("{name}:\n{}\n{state}", actions.join("\n"))
    });
    story.collect()
}

fn check(scripts: Vec<Vec<Act>>, others: usize) {
    let checker = explore(Gossip::new(scripts, others));
    println!("{} transitions, {} states", checker.state_count(), checker.unique_state_count());
    let failures = failures(&checker);
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    checker.assert_properties();
}

#[test]
fn every_history_of_two_writes_on_three_replicas() {
    check(all_scripts(2), 2);
}

#[test]
fn every_history_of_three_writes() {
    check(all_scripts(3), 1);
}

#[test]
fn a_new_epoch_in_the_middle() {
    check(vec![vec![Act::Put(0), Act::Delete(0), Act::Raise, Act::Put(1)]], 2);
    check(vec![vec![Act::Put(0), Act::Raise, Act::Delete(0), Act::Put(0)]], 1);
}

/// A state with a record that was deleted and written again since, and one that hides the deletion, were mixed once.
#[test]
fn a_record_that_is_deleted_and_written_again() {
    check(vec![vec![Act::Put(0), Act::Delete(0), Act::Put(1), Act::Put(0)]], 1);
}

/// Every history of four writes takes minutes.
#[test]
#[ignore = "takes minutes"]
fn every_history_of_four_writes() {
    check(all_scripts(4), 1);
}

/// The bugs that can be switched on in what the model is made of, and that show in so short a history.
#[cfg(feature = "mutants")]
const MUTANTS: [Mutant; 5] = [
    Mutant::ForgetTombstones,
    Mutant::SuffixBelowFloor,
    Mutant::SeenBeforeApplied,
    Mutant::KnownOverGap,
    Mutant::MergeByArrival,
];

#[cfg(feature = "mutants")]
#[test]
fn bugs_of_the_catalog_are_found() {
    let forgotten = vec![Act::Put(0), Act::Delete(0), Act::PutOften(1, 5), Act::Put(1)];
    for mutant in MUTANTS {
        let scripts = if mutant == Mutant::ForgetTombstones {
            vec![forgotten.clone()]
        } else {
            all_scripts(3)
        };
        let mut model = Gossip::new(scripts, 1);
        model.mutant = Some(mutant);
        let failures = failures(&explore(model));
        println!("{mutant:?}: {}", failures.first().map_or("not found", String::as_str));
        assert!(!failures.is_empty(), "{mutant:?} was not found");
    }
}
