//! The checks of this agent's instances, as the driver knows them: those of each instance, and their latest outputs.

mod following;
mod target;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hobnob_api::{Check, CheckExplained, Probe};
use hobnob_membership::record::{Health, Key, Value};
use hobnob_membership::{Time, registering};

use tokio::time::Instant;

use super::{Driver, Persist};
use crate::checks::{CheckId, CheckReport, Signal};
use crate::clock::{millis, wall_clock_ms};
use crate::storage::KeptVerdict;

pub(crate) use target::target_of;

/// A changed verdict is kept for the next start after this time, with all others.
const KEEP_VERDICTS_AFTER: Duration = Duration::from_secs(1);
/// The instances for which that time is long enough; more take as many times as long.
const INSTANCES_PER_SECOND: usize = 1_000;

/// A check of an instance of this agent.
#[derive(Clone, Debug)]
pub(crate) struct OwnCheck {
    id: CheckId,
    check: Check,
    /// What its verdict holds for.
    target: String,
    health: Health,
    latest: Option<Latest>,
}

/// The latest verdict of a check.
#[derive(Clone, Debug)]
struct Latest {
    since_ms: u64,
    output: String,
    signal: Option<Signal>,
    at: Time,
    /// Its age when this agent started.
    older_by: Duration,
}

impl Latest {
    fn age(&self, now: Time) -> Duration {
        now.since(self.at) + self.older_by
    }
}

impl OwnCheck {
    /// A check with this health until its first report.
    pub(crate) fn new(id: CheckId, check: Check, health: Health) -> Self {
        let target = target_of(&check);
        Self { id, check, target, health, latest: None }
    }

    /// A check whose verdict was kept over a restart of this agent.
    pub(crate) fn kept(id: CheckId, check: Check, kept: &KeptVerdict) -> Self {
        let older_by = kept.age();
        let latest = Latest {
            since_ms: kept.since_ms,
            output: "its verdict before this agent started again".to_owned(),
            signal: None,
            at: Time::ZERO,
            older_by,
        };
        let target = target_of(&check);
        Self { id, check, target, health: kept.health, latest: Some(latest) }
    }

    fn explain(&self, now: Time) -> CheckExplained {
        let latest = self.latest.as_ref();
        let is_probed = !matches!(self.check.probe, Probe::Ttl { .. });
        CheckExplained {
            name: self.check.name.clone(),
            kind: self.check.probe.kind().to_owned(),
            status: status_word(self.health).to_owned(),
            target: target::shown(&self.check.probe),
            interval_ms: if is_probed { self.check.interval_ms } else { 0 },
            output: latest.map(|latest| latest.output.clone()),
            changed_ago_ms: latest.map(|latest| millis(latest.age(now))),
            latest_output: None,
            latest_ago_ms: None,
            signal: latest.and_then(|latest| latest.signal).map(|signal| signal.word().to_owned()),
        }
    }

    fn verdict(&self) -> Option<KeptVerdict> {
        let since_ms = self.latest.as_ref()?.since_ms;
        Some(KeptVerdict { target: self.target.clone(), health: self.health, since_ms })
    }
}

/// The word for the health of a check.
pub(crate) fn status_word(health: Health) -> &'static str {
    match health {
        Health::Passing => "passing",
        Health::Warning => "warning",
        Health::Failing => "critical",
        Health::Unknown => "unknown",
    }
}

/// The name under which the verdict of a check is kept. That of the first check is the id of its instance, as in the version
/// that had one check for an instance; a name has no spaces.
pub(crate) fn verdict_key(instance: &str, place: usize, check: &str) -> Arc<str> {
    match place {
        0 => instance.into(),
        _ => format!("{instance} {check}").into(),
    }
}

/// An instance of this agent: the checks that decide its health.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnInstance {
    checks: Vec<OwnCheck>,
    /// It has a check of a kind that this version does not know, so nobody knows its health.
    has_unknown: bool,
    /// It is not to be used, whatever its checks say.
    is_out: bool,
    /// The health in its record; `None` when there is none.
    written: Option<Health>,
}

impl OwnInstance {
    pub(crate) fn new(checks: Vec<OwnCheck>, has_unknown: bool, is_out: bool) -> Self {
        let this = Self { checks, has_unknown, is_out, written: None };
        Self { written: this.health(), ..this }
    }

    /// The health for its record: that of the worst check. `None` while there is nothing to say.
    pub(crate) fn health(&self) -> Option<Health> {
        if self.is_out {
            return Some(Health::Failing);
        }
        let unknown = self.has_unknown.then_some(Health::Unknown);
        let all = self.checks.iter().map(|check| check.health).chain(unknown);
        let worst = all.max_by_key(|health| badness(*health))?;
        let is_new = self.checks.iter().all(|check| check.latest.is_none());
        (worst != Health::Unknown || !is_new).then_some(worst)
    }

