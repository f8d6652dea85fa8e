//! Catalogs, deltas and worlds by name, so that a state is a few numbers, and what they do is found out once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use hobnob_membership::Epoch;
use hobnob_membership::catalog::{
    Applied, Catalog, Delta, Head, OriginTombstone, Replica, Standing, Want,
};

use super::history::{KEYS, ORIGIN, live, served};

/// Deltas are cut at these sizes: to an entry, to a few, and not at all.
const BUDGETS: [usize; 3] = [56, 96, 1_384];
/// A replica that has not caught up after so many answers never will.
const MAX_ANSWERS: usize = 40;

/// The number of a catalog, a delta or a world, for as long as its model lives.
pub(crate) type Name = usize;

/// A change of a replica. Each time it may take the origin for alive or for dead, whatever it did before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Move {
    /// It is told something.
    Hear { delta: Name, lives: bool },
    /// It changes its mind.
    Believe { lives: bool },
    /// It drops the records, because the origin is dead for long.
    Reap,
    /// It drops the records, because its operator says so.
    ForceLeave,
}

impl Move {
    /// Whether the replica takes the origin for alive.
    pub(crate) fn lives(self) -> bool {
        matches!(self, Self::Hear { lives: true, .. } | Self::Believe { lives: true })
    }
}

#[derive(Default)]
pub(crate) struct Names {
    /// Whether replicas may take the origin for dead, and drop its records.
    drops: bool,
    pub(crate) catalogs: Table<Catalog>,
    pub(crate) deltas: Table<Delta>,
    pub(crate) worlds: Table<World>,
    moved: BTreeMap<(Name, Move), Name>,
    advanced: BTreeMap<(Name, Name), Name>,
    servable: BTreeMap<(Name, u64), Vec<Name>>,
    heals: BTreeMap<(Name, Name), bool>,
    agree: BTreeMap<(Name, Name), bool>,
}

/// Everything that may have been heard and said so far, whoever heard and said it.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    /// The floors that the origin had.
    floors: BTreeSet<u64>,
    /// The catalogs that replicas may have.
    pub(crate) held: BTreeSet<Name>,
    /// The deltas that may be under way.
    told: BTreeSet<Name>,
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
    pub(crate) fn new(drops: bool) -> Self {
        Self { drops, ..Self::default() }
    }

    /// The replica of the origin that a catalog serves.
    pub(crate) fn served(&self, catalog: Name) -> Option<&Replica> {
        served(self.catalogs.get(catalog))
    }

    /// The moves of a replica in a world.
    pub(crate) fn moves(&self, world: Name) -> Vec<Move> {
        let told = &self.worlds.get(world).told;
        self.hearings(told.iter().copied()).chain(self.own_moves()).collect()
    }

    fn hearings(&self, told: impl Iterator<Item = Name>) -> impl Iterator<Item = Move> {
        let beliefs: &[bool] = if self.drops { &[true, false] } else { &[true] };
        told.flat_map(|delta| beliefs.iter().map(move |lives| Move::Hear { delta, lives: *lives }))
    }

    /// The moves of a replica that hears nothing.
    fn own_moves(&self) -> impl Iterator<Item = Move> {
        const MOVES: [Move; 4] = [
            Move::Believe { lives: true },
            Move::Believe { lives: false },
            Move::Reap,
            Move::ForceLeave,
        ];
        MOVES.into_iter().filter(|_| self.drops)
    }

    /// The catalog after something happened to it.
    pub(crate) fn after(&mut self, catalog: Name, step: Move) -> Name {
        if let Some(known) = self.moved.get(&(catalog, step)) {
            return *known;
        }
        let mut changed = self.catalogs.get(catalog).clone();
        match step {
            Move::Hear { delta, lives } => {
                drop(changed.apply(self.deltas.get(delta), Standing::of_member(lives)));
            }
            Move::Believe { lives } => changed.set_lives(ORIGIN, lives),
            Move::Reap => drop(changed.reap(ORIGIN)),
            Move::ForceLeave => drop(changed.force_leave(ORIGIN)),
        }
        let is_same = changed == *self.catalogs.get(catalog);
        let name = if is_same { catalog } else { self.catalogs.name(changed) };
        self.moved.insert((catalog, step), name);
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
            // All hear the news, and newcomers hear all, and do what they like.
            let news: Vec<Move> = self.hearings(news.into_iter()).collect();
            let all = self.hearings(next.told.iter().copied()).chain(self.own_moves());
            let mut steps = pairs(&newcomers, &all.collect::<Vec<_>>());
            steps.extend(pairs(&next.held, &news));
            newcomers.clear();
            for (replica, step) in steps {
                let catalog = self.after(replica, step);
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

    /// Whether a replica that takes the origin for alive gets to what it holds by asking it for what it lacks.
    pub(crate) fn heals(&mut self, catalog: Name, origin: Name) -> bool {
        if let Some(known) = self.heals.get(&(catalog, origin)) {
            return *known;
        }
        let heals = BUDGETS.into_iter().all(|budget| {
            let mut replica = self.catalogs.get(catalog).clone();
            let mut origin = self.catalogs.get(origin).clone();
            replica.set_lives(ORIGIN, true);
            for _ in 0..MAX_ANSWERS {
                // The origin hears of an origin tombstone beyond its last write, and takes a later epoch.
                let origin_tombstone = replica.origin_tombstone(ORIGIN).map(told_of);
                if let Some(Applied::Refuted(epoch)) =
                    origin_tombstone.map(|it| origin.apply(&it, Standing::Active))
                {
                    origin.raise_epoch(epoch.next());
                }
                match origin.answer(&replica.want(ORIGIN), budget) {
                    Some(delta) => drop(replica.apply(&delta, Standing::Active)),
                    None => break,
                }
            }
            replica.head(ORIGIN) == origin.head(ORIGIN) && serve_the_same(&replica, &origin)
        });
        self.heals.insert((catalog, origin), heals);
        heals
    }

    /// Whether two catalogs that take the origin for dead, and tell each other what the other lacks, end with the same
    /// head, each with the same records or none. In place of an origin tombstone there may only be records of a later
    /// epoch. A catalog drops its records first if it lacks something that the other lacks too.
    pub(crate) fn agree(&mut self, left: Name, right: Name) -> bool {
        let pair = (left.min(right), left.max(right));
        if let Some(known) = self.agree.get(&pair) {
            return *known;
        }
        let agree = BUDGETS.into_iter().all(|budget| {
            let before = [left, right].map(|name| self.catalogs.get(name));
            let [mut left, mut right] = before.map(Catalog::clone);
            left.set_lives(ORIGIN, false);
            right.set_lives(ORIGIN, false);
            for _ in 0..MAX_ANSWERS {
                let last = (left.clone(), right.clone());
                tell(&left, &mut right, budget);
                tell(&right, &mut left, budget);
                let quiet = last == (left.clone(), right.clone());
                if quiet
                    && (alike(&left, &right) || [&mut left, &mut right].map(give_up) == [false; 2])
                {
                    break;
                }
            }
            let rest = before.into_iter().zip([&left, &right]).all(|(before, after)| {
                let ended =
                    before.origin_tombstone(ORIGIN).map_or(Epoch(0), OriginTombstone::epoch);
                served(after).is_none_or(|replica| replica.epoch() > ended)
            });
            rest && alike(&left, &right)
        });
        self.agree.insert(pair, agree);
        agree
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
        } else if let Some(origin_tombstone) =
            holder.origin_tombstone(ORIGIN).filter(|origin_tombstone| !origin_tombstone.yields())
        {
            told.push(self.deltas.name(told_of(origin_tombstone)));
        }
        self.servable.insert((catalog, gc_floor), told.clone());
        told
    }
}

