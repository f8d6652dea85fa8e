//! The registrations of the agent's earlier life, with a first outcome of their checks.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use hobnob_api::{Check, Probe};
use hobnob_membership::limits::MAX_REGISTRATIONS;
use hobnob_membership::record::{Key, ServiceRecord, Value};
use hobnob_membership::{Sealing, registering};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::records;
use super::registrar::upkeep::{self, Draining};
use crate::checks::{CheckId, Outcome, Prober, Start, Subject, Thresholds, Verdict, initial};
use crate::driver::{OwnCheck, OwnChecks, OwnInstance, target_of, verdict_key};
use crate::storage::{DataDir, KeptVerdict, StoredCheck, StoredRegistration, StoredUpkeep};

/// A restarting agent waits at most this long for the first probes of its checks before it shows itself.
const RESTORE_WITHIN: Duration = Duration::from_secs(1);

/// The content of a data directory at the start.
pub(crate) struct Restored {
    /// The records to start with.
    pub(crate) records: Vec<(Key, Value)>,
    pub(super) checks: Vec<RestoredCheck>,
    /// What operators did to the instances.
    pub(super) upkeep: StoredUpkeep,
    /// The ids of the instances that files added or changed at this start.
    pub(super) defined: BTreeSet<String>,
    instances: Vec<RestoredInstance>,
}

/// An instance that goes on.
struct RestoredInstance {
    id: Arc<str>,
    /// Its checks in [`Restored::checks`].
    checks: Range<usize>,
    has_unknown: bool,
    is_out: bool,
}

/// A check that goes on.
#[derive(Clone)]
pub(super) struct RestoredCheck {
    pub(super) id: CheckId,
    pub(super) check: Check,
    pub(super) start: Start,
    pub(super) subject: Subject,
    kept: Option<KeptVerdict>,
}

impl RestoredCheck {
    fn own(&self) -> OwnCheck {
        let (id, check) = (self.id.clone(), self.check.clone());
        match (&self.kept, &self.start) {
            (Some(kept), _) => OwnCheck::kept(id, check, kept),
            (None, Start::Probed(first)) => {
                let verdict = Verdict::restored(Thresholds::from(&check), first.clone());
                OwnCheck::new(id, check, verdict.health())
            }
            (None, Start::New | Start::Kept(..)) => {
                let health = initial(&check);
                OwnCheck::new(id, check, health)
            }
        }
    }
}

impl Restored {
    /// The same, of which files added or changed the instances with these ids at this start.
    pub(crate) fn defining(self, defined: BTreeSet<String>) -> Self {
        Self { defined, ..self }
    }

    /// The checks that speak for the instances, for the driver.
    pub(crate) fn own_checks(&self) -> OwnChecks {
        self.own_instances().collect()
    }

    fn own_instances(&self) -> impl Iterator<Item = (Arc<str>, OwnInstance)> {
        self.instances.iter().map(|RestoredInstance { id, checks, has_unknown, is_out }| {
            let own = self.checks[checks.clone()].iter().map(RestoredCheck::own).collect();
            (id.clone(), OwnInstance::new(own, *has_unknown, *is_out))
        })
    }

    /// The drains of the instances.
    pub(super) fn draining(&self) -> BTreeMap<Arc<str>, Draining> {
        let drains = self.upkeep.instances.iter();
        let drains = drains.filter_map(|(id, acts)| Some((id, acts.drain?)));
        let unfinished = drains.filter(|(_, drain)| upkeep::age_ms(*drain) < drain.over_ms);
        unfinished
            .map(|(id, drain)| (id.as_str().into(), Draining::of(drain, upkeep::age_ms(drain))))
            .collect()
    }
}