    /// The change of its record.
    pub(super) fn record(&self, instance: &str) -> (Key, Option<Value>) {
        match self.written {
            Some(health) => {
                let (key, value) = registering::health(&instance.into(), health);
                (key, Some(value))
            }
            None => (Key::Health(instance.into()), None),
        }
    }
}

/// Nobody should use an instance of which a part is not known to work, and everybody one that warns.
fn badness(health: Health) -> u8 {
    match health {
        Health::Passing => 0,
        Health::Warning => 1,
        Health::Unknown => 2,
        Health::Failing => 3,
    }
}

/// A change of what decides the health of an instance, which is written together with its records.
#[derive(Debug)]
pub(crate) enum OwnChange {
    /// These checks decide from now on; with `None`, the instance is no longer there. A check with the id of one that runs keeps its
    /// verdict.
    Checks(Option<OwnInstance>),
    /// Whether it is not to be used, whatever its checks say.
    Out(bool),
}

/// The instances of this agent, by id.
#[derive(Debug, Default)]
pub(crate) struct OwnChecks(BTreeMap<Arc<str>, OwnInstance>);

/// An instance before and after a report.
struct Noted {
    /// The name of the check, and its health before.
    check: String,
    was: Health,
    before: Option<Health>,
    after: Option<Health>,
    is_news: bool,
}

impl OwnChecks {
    /// The instance after a change.
    pub(super) fn after(&self, instance: &str, change: OwnChange) -> Option<OwnInstance> {
        match change {
            OwnChange::Checks(own) => own.map(|own| self.continued(instance, own)),
            OwnChange::Out(is_out) => {
                let own = self.0.get(instance).cloned().unwrap_or_default();
                Some(OwnInstance::new(own.checks, own.has_unknown, is_out))
            }
        }
    }

    /// An instance whose checks go on with what is known of them, where they have the ids of running ones.
    fn continued(&self, instance: &str, own: OwnInstance) -> OwnInstance {
        let Some(known) = self.0.get(instance) else { return own };
        let continued = |check: OwnCheck| {
            known.checks.iter().find(|one| one.id == check.id).cloned().unwrap_or(check)
        };
        let checks = own.checks.into_iter().map(continued).collect();
        OwnInstance::new(checks, own.has_unknown, own.is_out)
    }

    pub(super) fn explain(&self, instance: &str, now: Time) -> Vec<CheckExplained> {
        let own = self.0.get(instance);
        own.into_iter().flat_map(|own| &own.checks).map(|check| check.explain(now)).collect()
    }

    pub(super) fn explain_all(&self, now: Time) -> BTreeMap<Arc<str>, Vec<CheckExplained>> {
        let of = |own: &OwnInstance| own.checks.iter().map(|check| check.explain(now)).collect();
        self.0.iter().map(|(id, own)| (id.clone(), of(own))).collect()
    }

