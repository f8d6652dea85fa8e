//! Whether a pick may choose an instance, and why.

use std::sync::Arc;
use std::time::Duration;

use hobnob_balancer::Circuit;
use hobnob_membership::record::Health;
use hobnob_membership::view::{Instance, InstanceStatus};

use crate::services::{Entry, Registry, ServiceKey, Standing, target_id};
use hobnob_api::{CheckExplained, InstanceExplained, MemberExplained, MemberStatus};

/// An instance as the node knows it, with its origin.
pub(crate) struct InstanceView {
    pub(crate) instance: Arc<Instance>,
    pub(crate) version: u64,
    pub(crate) health_version: Option<u64>,
    pub(crate) origin: MemberExplained,
}

/// Whether a pick without a selector may choose an instance on this agent, and why.
pub(crate) fn explain(
    registry: &Registry,
    info: InstanceView,
    checks: Vec<CheckExplained>,
) -> InstanceExplained {
    let InstanceView { instance, version, health_version, origin } = info;
    let service = registry.service(&ServiceKey::of(&instance));
    let last_known = service.as_ref().is_some_and(|service| service.offers_last_known());
    let shown = registry.show(&Arc::new(Entry::new(instance.clone())), last_known);
    let target = service.and_then(|service| service.whole().standing(&target_id(&instance)));
    let verdict = match target {
        Some(Standing { available: true, .. }) => Offer::Offered,
        Some(Standing { circuit: Circuit::HalfOpen { until_us }, .. }) => {
            Offer::OnTrial { lost_in: registry.until(until_us) }
        }
        Some(Standing { circuit: Circuit::Open { until_us }, failures, .. }) => {
            Offer::CircuitOpen { failures, trial_in: registry.until(until_us) }
        }
        Some(Standing { circuit: Circuit::Closed, .. }) => Offer::Ejected,
        None => Offer::NotOffered,
    };
    InstanceExplained {
        offered: verdict == Offer::Offered,
        reason: reason(verdict, &instance, &origin),
        checked: instance.service.checked,
        health: health_word(instance.health).to_owned(),
        checks,
        version,
        health_version,
        origin,
        instance: (&shown).into(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Offer {
    Offered,
    CircuitOpen { failures: u64, trial_in: Duration },
    OnTrial { lost_in: Duration },
    Ejected,
    NotOffered,
}

fn reason(offer: Offer, instance: &Instance, origin: &MemberExplained) -> String {
    let node = &instance.node.name;
    let standing = match origin.member.status {
        MemberStatus::Suspect => "is not down yet",
        _ => "is a living member",
    };
    match (offer, instance.status) {
        (Offer::Offered, InstanceStatus::Healthy) if instance.service.checked => {
            format!("its check passes and its agent `{node}` {standing}")
        }
        (Offer::Offered, InstanceStatus::Healthy) => {
            format!("it has no check, and its agent `{node}` {standing}")
        }
        (Offer::Offered, _) => format!(
            "this agent is cut off and knows no healthy instance of the service: it offers those that passed when it lost \
             touch, and this one did, at `{node}`"
        ),
        (Offer::CircuitOpen { failures, trial_in }, _) => format!(
            "its circuit is open: callers reported {failures} failures to this agent so far; the first pick in {} s or \
             later is a trial",
            seconds(trial_in)
        ),
        (Offer::OnTrial { lost_in }, _) => format!(
            "its circuit was open, and one call is out as a trial: its report decides; without one, the first pick in {} s \
             or later is the next trial",
            seconds(lost_in)
        ),
        (Offer::Ejected, _) => {
            "callers reported more failures of it than of others, and it rests for now".to_owned()
        }
        (Offer::NotOffered, InstanceStatus::Healthy) => {
            "it has just become healthy, and the next pick may choose it".to_owned()
        }
        (Offer::NotOffered, InstanceStatus::Unhealthy) => {
            format!("its check fails, says its agent `{node}`")
        }
        (Offer::NotOffered, _) if instance.down_since.is_some() => {
            format!("its agent `{node}` is down: {}", origin.reason)
        }
        (Offer::NotOffered, _) => match instance.health {
            Health::Unknown => {
                format!("its check has not run yet, or is overdue, on its agent `{node}`")
            }
            Health::Passing | Health::Failing => "it is about to go".to_owned(),
        },
    }
}

/// The word for a health.
fn health_word(health: Health) -> &'static str {
    match health {
        Health::Passing => "passing",
        Health::Failing => "failing",
        Health::Unknown => "unknown",
    }
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX)
}
