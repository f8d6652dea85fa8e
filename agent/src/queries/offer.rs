//! Whether a pick may choose an instance, and why.

use std::sync::Arc;
use std::time::Duration;

use hobnob_balancer::Circuit;
use hobnob_membership::Hidden;
use hobnob_membership::record::Health;
use hobnob_membership::view::{Instance, InstanceStatus};

use crate::clock::millis;
use crate::driver::status_word;
use crate::services::{Entry, Registry, ServiceKey, Standing, target_id};
use hobnob_api::{
    Basis, CheckExplained, Grade, InstanceExplained, MemberExplained, MemberStatus,
    StandingExplained,
};

/// An instance as the node knows it, with its origin.
pub(crate) struct InstanceView {
    pub(crate) instance: Arc<Instance>,
    /// Its origin has not answered this agent for long.
    pub(crate) is_unanswered: bool,
    /// Why it is hidden, if it is: no client sees it then.
    pub(crate) hidden: Option<Hidden>,
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
    let InstanceView { instance, is_unanswered, hidden, version, health_version, origin } = info;
    let service = registry.service(&ServiceKey::of(&instance));
    let best = service.as_ref().and_then(|service| service.offered());
    let entry = Arc::new(Entry::new(instance.clone(), is_unanswered));
    let shown = registry.show(&entry, best);
    let target =
        service.as_ref().and_then(|service| service.whole().standing(&target_id(&instance)));
    let settings = service.map(|service| service.settings());
    let failures = target.as_ref().map_or(0, |target| target.failures + target.failed_calls);
    let verdict = match &target {
        _ if hidden.is_some() => Offer::NotOffered,
        Some(Standing { available: true, .. }) => Offer::Offered,
        Some(Standing { ejected_until_us: Some(until_us), .. }) => {
            Offer::Ejected { failures, back_in: registry.until(*until_us) }
        }
        Some(Standing { circuit: Circuit::HalfOpen { until_us }, .. }) => {
            Offer::OnTrial { lost_in: registry.until(*until_us) }
        }
        Some(Standing { circuit: Circuit::Open { until_us }, .. }) => {
            Offer::CircuitOpen { failures, trial_in: registry.until(*until_us) }
        }
        Some(Standing { circuit: Circuit::Closed, .. }) => {
            Offer::Ejected { failures, back_in: Duration::ZERO }
        }
        None => Offer::NotOffered,
    };
    // An instance that operators took out is written as one whose check is critical, so that earlier versions avoid it.
    let is_out = matches!(entry.basis(), Basis::Maintenance | Basis::Drained);
    let is_own = origin.is_self;
    let health = match worst(&checks) {
        worst if is_out && is_own => worst.to_owned(),
        _ if is_out => status_word(Health::Unknown).to_owned(),
        _ => status_word(instance.health).to_owned(),
    };
    InstanceExplained {
        offered: verdict == Offer::Offered,
        reason: match hidden {
            Some(hidden) => format!("it is hidden from clients: {hidden}"),
            None => reason(verdict, &entry, best, &origin),
        },
        checked: instance.service.checked && !(is_out && is_own && checks.is_empty()),
        health,
        checks,
        registered_by: None,
        standing: target.map(|target| standing_explained(registry, &target)),
        settings: settings.filter(|settings| settings.instance.is_some()),
        version,
        health_version,
        origin,
        instance: (&shown).into(),
    }
}

