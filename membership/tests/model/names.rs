//! Catalogs, deltas and worlds by name, so that a state is a few numbers, and what they do is found out once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use hobnob_membership::catalog::{Catalog, Delta, Replica, Want};

use super::{KEYS, ORIGIN, live, served};

/// Deltas are cut at these sizes: to an entry, to a few, and not at all.
const BUDGETS: [usize; 3] = [45, 75, 1_384];
/// A replica that has not caught up after so many answers never will.
const MAX_ANSWERS: usize = 40;

/// The number of a catalog, a delta or a world, for as long as its model lives.
pub(crate) type Name = usize;

#[derive(Default)]
pub(crate) struct Names {
    pub(crate) catalogs: Table<Catalog>,
    pub(crate) deltas: Table<Delta>,
    pub(crate) worlds: Table<World>,
    applied: BTreeMap<(Name, Name), Name>,
    advanced: BTreeMap<(Name, Name), Name>,
    servable: BTreeMap<(Name, u64), Vec<Name>>,
    heals: BTreeMap<(Name, Name), bool>,
}

/// Everything that may have been heard and said so far, whoever heard and said it.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    /// The floors that the origin had.
    floors: BTreeSet<u64>,
    /// The catalogs that replicas may have.
    held: BTreeSet<Name>,
    /// The deltas that may be under way.
    pub(crate) told: BTreeSet<Name>,
}

impl World {
    /// Everybody holds this, and nothing was said.
    pub(crate) fn of(catalog: Name) -> Self {
        Self { held: [catalog].into(), ..Self::default() }
    }
}

/// Values by name; equal ones have the same.
pub(crate) struct Table<T> {
    values: Vec<T>,
    by_text: BTreeMap<String, Name>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { values: Vec::new(), by_text: BTreeMap::new() }
    }
}

impl<T: Debug> Table<T> {
    pub(crate) fn get(&self, name: Name) -> &T {
        &self.values[name]
    }

    pub(crate) fn name(&mut self, value: T) -> Name {
        *self.by_text.entry(format!("{value:?}")).or_insert_with(|| {
            self.values.push(value);
            self.values.len() - 1
        })
    }
}

impl Names {
    /// What a replica serves.
    pub(crate) fn served(&self, catalog: Name) -> Option<&Replica> {
        served(self.catalogs.get(catalog))
    }

    /// The catalog after it was told a delta.
    pub(crate) fn apply(&mut self, catalog: Name, delta: Name) -> Name {
        if let Some(known) = self.applied.get(&(catalog, delta)) {
            return *known;
        }
        let mut changed = self.catalogs.get(catalog).clone();
        changed.apply(self.deltas.get(delta), true);
        let is_same = changed == *self.catalogs.get(catalog);
        let name = if is_same { catalog } else { self.catalogs.name(changed) };
        self.applied.insert((catalog, delta), name);
        name
    }

    /// The world in which the origin came to this catalog, with all that follows for any number of replicas.
    pub(crate) fn advance(&mut self, world: Name, origin: Name) -> Name {
        if let Some(known) = self.advanced.get(&(world, origin)) {
            return *known;
        }
        let mut next = self.worlds.get(world).clone();
        next.floors.extend(self.served(origin).map(Replica::gc_floor));
        let mut speakers: Vec<Name> = next.held.iter().copied().chain([origin]).collect();
        let mut newcomers: Vec<Name> = Vec::new();
        while !speakers.is_empty() {
            let mut news = Vec::new();
            for (speaker, floor) in pairs(&speakers, &next.floors) {
                let told = self.servable(speaker, floor);
                news.extend(told.into_iter().filter(|delta| next.told.insert(*delta)));
            }
            // All hear the news, and newcomers hear all.
            let mut heard = pairs(&next.held, &news);
            heard.extend(pairs(&newcomers, &next.told));
            newcomers.clear();
            for (hearer, delta) in heard {
                let catalog = self.apply(hearer, delta);
                if next.held.insert(catalog) {
                    newcomers.push(catalog);
                }
            }
            speakers.clone_from(&newcomers);
        }
        let name = self.worlds.name(next);
        self.advanced.insert((world, origin), name);
        name
    }

    /// Whether a replica gets to what the origin holds by asking it for what it lacks.
    pub(crate) fn heals(&mut self, catalog: Name, origin: Name) -> bool {
        if let Some(known) = self.heals.get(&(catalog, origin)) {
            return *known;
        }
        let origins = self.catalogs.get(origin);
        let heals = BUDGETS.into_iter().all(|budget| {
            let mut replica = self.catalogs.get(catalog).clone();
            for _ in 0..MAX_ANSWERS {
                match origins.answer(&replica.want(ORIGIN), budget) {
                    Some(delta) => drop(replica.apply(&delta, true)),
                    None => break,
                }
            }
            let same = |n| live(served(&replica), n) == live(served(origins), n);
            replica.head(ORIGIN) == origins.head(ORIGIN) && (0..KEYS).all(same)
        });
        self.heals.insert((catalog, origin), heals);
        heals
    }

    /// Every delta with which a catalog can answer somebody whose state has this floor.
    fn servable(&mut self, catalog: Name, gc_floor: u64) -> Vec<Name> {
        if let Some(known) = self.servable.get(&(catalog, gc_floor)) {
            return known.clone();
        }
        let mut told = Vec::new();
        let holder = self.catalogs.get(catalog);
        if let Some(replica) = served(holder) {
            for (after, budget) in pairs(&Vec::from_iter(0..replica.known_to()), &BUDGETS) {
                let want = Want { origin: ORIGIN, epoch: replica.epoch(), after, gc_floor };
                if let Some(delta) = holder.answer(&want, budget) {
                    delta.validate().expect("what is sent is valid");
                    told.push(self.deltas.name(delta));
                }
            }
        }
        self.servable.insert((catalog, gc_floor), told.clone());
        told
    }
}

fn pairs<'a, A: Copy + 'a, B: Copy + 'a>(
    left: impl IntoIterator<Item = &'a A>,
    right: impl IntoIterator<Item = &'a B>,
) -> Vec<(A, B)> {
    let right: Vec<B> = right.into_iter().copied().collect();
    left.into_iter().flat_map(|a| right.iter().map(|b| (*a, *b))).collect()
}