/// Reads the registrations and the verdicts that were kept. Checks without one run once, so that the agent starts with
/// their outcomes at hand. In a sealed cluster the token of the agent has to allow the services.
pub(crate) async fn restore(
    data_dir: &DataDir,
    default_address: &str,
    sealing: Option<&Sealing>,
    prober: &Prober,
) -> Restored {
    let mut records = Vec::new();
    let mut checks: Vec<RestoredCheck> = Vec::new();
    let mut instances = Vec::new();
    let mut stored_upkeep = data_dir.upkeep();
    // What was done to an instance ends with its registration, also while this agent was stopped.
    stored_upkeep.instances.retain(|id, _| data_dir.registration(id).is_some());
    let mut verdicts = data_dir.verdicts();
    let mut left_out = 0;
    for registration in data_dir.registrations() {
        if !may_serve(registration, sealing) {
            continue;
        }
        let mut service = records::service(registration, default_address);
        let acts = upkeep::of(&stored_upkeep, &registration.id, upkeep::age_ms);
        let is_out = upkeep::apply(&mut service, acts);
        let Some(definition) = definition(&registration.id, service) else { continue };
        if records.len() == MAX_REGISTRATIONS {
            left_out += 1;
            continue;
        }
        records.push(definition);
        let instance: Arc<str> = registration.id.as_str().into();
        let Running { checks: running, has_unknown } = running_checks(registration);
        let first = checks.len();
        for (place, check) in running.into_iter().enumerate() {
            let id = CheckId { instance: instance.clone(), number: checks.len() as u64 };
            let kept = verdicts.remove(&verdict_key(&instance, place, &check.name));
            let kept = kept.filter(|kept| kept.target == target_of(&check));
            let start =
                kept.as_ref().map_or(Start::New, |kept| Start::Kept(kept.health, kept.age()));
            let subject = records::subject(registration, &check, default_address);
            checks.push(RestoredCheck { id, check, start, subject, kept });
        }
        if !registration.checks.is_empty() || is_out {
            let checks = first..checks.len();
            instances.push(RestoredInstance { id: instance, checks, has_unknown, is_out });
        }
    }
    if left_out > 0 {
        tracing::error!(
            left_out,
            limit = MAX_REGISTRATIONS,
            "the data directory holds more registrations than one agent may have: the last ones by id are left out until \
             others are deregistered and this agent is started again"
        );
    }
    for (place, outcome) in probe_all(&checks, prober).await {
        checks[place].start = Start::Probed(outcome);
    }
    let mut restored =
        Restored { records, checks, upkeep: stored_upkeep, defined: BTreeSet::new(), instances };
    let healths: Vec<_> = restored
        .own_instances()
        .filter_map(|(id, own)| Some(registering::health(&(&*id).into(), own.health()?)))
        .collect();
    restored.records.extend(healths);
    restored
}

/// The record of a registration, unless it breaks a rule of this version. A later version may have allowed it, so its
/// line stays in the log.
fn definition(id: &str, service: ServiceRecord) -> Option<(Key, Value)> {
    let (key, value) = registering::definition(&id.into(), service);
    match registering::check(&key, &value) {
        Ok(()) => Some((key, value)),
        Err(error) => {
            tracing::warn!(
                id,
                %error,
                "a registration in the data directory breaks a rule of this version of hobnob: its instance is left out \
                 until it is registered again or removed"
            );
            None
        }
    }
}

/// Whether the token of this agent allows the service of a registration. Another token may allow it again, so a registration
/// that is not allowed stays in the log.
fn may_serve(registration: &StoredRegistration, sealing: Option<&Sealing>) -> bool {
    let service = registration.service.as_str().into();
    let Some(Err(error)) = sealing.map(|sealing| sealing.check_service(&service)) else {
        return true;
    };
    tracing::warn!(
        id = registration.id,
        %error,
        "a registration in the data directory is not offered, and is kept: this agent needs a token that allows its service"
    );
    false
}

/// The checks of a registration that this version runs.
pub(super) struct Running {
    pub(super) checks: Vec<Check>,
    /// Whether it has others, of kinds that this version does not know.
    pub(super) has_unknown: bool,
}

/// The checks of a registration that this version runs.
pub(super) fn running_checks(registration: &StoredRegistration) -> Running {
    let (mut checks, mut has_unknown) = (Vec::new(), false);
    for stored in &registration.checks {
        match stored.to_check() {
            Some(check) => checks.push(check),
            None => {
                has_unknown = true;
                let StoredCheck { name, kind, .. } = stored;
                tracing::warn!(
                    id = registration.id,
                    check = name,
                    kind,
                    "this version of hobnob does not know the kind of a check of the instance: its health is unknown until \
                     it is registered again"
                );
            }
        }
    }
    Running { checks, has_unknown }
}

/// Probes the checks without a verdict. Returns the outcomes that came in time, each with the place of its check.
async fn probe_all(checks: &[RestoredCheck], prober: &Prober) -> Vec<(usize, Outcome)> {
    let mut probes = JoinSet::new();
    let is_probed = |check: &Check| !matches!(check.probe, Probe::Ttl { .. } | Probe::Alias(_));
    let new = checks.iter().enumerate();
    let new = new.filter(|(_, new)| new.start == Start::New && is_probed(&new.check));
    for (place, restored) in new {
        let (check, subject) = (restored.check.clone(), restored.subject.clone());
        let prober = prober.clone();
        probes.spawn(async move {
            let timeout = Duration::from_millis(check.timeout_ms);
            (place, prober.probe(&subject, &check.probe, timeout).await)
        });
    }
    let deadline = Instant::now() + RESTORE_WITHIN;
    let mut outcomes = Vec::new();
    while let Ok(Some(probed)) = timeout_at(deadline, probes.join_next()).await {
        outcomes.extend(probed.into_iter().filter(|(_, outcome)| !outcome.is_void()));
    }
    outcomes
}
