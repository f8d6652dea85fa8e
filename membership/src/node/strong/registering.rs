//! Strong registrations: what the own catalog says of an instance, as registers for the voters.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::base::identity::{Epoch, NodeId};
use crate::base::time::Time;
use crate::catalog::record::{Key, RawValue, ServiceRecord, Text, Value};
use crate::catalog::{Replica, Slot};
use crate::node::Node;
use crate::quorum::{
    Deposit, Entry, Failure, Fence, MAX_INSTANCES_OF_WRITE, OpId, OriginEnd, Place, Stamp,
    service_key,
};

/// Voters are asked for so long to end an origin.
const END_LASTS: Duration = Duration::from_secs(60);

impl Node {
    /// Asks the voters to keep what the own catalog says of some instances now: their definitions, or that they are deregistered. It is
    /// called right after [`write`](Self::write). Each instance comes with its definition before that: an instance that moved to another
    /// service leaves the service that it was in. [`Event::StrongDone`](crate::Event::StrongDone) follows, after `within` at the latest.
    ///
    /// An instance that was deregistered longer ago, with no definition before, is deregistered in whatever service voters know it in.
    ///
    /// # Errors
    /// Nothing was sent, and no event follows. There may be 16 instances, with 16 KiB of definitions.
    pub fn register_strongly(
        &mut self,
        instances: &[(Text, Option<ServiceRecord>)],
        within: Duration,
        now: Time,
    ) -> Result<OpId, Failure> {
        if instances.len() > MAX_INSTANCES_OF_WRITE {
            return Err(Failure::Invalid("a strong write holds at most 16 instances"));
        }
        let origin = self.identity().node_id;
        let Some(own) = self.catalog().origin(origin).and_then(|own| own.current()) else {
            return Err(Failure::Invalid("this node has written nothing yet"));
        };
        let entries = instances.iter();
        let entries = entries.flat_map(|(id, formerly)| registers(origin, own, id, formerly));
        let entries = entries.collect();
        let fence = Some(Fence { origin, epoch: own.epoch(), key: self.key_hash() });
        self.write_strongly(Deposit { entries, ends: Vec::new(), fence }, within, now)
    }

    /// Asks the voters to end an origin of this datacenter: an operator says that it does not come back. The records that this node held
    /// of it were dropped just now.
    pub(in crate::node) fn end_strongly(&mut self, origin: NodeId, now: Time) {
        let catalog = self.spread.catalog();
        let tombstone = catalog.origin_tombstone(origin).filter(|it| !it.yields());
        let Some(tombstone) = tombstone.filter(|_| catalog.is_home(origin)) else { return };
        let stamp = Stamp { epoch: tombstone.epoch(), version: tombstone.known_to() };
        let ends = vec![OriginEnd { origin, stamp }];
        let Some(strong) = &mut self.strong else { return };
        let deposit = Deposit { entries: Vec::new(), ends, fence: None };
        if let Ok(op) = strong.quorum.write(deposit, END_LASTS, now) {
            strong.own_ops.insert(op);
        }
    }

    /// Begins a later life if voters know of one of this node that it does not know itself, or if an operator ended it while it lived.
    pub(super) fn pass_fence(&mut self, epoch: Epoch, now: Time) {
        if epoch > self.spread.catalog().epoch()
            && let Some(epoch) = self.liveness.pass_epoch(epoch, now)
        {
            self.spread.begin_epoch(epoch, now);
            self.note_strong_records(self.identity().node_id, &[], now);
        }
    }

    /// The hash of the key of this node; 0 in a cluster without keys.
    fn key_hash(&self) -> u64 {
        self.public_key().map_or(0, |key| xxh3_64(&key.0).max(1))
    }
}

/// The registers that say what a replica of an origin says of an instance.
fn registers(
    origin: NodeId,
    replica: &Replica,
    id: &Text,
    formerly: &Option<ServiceRecord>,
) -> Vec<Entry> {
    let place = |service| Place { service, origin, id: id.clone() };
    let left = formerly.as_ref().map(|it| service_key(&it.namespace, &it.service));
    let slot = replica.slot(&Key::Service(id.clone()));
    let stamp = |version| Stamp { epoch: replica.epoch(), version };
    let Some((service, version, value)) = slot.and_then(|slot| {
        let Some(Value::Service(it)) = slot.value() else { return None };
        let value = slot.raw().map(RawValue::bytes)?;
        Some((service_key(&it.namespace, &it.service), slot.version(), value))
    }) else {
        // A deletion that is forgotten happened before the last write.
        let version = slot.map_or(replica.known_to(), Slot::version);
        let place = place(left.unwrap_or_default());
        return vec![Entry { place, stamp: stamp(version), value: None, elsewhere: None }];
    };
    // Voters take the instance out of the service that it was in.
    let (place, value) = (place(service), Some(value.into()));
    vec![Entry { place, stamp: stamp(version), value, elsewhere: None }]
}