    /// The latest verdicts, for the next start.
    fn verdicts(&self) -> BTreeMap<Arc<str>, KeptVerdict> {
        let of = |(id, own): (&Arc<str>, &OwnInstance)| -> Vec<_> {
            let checks = own.checks.iter().enumerate();
            let kept = checks.filter_map(|(place, own)| {
                Some((verdict_key(id, place, &own.check.name), own.verdict()?))
            });
            kept.collect()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Notes a report; `None` when its check is none of those that decide.
    fn note(&mut self, report: &CheckReport, now: Time) -> Option<Noted> {
        let own = self.0.get_mut(&report.id.instance)?;
        let before = own.written;
        let check = own.checks.iter_mut().find(|check| check.id == report.id)?;
        let is_news = check.health != report.health || check.latest.is_none();
        let since_ms = match &check.latest {
            Some(latest) if !is_news => latest.since_ms,
            _ => wall_clock_ms(),
        };
        let (name, was) = (check.check.name.clone(), check.health);
        check.health = report.health;
        check.latest = Some(Latest {
            since_ms,
            output: report.output.clone(),
            signal: report.signal,
            at: now,
            older_by: Duration::ZERO,
        });
        own.written = own.health();
        Some(Noted { check: name, was, before, after: own.written, is_news })
    }
}

impl FromIterator<(Arc<str>, OwnInstance)> for OwnChecks {
    fn from_iter<T: IntoIterator<Item = (Arc<str>, OwnInstance)>>(instances: T) -> Self {
        Self(instances.into_iter().collect())
    }
}

impl Driver {
    /// Writes the verdict of a check. A verdict on a registration that was replaced since is dropped.
    pub(super) fn take_report(&mut self, report: &CheckReport) {
        let now = self.clock.now();
        let Some(Noted { check, was, before, after, is_news }) = self.own_checks.note(report, now)
        else {
            return;
        };
        self.keep_verdicts_later();
        let CheckReport { id, health, output, .. } = report;
        let id: &str = &id.instance;
        // The first probe of a check may find what was taken for granted before it.
        let is_news = is_news && was != *health;
        if is_news {
            self.record_check(id, &check, status_word(was), status_word(*health), output);
        }
        if before == after {
            if is_news {
                let status = status_word(*health);
                tracing::info!(
                    id,
                    status,
                    output,
                    "a check of the instance changed, and the instance stays as it is"
                );
            }
            return;
        }
        match after {
            Some(Health::Passing) => tracing::info!(id, output, "the instance is healthy"),
            Some(Health::Warning) => {
                tracing::warn!(id, output, "the instance is healthy, and warns");
            }
            Some(Health::Failing) => tracing::warn!(id, output, "the instance is unhealthy"),
            Some(Health::Unknown) | None => {
                tracing::warn!(id, output, "the instance's check is overdue, or has not run yet");
            }
        }
        let Some(own) = self.own_checks.0.get(id) else { return };
        // A registration reserves the room for its health; whatever refuses it is told.
        if let Err(error) = self.node.write(vec![own.record(id)], now) {
            tracing::error!(id, ?health, %error, "the health of the instance could not be written: clients see the former one");
        }
    }

    /// Lets these checks decide the health of an instance from now on; with `None`, it is no longer there.
    pub(super) fn set_checks(&mut self, instance: Arc<str>, own: Option<OwnInstance>) {
        match own {
            Some(own) => drop(self.own_checks.0.insert(instance, own)),
            None => drop(self.own_checks.0.remove(&instance)),
        }
        self.keep_verdicts_later();
    }

    fn keep_verdicts_later(&mut self) {
        let times = self.own_checks.0.len().div_ceil(INSTANCES_PER_SECOND).max(1);
        let wait = KEEP_VERDICTS_AFTER.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX));
        self.keep_verdicts_at.get_or_insert(Instant::now() + wait);
    }

    /// Has the verdicts written to the disk when it is time for that.
    pub(super) fn keep_verdicts_if_due(&mut self, now: Instant) {
        if self.keep_verdicts_at.is_some_and(|at| at <= now) {
            self.keep_changed_verdicts();
        }
    }

    /// Has the verdicts written to the disk if one of them changed.
    pub(super) fn keep_changed_verdicts(&mut self) {
        if self.keep_verdicts_at.take().is_some() {
            let verdicts = self.own_checks.verdicts();
            if !self.persist(Persist::Verdicts(verdicts)) {
                self.keep_verdicts_later();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(healths: &[(Health, bool)]) -> OwnInstance {
        let checks = healths.iter().enumerate().map(|(number, (health, ran))| {
            let id = CheckId { instance: "web-1".into(), number: number as u64 };
            let kept = KeptVerdict { target: String::new(), health: *health, since_ms: 0 };
            let check = Check::new(Probe::tcp("127.0.0.1:1"));
            if *ran { OwnCheck::kept(id, check, &kept) } else { OwnCheck::new(id, check, *health) }
        });
        OwnInstance::new(checks.collect(), false, false)
    }

    #[test]
    fn the_worst_check_decides() {
        use Health::{Failing, Passing, Unknown, Warning};
        for (healths, expected) in [
            (&[][..], None),
            (&[(Unknown, false)], None),
            (&[(Unknown, true)], Some(Unknown)),
            (&[(Passing, false)], Some(Passing)),
            (&[(Passing, true), (Unknown, false)], Some(Unknown)),
            (&[(Passing, true), (Warning, true), (Passing, true)], Some(Warning)),
            (&[(Warning, true), (Unknown, true)], Some(Unknown)),
            (&[(Unknown, true), (Failing, true), (Passing, true)], Some(Failing)),
        ] {
            let own = instance(healths);
            assert_eq!(own.health(), expected, "{healths:?}");
            let out = OwnInstance::new(own.checks, false, true);
            assert_eq!(out.health(), Some(Failing), "an operator has the last word");
        }
        let own = OwnInstance::new(instance(&[(Passing, true)]).checks, true, false);
        assert_eq!(own.health(), Some(Unknown), "one of a later version is not run");
    }
}
