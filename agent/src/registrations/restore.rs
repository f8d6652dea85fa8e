//! The registrations of the agent's earlier life, with a first outcome of their checks.

use std::time::Duration;

use hobnob_api::Check;
use hobnob_membership::limits::MAX_REGISTRATIONS;
use hobnob_membership::record::{Key, Value};
use hobnob_membership::{Sealing, registering};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::records;
use crate::checks::{CheckId, Outcome, Start, Thresholds, Verdict, probe};
use crate::driver::{OwnCheck, OwnChecks, target_of};
use crate::storage::{DataDir, KeptVerdict, StoredCheck, StoredRegistration};

/// A restarting agent waits at most this long for the first probes of its checks before it shows itself.
const RESTORE_WITHIN: Duration = Duration::from_secs(1);

/// The content of a data directory at the start.
pub(crate) struct Restored {
    /// The records to start with.
    pub(crate) records: Vec<(Key, Value)>,
    pub(super) checks: Vec<RestoredCheck>,
}

/// A check that goes on.
#[derive(Clone)]
pub(super) struct RestoredCheck {
    pub(super) id: CheckId,
    pub(super) check: Check,
    pub(super) start: Start,
    kept: Option<KeptVerdict>,
}

impl Restored {
    /// The checks that speak for the instances, for the driver.
    pub(crate) fn own_checks(&self) -> OwnChecks {
        let checks = self.checks.iter();
        let own = checks.map(|RestoredCheck { id, check, kept, .. }| match kept {
            Some(kept) => OwnCheck::kept(id.clone(), check.clone(), kept.clone()),
            None => OwnCheck::new(id.clone(), check.clone()),
        });
        own.collect()
    }
}

/// Reads the registrations and the verdicts that were kept. Checks without one run once, so that the agent starts with
/// their outcomes at hand. In a sealed cluster the token of the agent has to allow the services.
pub(crate) async fn restore(
    data_dir: &DataDir,
    default_address: &str,
    sealing: Option<&Sealing>,
) -> Restored {
    let mut records = Vec::new();
    let mut checks: Vec<RestoredCheck> = Vec::new();
    let mut verdicts = data_dir.verdicts();
    let mut left_out = 0;
    for registration in data_dir.registrations() {
        if !may_serve(registration, sealing) {
            continue;
        }
        let Some(definition) = definition(registration, default_address) else { continue };
        if records.len() == MAX_REGISTRATIONS {
            left_out += 1;
            continue;
        }
        records.push(definition);
        if let Some(check) = running_check(registration) {
            let instance = registration.id.as_str().into();
            let id = CheckId { instance, number: checks.len() as u64 };
            let kept =
                verdicts.remove(&id.instance).filter(|kept| kept.target == target_of(&check));
            let start = kept.as_ref().map_or(Start::New, |kept| Start::Kept(kept.health));
            checks.push(RestoredCheck { id, check, start, kept });
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
    for (place, outcome) in probe_all(&checks).await {
        checks[place].start = Start::Probed(outcome);
    }
    for RestoredCheck { id, check, start, .. } in &checks {
        let health = match start {
            Start::New => None,
            Start::Probed(first) => {
                Some(Verdict::restored(Thresholds::from(check), first.clone()).health())
            }
            Start::Kept(health) => Some(*health),
        };
        if let Some(health) = health {
            records.push(registering::health(&(&*id.instance).into(), health));
        }
    }
    Restored { records, checks }
}

/// The record of a registration, unless it breaks a rule of this version. A later version may have allowed it, so its
/// line stays in the log.
fn definition(registration: &StoredRegistration, default_address: &str) -> Option<(Key, Value)> {
    let service = records::service(registration, default_address);
    let (key, value) = registering::definition(&registration.id.as_str().into(), service);
    match registering::check(&key, &value) {
        Ok(()) => Some((key, value)),
        Err(error) => {
            tracing::warn!(
                id = registration.id,
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

/// The check of a registration that this version runs: the first one of a kind that it knows.
pub(super) fn running_check(registration: &StoredRegistration) -> Option<Check> {
    let check = registration.checks.iter().find_map(StoredCheck::to_check);
    if check.is_none()
        && let Some(StoredCheck { name, kind, .. }) = registration.checks.first()
    {
        tracing::warn!(
            id = registration.id,
            check = name,
            kind,
            "this version of hobnob does not know the kind of the instance's check: its health is unknown until it is \
             registered again"
        );
    }
    check
}

/// Probes the checks without a verdict. Returns the outcomes that came in time, each with the place of its check.
async fn probe_all(checks: &[RestoredCheck]) -> Vec<(usize, Outcome)> {
    let mut probes = JoinSet::new();
    let new = checks.iter().enumerate().filter(|(_, restored)| restored.start == Start::New);
    for (place, restored) in new {
        let check = restored.check.clone();
        probes.spawn(async move {
            (place, probe(&check.probe, Duration::from_millis(check.timeout_ms)).await)
        });
    }
    let deadline = Instant::now() + RESTORE_WITHIN;
    let mut outcomes = Vec::new();
    while let Ok(Some(probed)) = timeout_at(deadline, probes.join_next()).await {
        outcomes.extend(probed.into_iter().filter(|(_, outcome)| !outcome.is_void()));
    }
    outcomes
}