/// The delta that tells of an origin tombstone.
fn told_of(origin_tombstone: &OriginTombstone) -> Delta {
    let (epoch, known_to) = (origin_tombstone.epoch(), origin_tombstone.known_to());
    Delta::origin_tombstone(Head { origin: ORIGIN, epoch, known_to })
}

/// Tells somebody who takes the origin for dead all that there is to tell.
fn tell(teller: &Catalog, hearer: &mut Catalog, budget: usize) {
    let wants: Vec<Want> = hearer.wants(ORIGIN).collect();
    for mut want in wants {
        while let Some(delta) = teller.answer(&want, budget) {
            let Delta { origin, epoch, to: after, gc_floor, .. } = delta;
            want = Want { origin, epoch, after, gc_floor };
            hearer.apply(&delta, Standing::Down);
        }
    }
}

/// Lets the retention end of somebody who misses something that nobody has. Returns whether it does.
fn give_up(waiting: &mut Catalog) -> bool {
    let settled = served(waiting).is_none_or(Replica::is_settled);
    let waits = !settled || waiting.has_beyond(ORIGIN) || waiting.half_received().next().is_some();
    if waits {
        waiting.reap(ORIGIN);
    }
    waits
}

/// Whether two know the same, or one of them dropped the records.
fn alike(left: &Catalog, right: &Catalog) -> bool {
    let both = served(left).is_some() && served(right).is_some();
    left.digest() == right.digest() && (!both || serve_the_same(left, right))
}

fn serve_the_same(left: &Catalog, right: &Catalog) -> bool {
    (0..KEYS).all(|n| live(served(left), n) == live(served(right), n))
}

fn pairs<'a, A: Copy + 'a, B: Copy + 'a>(
    left: impl IntoIterator<Item = &'a A>,
    right: impl IntoIterator<Item = &'a B>,
) -> Vec<(A, B)> {
    let right: Vec<B> = right.into_iter().copied().collect();
    left.into_iter().flat_map(|a| right.iter().map(|b| (*a, *b))).collect()
}
