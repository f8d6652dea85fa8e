//! What is registered with this agent, complete.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use hobnob_api::codec::MAX_RESPONSE_BYTES;
use hobnob_api::{
    ApiError, CheckExplained, DrainState, LocalRegistration, Maintenance, RegisteredBy,
    Registrations,
};
use hobnob_membership::catalog::Replica;
use hobnob_membership::record::{Key, Text};
use hobnob_membership::view::Instance;
use hobnob_membership::{Node, Time};

use super::asked::check;
use super::timestamp::timestamp;
use crate::driver::{DriverHandle, status_word};
use crate::registrations::RegistrationsHandle;
use crate::services::{Entry, Registry, ServiceKey, Shown};
use crate::storage::{StoredDrain, StoredMaintenance, StoredRegistrant, StoredUpkeep};

/// The most instances of one answer.
const MAX_SHOWN: usize = 2_000;
/// The most bytes of an answer; the rest is left to the next one.
const MAX_BYTES: usize = MAX_RESPONSE_BYTES / 2;

/// An own instance, with what only the node knows of it.
struct Own {
    instance: Arc<Instance>,
    hidden: Option<String>,
    version: u64,
    health_version: Option<u64>,
}

/// The instances that are registered with this agent, by id, from the one after `after`.
///
/// # Errors
/// A name breaks a rule, or this agent is stopping.
pub(crate) async fn registrations(
    registry: &Registry,
    driver: &DriverHandle,
    registrations: &RegistrationsHandle,
    member: &str,
    (namespace, after): (Option<String>, Option<String>),
) -> Result<Registrations, ApiError> {
    namespace.iter().try_for_each(|namespace| check("namespace", namespace))?;
    after.iter().try_for_each(|after| check("instance id", after))?;
    let revision = registry.revision();
    let asked =
        move |node: &Node, _: Time| own_instances(node, namespace.as_deref(), after.as_deref());
    let (own, mut more) = driver.inspect(asked).await?;
    let mut checks = driver.all_checks().await?;
    let upkeep = registrations.upkeep();
    let (mut shown, mut bytes) = (Vec::new(), 0);
    for own in own {
        let (answer, length) = show(registry, registrations, &upkeep, &mut checks, own);
        bytes += length;
        if bytes > MAX_BYTES && !shown.is_empty() {
            more = true;
            break;
        }
        shown.push(answer);
    }
    Ok(Registrations {
        revision,
        isolated: registry.is_isolated(),
        member: member.to_owned(),
        maintenance: upkeep.agent.as_ref().map(maintenance),
        registrations: shown,
        more,
    })
}

/// Some of the own instances, and whether more follow.
fn own_instances(node: &Node, namespace: Option<&str>, after: Option<&str>) -> (Vec<Own>, bool) {
    let own = node.identity().node_id;
    let hidden = node.hidden_instances().filter(|instance| instance.origin == own);
    let all: BTreeMap<Text, &Arc<Instance>> = node
        .instances_of(own)
        .chain(hidden)
        .filter(|instance| {
            namespace.is_none_or(|namespace| *instance.service.namespace == *namespace)
        })
        .map(|instance| (instance.id.clone(), instance))
        .collect();
    let after = after.map_or(Bound::Unbounded, |after| Bound::Excluded(Text::from(after)));
    let mut rest = all.range((after, Bound::Unbounded)).map(|(_, instance)| *instance);
    let taken: Vec<_> = rest.by_ref().take(MAX_SHOWN).collect();
    let versions = versions(node);
    let shown = taken.into_iter().map(|instance| Own {
        instance: instance.clone(),
        hidden: node.hidden_because(instance).map(|hidden| hidden.to_string()),
        version: versions.get(&Key::Service(instance.id.clone())).copied().unwrap_or(0),
        health_version: versions.get(&Key::Health(instance.id.clone())).copied(),
    });
    let shown = shown.collect();
    (shown, rest.next().is_some())
}

/// The versions of the own records.
fn versions(node: &Node) -> BTreeMap<Key, u64> {
    let own = node.catalog().origin(node.identity().node_id);
    let slots = own.and_then(|origin| origin.current()).into_iter().flat_map(Replica::slots);
    slots
        .filter(|slot| slot.value().is_some())
        .map(|slot| (slot.key().clone(), slot.version()))
        .collect()
}

/// An instance as it is answered, and the bytes that it takes there.
fn show(
    registry: &Registry,
    registrations: &RegistrationsHandle,
    upkeep: &StoredUpkeep,
    checks: &mut BTreeMap<Arc<str>, Vec<CheckExplained>>,
    own: Own,
) -> (LocalRegistration, usize) {
    let Own { instance, hidden, version, health_version } = own;
    let id = instance.id.as_str();
    let best = registry.service(&ServiceKey::of(&instance)).and_then(|service| service.offered());
    let entry = Arc::new(Entry::new(instance.clone(), false));
    let shown: Shown = registry.show(&entry, best);
    let mut checks = checks.remove(id).unwrap_or_default();
    registrations.add_latest(id, &mut checks);
    let acts = upkeep.instances.get(id);
    let registered_by = registrations.registrant(id).map(|of| registered_by(registrations, id, of));
    let texts: usize = checks.iter().map(bytes_of).sum();
    let registration = LocalRegistration {
        instance: (&shown).into(),
        hidden,
        health: status_word(instance.health).to_owned(),
        checks,
        maintenance: acts.and_then(|acts| acts.maintenance.as_ref()).map(maintenance),
        drain: acts.and_then(|acts| acts.drain).map(|drain| drain_state(drain, &instance)),
        since: registered_by.as_ref().map(|by| timestamp(by.at_ms)),
        registered_by,
        restored: registrations.is_restored(id),
        version,
        health_version,
    };
    // Reasons of maintenance and names are bounded.
    (registration, shown.answer_bytes() + texts + 2_048)
}

fn bytes_of(check: &CheckExplained) -> usize {
    256 + check.name.len() + check.target.len() + check.output.as_ref().map_or(0, String::len)
}

fn registered_by(
    registrations: &RegistrationsHandle,
    id: &str,
    StoredRegistrant { uid, pid, at_ms, agent }: StoredRegistrant,
) -> RegisteredBy {
    let file = registrations.source(id).map(|file| file.to_string());
    RegisteredBy { uid, pid, at_ms, agent, file }
}

/// A maintenance, as it is answered.
pub(super) fn maintenance(
    StoredMaintenance { reason, since_ms }: &StoredMaintenance,
) -> Maintenance {
    Maintenance { reason: reason.clone(), since: timestamp(*since_ms) }
}

fn drain_state(drain: StoredDrain, instance: &Instance) -> DrainState {
    DrainState {
        since: timestamp(drain.since_ms),
        over_ms: drain.over_ms,
        over: instance.service.upkeep.drain().is_some_and(|drain| drain.is_over()),
    }
}
