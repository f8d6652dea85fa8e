//! Whether a pick may choose an instance, and why.

use hobnob_membership::record::Health;
use hobnob_membership::view::{Instance, InstanceStatus};

use super::types::InstanceExplained;
use crate::explain::{InstanceFacts, health_word};
use crate::registry::{Registry, ServiceKey};

/// What a pick of this agent, without a selector, makes of an instance.
pub(super) fn explain(
    registry: &Registry,
    facts: InstanceFacts,
    output: Option<String>,
) -> InstanceExplained {
    let InstanceFacts { instance, version, health_version, origin } = facts;
    let service = registry.service(&ServiceKey::of(&instance));
    let id = format!("{}/{}", instance.origin, instance.id);
    let report = service.map(|service| service.whole().report()).unwrap_or_default();
    let target = report.targets.iter().find(|target| *target.id == *id);
    let verdict = match target {
        Some(target) if target.available => Offer::Offered,
        Some(_) => Offer::CircuitOpen,
        None => Offer::NotOffered,
    };
    InstanceExplained {
        offered: verdict == Offer::Offered,
        reason: reason(verdict, &instance, &origin.reason),
        checked: instance.service.checked,
        health: health_word(instance.health).to_owned(),
        output,
        version,
        health_version,
        origin,
        instance: registry.describe(&instance),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Offer {
    Offered,
    CircuitOpen,
    NotOffered,
}

fn reason(offer: Offer, instance: &Instance, of_origin: &str) -> String {
    let node = &instance.node.name;
    match (offer, instance.status) {
        (Offer::Offered, InstanceStatus::Healthy) if instance.service.checked => {
            format!("its check passes and its agent `{node}` is a living member")
        }
        (Offer::Offered, InstanceStatus::Healthy) => {
            format!("it has no check, and its agent `{node}` is a living member")
        }
        (Offer::Offered, _) => format!(
            "this agent is cut off and knows no healthy instance of the service: it offers those that passed when it lost \
             touch, and this one did, at `{node}`"
        ),
        (Offer::CircuitOpen, _) => {
            "callers reported failures to this agent, and its circuit is open for now".to_owned()
        }
        (Offer::NotOffered, InstanceStatus::Healthy) => {
            "it has just become healthy, and the next pick may choose it".to_owned()
        }
        (Offer::NotOffered, InstanceStatus::Unhealthy) => {
            format!("its check fails, says its agent `{node}`")
        }
        (Offer::NotOffered, _) if instance.down_since.is_some() => {
            format!("its agent `{node}` is down: {of_origin}")
        }
        (Offer::NotOffered, _) => match instance.health {
            Health::Unknown => {
                format!("its check has not run yet, or is overdue, on its agent `{node}`")
            }
            Health::Passing | Health::Failing => "it is about to go".to_owned(),
        },
    }
}
