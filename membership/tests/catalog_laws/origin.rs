//! An origin whose whole history is known, so that a replica can be judged by it.

use super::*;

/// An origin and everything that it ever said.
pub(super) struct Origin {
    pub(super) catalog: Catalog,
    /// The write of each version of each epoch.
    pub(super) history: BTreeMap<(Epoch, Version), (Key, Option<Value>)>,
    /// The keys with which each epoch began.
    pub(super) beginnings: BTreeMap<Epoch, BTreeSet<Key>>,
    /// Its rumors.
    pub(super) rumors: Vec<Delta>,
    pub(super) generation: u64,
}

impl Origin {
    pub(super) fn new() -> Self {
        let mut origin = Self {
            catalog: Catalog::new(ORIGIN, Epoch(1)),
            history: BTreeMap::new(),
            beginnings: BTreeMap::new(),
            rumors: Vec::new(),
            generation: 0,
        };
        origin.begin(Vec::new());
        origin
    }

    pub(super) fn replica(&self) -> &Replica {
        served(&self.catalog).expect("an origin knows itself")
    }

    pub(super) fn live(&self) -> BTreeMap<Key, Value> {
        live(&self.catalog)
    }

    pub(super) fn act(&mut self, act: Act) {
        match act {
            Act::Write(records) => {
                let records: BTreeMap<Key, Option<Value>> =
                    records.into_iter().map(|(k, v)| (key(k), v.map(value))).collect();
                self.write(records.into_iter().collect());
            }
            Act::Churn { keys, in_one_step } => {
                self.generation += 1;
                let generation = self.generation;
                let names = (0..keys).map(|n| Key::Health(format!("g{generation}-{n}").into()));
                let all = |value: Option<Value>| names.clone().map(move |k| (k, value.clone()));
                let writes = all(Some(value(0))).chain(all(None));
                if in_one_step {
                    self.write(all(Some(value(0))).collect());
                    self.write(all(None).collect());
                } else {
                    for write in writes.collect::<Vec<_>>() {
                        self.write(vec![write]);
                    }
                }
            }
            Act::Restart => {
                self.generation += 1;
                let records = self.live().into_iter().filter(|(key, _)| *key != Key::Node);
                let records = records.map(|(key, value)| (key, Some(value))).collect();
                self.catalog = Catalog::new(ORIGIN, Epoch(self.catalog.epoch().0 + 10));
                self.begin(records);
            }
            Act::Raise => {
                self.catalog.raise_epoch(self.catalog.epoch().next());
                self.note_beginning();
                self.note(
                    0,
                    &self.replica().slots().map(|slot| slot.key().clone()).collect::<Vec<_>>(),
                );
                self.spread(0);
            }
        }
    }

    /// Hears of its origin_tombstone, if a replica has one: from a write that it never made follows a new epoch.
    pub(super) fn hear_of(&mut self, replica: &Catalog) {
        let Some(origin_tombstone) = replica.origin_tombstone(ORIGIN) else { return };
        let (epoch, known_to) = (origin_tombstone.epoch(), origin_tombstone.known_to());
        let told = Delta::origin_tombstone(Head { origin: ORIGIN, epoch, known_to });
        if let Applied::Refuted(epoch) = self.catalog.apply(&told, Standing::Active) {
            assert_eq!(epoch, self.catalog.epoch());
            self.act(Act::Raise);
        }
    }

    pub(super) fn begin(&mut self, records: Vec<(Key, Option<Value>)>) {
        let node = (Key::Node, Some(node_value(self.generation)));
        self.write([node].into_iter().chain(records).collect());
        self.note_beginning();
    }

    pub(super) fn note_beginning(&mut self) {
        let keys = self.live().into_keys().collect();
        self.beginnings.insert(self.catalog.epoch(), keys);
    }

    pub(super) fn write(&mut self, records: Vec<(Key, Option<Value>)>) {
        let (before, changed) = self.catalog.write(records).expect("within the limits");
        self.note(before, &changed);
        self.spread(before);
    }

    pub(super) fn note(&mut self, before: Version, changed: &[Key]) {
        let epoch = self.catalog.epoch();
        // `raise_epoch` numbers the keys in order, as `slots` gives them.
        for (version, key) in (before + 1..).zip(changed) {
            let value = self.replica().get(key).cloned();
            self.history.insert((epoch, version), (key.clone(), value));
        }
    }

    pub(super) fn spread(&mut self, before: Version) {
        let mut after = before;
        while let Some(delta) = self.replica().delta_after(ORIGIN, after, RUMOR_BUDGET) {
            after = delta.to;
            self.rumors.push(delta);
        }
        assert_eq!(after, self.replica().known_to(), "a rumor for each write");
    }

    /// The version under which a key was deleted for good within an epoch, if it was.
    pub(super) fn deletions(&self, epoch: Epoch) -> BTreeMap<&Key, Option<Version>> {
        let mut last = BTreeMap::new();
        for ((_, version), (key, value)) in self.history.range((epoch, 0)..=(epoch, Version::MAX)) {
            last.insert(key, value.is_none().then_some(*version));
        }
        last
    }

    pub(super) fn was_deleted(&self, epoch: Epoch, key: &Key) -> bool {
        self.history
            .range((epoch, 0)..=(epoch, Version::MAX))
            .any(|(_, (k, value))| k == key && value.is_none())
    }
}
