//! Instances in answers, written from what the registry holds.

use std::sync::Arc;

use hobnob_api::{Basis, CheckStatus, InstanceScope, InstanceStatus, NodeId};
use hobnob_membership::record::{Health, Meta, Tags, Text};
use serde::{Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_64;

use super::Entry;
use super::entry::Print;
use crate::translate::{api_node_id, instance_scope, instance_status};

/// Bytes that an age, a token and the names around an instance take at most.
const AROUND_BYTES: usize = 96;

/// An instance in an answer. It is serialized as a [`hobnob_api::Instance`], from texts that it shares with the registry.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    entry: Arc<Entry>,
    offered: bool,
    age_ms: u64,
}

impl Shown {
    pub(super) fn new(entry: Arc<Entry>, offered: bool, age_ms: u64) -> Self {
        Self { entry, offered, age_ms }
    }

    /// The instance as the registry holds it.
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Whether a pick may choose it, circuits aside.
    #[cfg(test)]
    pub(crate) fn is_offered(&self) -> bool {
        self.offered
    }

    /// A hash of what it looks like in an answer, its age aside. All readers share the work.
    pub(crate) fn looks(&self) -> u64 {
        self.print().looks ^ u64::from(self.offered)
    }

    /// The most bytes that it takes in an answer, in either dialect.
    pub(crate) fn answer_bytes(&self) -> usize {
        self.print().bytes + AROUND_BYTES
    }

    fn print(&self) -> Print {
        self.entry.print(|| {
            let fields = Fields { age_ms: 0, offered: false, ..self.fields() };
            // Texts and numbers can always be written. JSON is the longer one of the dialects.
            let text = serde_json::to_vec(&fields).unwrap_or_default();
            Print { bytes: text.len(), looks: xxh3_64(&text) }
        })
    }

    fn fields(&self) -> Fields<'_> {
        let (instance, service, node) = (&self.entry, &self.entry.service, &self.entry.node);
        Fields {
            service: &service.service,
            id: &instance.id,
            node: &node.name,
            node_id: api_node_id(instance.origin),
            datacenter: &node.datacenter,
            zone: &node.zone,
            address: &service.address,
            port: service.port,
            tags: &service.tags,
            meta: &service.meta,
            weight: service.weight,
            namespace: &service.namespace,
            status: instance_status(instance.status),
            offered: self.offered,
            basis: instance.basis(),
            age_ms: self.age_ms,
            scope: instance_scope(service.scope),
            draining: instance.is_draining(),
            check: (instance.health == Health::Warning).then_some(CheckStatus::Warning),
        }
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.fields().serialize(serializer)
    }
}

impl From<&Shown> for hobnob_api::Instance {
    fn from(shown: &Shown) -> Self {
        let fields = shown.fields();
        Self {
            service: fields.service.to_owned(),
            id: fields.id.to_owned(),
            node: fields.node.to_owned(),
            node_id: fields.node_id,
            datacenter: fields.datacenter.to_owned(),
            zone: fields.zone.to_owned(),
            address: fields.address.to_owned(),
            port: fields.port,
            tags: fields.tags.iter().map(Text::to_string).collect(),
            meta: fields.meta.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            weight: fields.weight,
            namespace: fields.namespace.to_owned(),
            status: fields.status,
            offered: fields.offered,
            basis: fields.basis,
            age_ms: fields.age_ms,
            scope: fields.scope,
            check: fields.check,
            draining: fields.draining,
        }
    }
}

/// The fields of a [`hobnob_api::Instance`], in its order.
#[derive(Serialize)]
#[serde(rename = "Instance")]
struct Fields<'a> {
    service: &'a str,
    id: &'a str,
    node: &'a str,
    node_id: NodeId,
    datacenter: &'a str,
    zone: &'a str,
    address: &'a str,
    port: u16,
    #[serde(serialize_with = "write_tags")]
    tags: &'a Tags,
    #[serde(serialize_with = "write_meta")]
    meta: &'a Meta,
    weight: u32,
    namespace: &'a str,
    status: InstanceStatus,
    offered: bool,
    basis: Basis,
    age_ms: u64,
    #[serde(skip_serializing_if = "is_global")]
    scope: InstanceScope,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<CheckStatus>,
    #[serde(skip_serializing_if = "is_false")]
    draining: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_global(scope: &InstanceScope) -> bool {
    *scope == InstanceScope::Global
}

