//! The acts of an origin, and the knowledge that readers have of it.

use std::sync::Arc;

use hobnob_membership::NodeId;
use hobnob_membership::catalog::{Catalog, Replica};
use hobnob_membership::record::{Balancing, Key, ServiceRecord, Value};

pub(crate) const ORIGIN: NodeId = NodeId(1);
pub(crate) const KEYS: usize = 2;

/// The next act of the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    /// A key gets a value that no key had before.
    Put(usize),
    /// A key is deleted.
    Delete(usize),
    /// A new epoch begins with the records that there are.
    Raise,
}

/// The writes of an origin; each has a number, from 1, whatever its epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct History {
    /// A put or a deletion of a key each.
    pub(crate) writes: Vec<(usize, bool)>,
    /// For each epoch, the version of its records that stands for the write 0.
    zeros: Vec<i64>,
}

impl History {
    /// The origin has described itself in one record.
    pub(crate) fn new() -> Self {
        Self { writes: Vec::new(), zeros: vec![1] }
    }

    /// The origin does something.
    pub(crate) fn act(&mut self, origin: &mut Catalog, act: Act) {
        match act {
            Act::Put(key) => self.write(origin, key, true),
            Act::Delete(key) => self.write(origin, key, false),
            Act::Raise => {
                origin.raise_epoch(origin.epoch().next());
                let version = served(origin).map_or(0, Replica::known_to);
                self.zeros.push(version as i64 - self.writes.len() as i64);
            }
        }
    }

    fn write(&mut self, origin: &mut Catalog, of: usize, put: bool) {
        self.writes.push((of, put));
        let record = (key(of), put.then(|| value(self.writes.len())));
        origin.write(vec![record]).expect("it is within its limits");
    }

    /// The latest write up to a version of an epoch that is of a key, and whether it is a put.
    pub(crate) fn latest(
        &self,
        replica: &Replica,
        version: u64,
        key: usize,
    ) -> Option<(usize, bool)> {
        let zero = self.zeros[(replica.epoch().0 - 1) as usize];
        let number = usize::try_from(version as i64 - zero).unwrap_or(0);
        let upto = &self.writes[..number.min(self.writes.len())];
        let found = upto.iter().enumerate().rfind(|(_, (of, _))| *of == key);
        found.map(|(index, (_, put))| (index + 1, *put))
    }

    /// Whether a settled replica has each key at least as its origin had it when it was as far.
    pub(crate) fn is_whole(&self, replica: &Replica) -> bool {
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

/// The replica of the origin that a catalog serves.
pub(crate) fn served(catalog: &Catalog) -> Option<&Replica> {
    catalog.origin(ORIGIN)?.current()
}

/// The number of the write whose value a key has.
pub(crate) fn live(replica: Option<&Replica>, n: usize) -> Option<usize> {
    match replica?.get(&key(n)) {
        Some(Value::Service(service)) => Some(service.port.into()),
        _ => None,
    }
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
        scope: Default::default(),
        upkeep: Default::default(),
    }))
}

/// Every way to write or delete some of the keys so many times, of which the first key is the first that is written.
pub(crate) fn all_scripts(len: usize) -> Vec<Vec<Act>> {
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