fn standing_explained(registry: &Registry, standing: &Standing) -> StandingExplained {
    let (circuit, until_us) = match standing.circuit {
        Circuit::Closed => ("closed", None),
        Circuit::Open { until_us } => ("open", Some(until_us)),
        Circuit::HalfOpen { until_us } => ("half-open", Some(until_us)),
    };
    let left = |until_us| millis(registry.until(until_us));
    StandingExplained {
        circuit: circuit.to_owned(),
        circuit_for_ms: until_us.map(left),
        ejected_for_ms: standing.ejected_until_us.map(left),
        failed_picks: standing.failures,
        calls: standing.calls,
        failed_calls: standing.failed_calls,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Offer {
    Offered,
    CircuitOpen { failures: u64, trial_in: Duration },
    OnTrial { lost_in: Duration },
    Ejected { failures: u64, back_in: Duration },
    NotOffered,
}

fn reason(offer: Offer, entry: &Entry, best: Option<Grade>, origin: &MemberExplained) -> String {
    if let Some(why) = entry.service.upkeep.maintenance() {
        return format!("an operator put it in maintenance: {why}");
    }
    if entry.basis() == Basis::Drained {
        return "an operator drained it".to_owned();
    }
    let standing = standing(offer, entry, best, origin);
    match entry.service.upkeep.drain() {
        Some(drain) => format!(
            "{standing}; an operator drains it, and its share of the calls falls to nothing over {} s",
            seconds(drain.over())
        ),
        None => standing,
    }
}

/// The same without what operators did.
fn standing(offer: Offer, entry: &Entry, best: Option<Grade>, origin: &MemberExplained) -> String {
    let node = &entry.node.name;
    let lost = || format!("its agent `{node}` is {}: {}", lost_word(origin), origin.reason);
    let unanswered = || format!("its agent `{node}` does not answer this agent: {}", origin.reason);
    let passed = if entry.service.checked { "passed its check" } else { "was there" };
    let check = match entry.health {
        _ if !entry.service.checked => "it has no check",
        Health::Warning => "its checks pass, and one of them warns",
        _ => "its check passes",
    };
    match (offer, entry.grade()) {
        (Offer::Offered, Some(Grade::Healthy)) => {
            let standing = match origin.member.status {
                MemberStatus::Suspect => "is not down yet",
                _ => "is a living member",
            };
            format!("{check}, and its agent `{node}` {standing}")
        }
        (Offer::Offered, Some(Grade::Unanswered)) => format!(
            "{check}, and no healthy instance is left of the service whose agent answers this agent; {}",
            unanswered()
        ),
        (Offer::Offered, Some(Grade::LastKnown)) => format!(
            "nothing healthy is left of the service, and this one {passed} when it was last known; {}",
            lost()
        ),
        (Offer::Offered, Some(Grade::NotYetChecked)) => format!(
            "nothing is left of the service that is healthy, or was when it was last known, and nothing is known against this \
             one: {}",
            no_result(entry, origin)
        ),
        (Offer::Offered, None) => "it is about to be offered no longer".to_owned(),
        (Offer::CircuitOpen { failures, trial_in }, _) => format!(
            "its circuit is open: callers reported {failures} failures to this agent so far; the first pick in {} s or \
             later is a trial",
            seconds(trial_in)
        ),
        (Offer::OnTrial { lost_in }, _) => format!(
            "its circuit is half-open: one call is out as a trial, and its report decides; without one, the first pick in {} s \
             or later is the next trial",
            seconds(lost_in)
        ),
        (Offer::Ejected { failures, back_in }, _) => format!(
            "it is ejected as an outlier for {} s: callers reported {failures} failures of it to this agent so far, more than of others",
            seconds(back_in)
        ),
        (Offer::NotOffered, Some(Grade::Healthy)) => {
            "it has just become healthy, and the next pick may choose it".to_owned()
        }
        (Offer::NotOffered, Some(grade)) if best == Some(grade) => {
            "nothing better has been left for a moment, and the next pick may choose it".to_owned()
        }
        (Offer::NotOffered, Some(Grade::Unanswered)) => {
            format!("{}; the service has healthy instances whose agents answer", unanswered())
        }
        (Offer::NotOffered, Some(Grade::LastKnown)) => {
            format!("{}; the service has healthy instances", lost())
        }
        (Offer::NotOffered, Some(Grade::NotYetChecked)) => no_result(entry, origin),
        (Offer::NotOffered, None) => match (entry.status, entry.down_since) {
            (InstanceStatus::Unhealthy, None) => {
                format!("its check is critical, says its agent `{node}`")
            }
            (InstanceStatus::Unhealthy, Some(_)) => {
                format!("its check was critical when it was last known, and {}", lost())
            }
            _ => "it is about to go".to_owned(),
        },
    }
}

/// Why there is no result of the check of an instance.
fn no_result(entry: &Entry, origin: &MemberExplained) -> String {
    let node = &entry.node.name;
    if entry.down_since.is_some() {
        return format!(
            "its check had no result when it was last known, and its agent `{node}` is {}: {}",
            lost_word(origin),
            origin.reason
        );
    }
    format!(
        "its check has no verdict on its agent `{node}`: it has not run, too few of its outcomes agree yet, or it is overdue"
    )
}

/// The word for the status of an agent that is not there.
fn lost_word(origin: &MemberExplained) -> &'static str {
    match origin.member.status {
        MemberStatus::Unreachable => "unreachable",
        _ => "down",
    }
}

/// The worst status of some checks.
fn worst(checks: &[CheckExplained]) -> &'static str {
    let all = [Health::Failing, Health::Unknown, Health::Warning].map(status_word);
    let worst = all.into_iter().find(|word| checks.iter().any(|check| check.status == *word));
    worst.unwrap_or(status_word(Health::Passing))
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX)
}