fn write_tags<S: Serializer>(tags: &Tags, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(tags.iter().map(Text::as_str))
}

fn write_meta<S: Serializer>(meta: &Meta, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(meta.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use hobnob_api::codec::{BinaryCodec, JsonCodec};
    use hobnob_api::{Changes, Reply, Response};
    use hobnob_membership::view;
    use tokio_util::codec::{Decoder, Encoder};

    use super::*;
    use crate::services::testing::placed;

    fn shown(zone: &str) -> Shown {
        let change = placed("a", "dc1", zone, view::InstanceStatus::Healthy);
        Shown::new(Arc::new(Entry::new(change.instance, false)), true, 7)
    }

    #[test]
    fn a_client_reads_an_instance() {
        let shown = shown("z1");
        let owned = hobnob_api::Instance::from(&shown);
        assert_eq!((owned.zone.as_str(), owned.meta["tier"].as_str()), ("z1", "z1"));
        let changes =
            Changes { revision: 3, isolated: false, settings: None, instances: vec![shown] };
        let reply = Reply::new(1, Response::Changes(changes));
        let expected =
            Changes { revision: 3, isolated: false, settings: None, instances: vec![owned] };

        let mut buffer = BytesMut::new();
        JsonCodec::server().writing().encode(&reply, &mut buffer).expect("encoded");
        let read = JsonCodec::client().decode(&mut buffer).expect("a line").expect("whole");
        assert_eq!(read.expect("a reply").response, Response::Changes(expected.clone()));
        BinaryCodec::server().writing().encode(&reply, &mut buffer).expect("encoded");
        let read = BinaryCodec::client().decode(&mut buffer).expect("a frame").expect("whole");
        assert_eq!(read.expect("a reply").response, Response::Changes(expected));
    }

    #[test]
    fn an_instance_takes_no_more_bytes_than_it_says() {
        let mut shown = shown("ze\"\u{1}\\z");
        shown.age_ms = u64::MAX;
        let (bytes, instance) = (shown.answer_bytes(), shown);
        let picked = hobnob_api::Picked {
            revision: 1,
            consistency: Default::default(),
            isolated: false,
            picks: vec![hobnob_api::Pick { token: u64::MAX, instance }; 100],
        };
        let reply = Reply::new(1, Response::Picked(picked));
        let mut buffer = BytesMut::new();
        JsonCodec::server().writing().encode(&reply, &mut buffer).expect("encoded");
        assert!(buffer.len() <= 100 * bytes + 100, "{} {bytes}", buffer.len());
        buffer.clear();
        BinaryCodec::server().writing().encode(&reply, &mut buffer).expect("encoded");
        assert!(buffer.len() <= 100 * bytes + 100, "{} {bytes}", buffer.len());
    }

    #[test]
    fn an_instance_whose_check_warns_is_healthy_and_says_so() {
        let change = placed("a", "dc1", "z1", view::InstanceStatus::Healthy);
        let warning = view::Instance { health: Health::Warning, ..(*change.instance).clone() };
        let warns = Shown::new(Arc::new(Entry::new(Arc::new(warning), false)), true, 7);
        let owned = hobnob_api::Instance::from(&warns);
        assert_eq!(
            (owned.status, owned.check),
            (InstanceStatus::Healthy, Some(CheckStatus::Warning))
        );
        assert_ne!(warns.looks(), shown("z1").looks(), "a watch tells it");
    }

    #[test]
    fn an_age_does_not_change_the_looks() {
        let (young, moved) = (shown("z1"), shown("z2"));
        let old = Shown { age_ms: 9_000, ..young.clone() };
        assert_eq!(young.looks(), old.looks());
        assert_ne!(young.looks(), moved.looks());
        assert_ne!(young.looks(), Shown { offered: false, ..old }.looks());
    }
}
