//! The model: what may happen next, and what must hold.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hobnob_membership::catalog::{Catalog, Replica};
use hobnob_membership::record::{Key, NodeRecord, Support, Value};
use hobnob_membership::{Epoch, NodeId};
use stateright::{Model, Property};

#[cfg(feature = "mutants")]
use hobnob_membership::Mutant;

use super::history::{Act, History, ORIGIN, served};
use super::names::{Move, Name, Names, World};
use super::seen::Seen;

/// The others are alike, so that it does not matter which of them is in which state.
const OTHERS: NodeId = NodeId(2);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    script: usize,
    /// The number of acts of its script that the origin has done.
    done: usize,
    history: History,
    origin: Name,
    world: Name,
    replicas: Vec<Seen>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    Act,
    Collect { floor: u64 },
    Replica { number: usize, step: Move },
}

/// An origin that follows one of some scripts, and the replicas that are followed.
pub(crate) struct Gossip {
    scripts: Vec<Vec<Act>>,
    others: usize,
    drops: bool,
    names: Mutex<Names>,
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
}

impl Gossip {
    pub(crate) fn new(scripts: Vec<Vec<Act>>, others: usize) -> Self {
        Self {
            scripts,
            others,
            drops: false,
            names: Mutex::default(),
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// Replicas take the origin for dead and for alive as they like, and drop its records.
    pub(crate) fn with_origin_tombstones(self) -> Self {
        Self { drops: true, names: Mutex::new(Names::new(true)), ..self }
    }

    #[cfg(feature = "mutants")]
    pub(crate) fn with(self, mutant: Mutant) -> Self {
        Self { mutant: Some(mutant), ..self }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        #[cfg(feature = "mutants")]
        Mutant::activate(self.mutant);
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_origin(&self, names: &mut Names, state: &mut State, origin: Catalog) {
        state.origin = names.catalogs.name(origin);
        state.world = names.advance(state.world, state.origin);
    }

    fn each_served(&self, state: &State, holds: impl Fn(&Replica) -> bool) -> bool {
        let names = self.names();
        let catalogs = state.replicas.iter().map(|seen| seen.catalog).chain([state.origin]);
        let mut replicas = catalogs.filter_map(|name| names.served(name));
        replicas.all(holds)
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
            support: Support::OURS,
            certificate: Vec::new(),
            gateway: hobnob_membership::Gateway::Yes,
        };
        origin.write(vec![(Key::Node, Some(Value::Node(Arc::new(node))))]).expect("valid");
        let catalog = names.catalogs.name(Catalog::new(OTHERS, Epoch(1)));
        let world = names.worlds.name(World::of(catalog));
        let state = |script| {
            let mut state = State {
                script,
                done: 0,
                history: History::new(),
                origin: 0,
                world,
                replicas: vec![Seen::new(catalog); self.others],
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
        for step in names.moves(state.world) {
            actions.extend((0..self.others).map(|number| Action::Replica { number, step }));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut names = self.names();
        let mut state = last.clone();
        match action {
            Action::Act => {
                let mut origin = names.catalogs.get(last.origin).clone();
                state.history.act(&mut origin, self.scripts[last.script][last.done]);
                state.done += 1;
                self.set_origin(&mut names, &mut state, origin);
            }
            Action::Collect { floor } => {
                let mut origin = names.catalogs.get(last.origin).clone();
                let before = served(&origin).map(Replica::tombstones);
                origin.raise_gc_floor(floor);
                if served(&origin).map(Replica::tombstones) == before {
                    return None;
                }
                self.set_origin(&mut names, &mut state, origin);
            }
            Action::Replica { number, step } => {
                let seen = &last.replicas[number];
                let catalog = names.after(seen.catalog, step);
                if catalog == seen.catalog {
                    return None;
                }
                state.replicas[number] = seen.become_of(step, catalog, &names, &state.history);
                state.replicas.sort_unstable();
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let of_all = vec![
            Property::always("no deleted record returns", |_, state: &State| {
                state.replicas.iter().all(|seen| !seen.returned)
            }),
            Property::always("versions never go back", |_, state: &State| {
                state.replicas.iter().all(|seen| !seen.went_back)
            }),
            Property::always("gc_floor <= known_to", |model: &Self, state: &State| {
                model.each_served(state, |replica| replica.gc_floor() <= replica.known_to())
            }),
            Property::always("who is settled misses nothing", |model: &Self, state: &State| {
                let whole = |replica: &Replica| state.history.is_whole(replica);
                model.each_served(state, |replica| !replica.is_settled() || whole(replica))
            }),
            Property::always(
                "repair makes all equal, from wherever they are",
                |model: &Self, state: &State| {
                    let mut names = model.names();
                    state.replicas.iter().all(|seen| names.heals(seen.catalog, state.origin))
                },
            ),
            Property::sometimes("all are equal in the end", |model: &Self, state: &State| {
                let names = model.names();
                let head = |name: Name| names.catalogs.get(name).head(ORIGIN);
                let last = state.done == model.scripts[state.script].len();
                last && state.replicas.iter().all(|seen| head(seen.catalog) == head(state.origin))
            }),
            Property::sometimes(
                "a floor rises above what somebody knows",
                |model: &Self, state: &State| {
                    let names = model.names();
                    let floor = names.served(state.origin).map(Replica::gc_floor);
                    let known = |seen: &Seen| names.served(seen.catalog).map(Replica::known_to);
                    state.replicas.iter().any(|seen| known(seen).is_some_and(|k| Some(k) < floor))
                },
            ),
        ];
        let of_origin_tombstones = vec![
            Property::always("what was dropped does not return of the dead", |_, state: &State| {
                state.replicas.iter().all(|seen| !seen.rose)
            }),
            Property::always("nothing is dropped of the living", |_, state: &State| {
                state.replicas.iter().all(|seen| !seen.forsook)
            }),
            Property::always(
                "all who take the origin for dead agree",
                |model: &Self, state: &State| {
                    let mut names = model.names();
                    let held: Vec<Name> =
                        names.worlds.get(state.world).held.iter().copied().collect();
                    let mut agrees =
                        |seen: &Seen| held.iter().all(|it| names.agree(seen.catalog, *it));
                    state.replicas.iter().all(&mut agrees)
                },
            ),
            Property::sometimes("who was dropped is served again", |_, state: &State| {
                state.replicas.iter().any(|seen| seen.recovered)
            }),
        ];
        of_all.into_iter().chain(of_origin_tombstones.into_iter().filter(|_| self.drops)).collect()
    }

    fn format_action(&self, action: &Action) -> String {
        match action {
            Action::Replica { number, step: Move::Hear { delta, lives } } => {
                let lives = if *lives { "alive" } else { "dead" };
                format!(
                    "{number}, to whom it is {lives}, hears {:?}",
                    self.names().deltas.get(*delta)
                )
            }
            other => format!("{other:?}"),
        }
    }
}
