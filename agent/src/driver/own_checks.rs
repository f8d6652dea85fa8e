//! The checks of this agent's instances, as the driver knows them: the current check of each, and its latest output.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hobnob_api::{Alias, Check, CheckExplained, Probe};
use hobnob_membership::record::Health;
use hobnob_membership::{Time, registering};

use tokio::time::Instant;

use super::{Driver, Persist};
use crate::checks::{CheckId, CheckReport, Signal};
use crate::clock::{millis, wall_clock_ms};
use crate::storage::KeptVerdict;

/// A changed verdict is kept for the next start after this time, with all others.
const KEEP_VERDICTS_AFTER: Duration = Duration::from_secs(1);
/// The instances for which that time is long enough; more take as many times as long.
const INSTANCES_PER_SECOND: usize = 1_000;

/// The check that decides the health of an instance of this agent.
#[derive(Clone, Debug)]
pub(crate) struct OwnCheck {
    id: CheckId,
    check: Check,
    latest: Option<Latest>,
}

/// The latest verdict of a check.
#[derive(Clone, Debug)]
struct Latest {
    kept: KeptVerdict,
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
    pub(crate) fn new(id: CheckId, check: Check) -> Self {
        Self { id, check, latest: None }
    }

    /// A check whose verdict was kept over a restart of this agent.
    pub(crate) fn kept(id: CheckId, check: Check, kept: KeptVerdict) -> Self {
        let older_by = Duration::from_millis(wall_clock_ms().saturating_sub(kept.since_ms));
        let latest = Latest {
            kept,
            output: "its verdict before this agent started again".to_owned(),
            signal: None,
            at: Time::ZERO,
            older_by,
        };
        Self { id, check, latest: Some(latest) }
    }

    fn explain(&self, now: Time) -> CheckExplained {
        let latest = self.latest.as_ref();
        CheckExplained {
            name: self.check.name.clone(),
            target: target_of(&self.check),
            interval_ms: self.check.interval_ms,
            output: latest.map(|latest| latest.output.clone()),
            changed_ago_ms: latest.map(|latest| millis(latest.age(now))),
            signal: latest.and_then(|latest| latest.signal).map(|signal| signal.word().to_owned()),
        }
    }
}

/// The URL or address that a check probes.
pub(crate) fn target_of(check: &Check) -> String {
    match &check.probe {
        Probe::Http(http) => http.url.clone(),
        Probe::Tcp { address } => address.clone(),
        Probe::Udp(udp) => udp.address.clone(),
        Probe::Grpc(grpc) => match &grpc.service {
            Some(service) => format!("{}/{service}", grpc.address),
            None => grpc.address.clone(),
        },
        Probe::Script { args } => args.join(" "),
        Probe::Ttl { ttl_ms } => format!("reports within {ttl_ms} ms"),
        Probe::Alias(Alias::Instance(id)) => format!("the instance {id}"),
        Probe::Alias(Alias::Member(name)) => format!("the member {name}"),
    }
}

/// The one check that decides the health of each instance, by the id of the instance.
#[derive(Debug, Default)]
pub(crate) struct OwnChecks(BTreeMap<Arc<str>, OwnCheck>);

impl OwnChecks {
    /// Makes this check the only one that decides the health of the instance; with `None`, no check does.
    fn set(&mut self, instance: Arc<str>, check: Option<OwnCheck>) {
        match check {
            Some(check) => drop(self.0.insert(instance, check)),
            None => drop(self.0.remove(&instance)),
        }
    }

    pub(super) fn explain(&self, instance: &str, now: Time) -> Option<CheckExplained> {
        self.0.get(instance).map(|own| own.explain(now))
    }

    /// The latest verdicts, for the next start.
    fn verdicts(&self) -> BTreeMap<Arc<str>, KeptVerdict> {
        let of = |(id, own): (&Arc<str>, &OwnCheck)| {
            Some((id.clone(), own.latest.as_ref()?.kept.clone()))
        };
        self.0.iter().filter_map(of).collect()
    }

    /// Notes a report. Returns whether its check is the one that decides the health of the instance.
    fn note(&mut self, report: &CheckReport, now: Time) -> bool {
        let own = self.0.get_mut(&report.id.instance).filter(|own| own.id == report.id);
        let is_current = own.is_some();
        if let Some(own) = own {
            own.latest = Some(Latest {
                kept: KeptVerdict {
                    target: target_of(&own.check),
                    health: report.health,
                    since_ms: wall_clock_ms(),
                },
                output: report.output.clone(),
                signal: report.signal,
                at: now,
                older_by: Duration::ZERO,
            });
        }
        is_current
    }
}

impl FromIterator<OwnCheck> for OwnChecks {
    fn from_iter<T: IntoIterator<Item = OwnCheck>>(checks: T) -> Self {
        Self(checks.into_iter().map(|check| (check.id.instance.clone(), check)).collect())
    }
}

impl Driver {
    /// Writes the verdict of a check. A verdict on a registration that was replaced since is dropped.
    pub(super) fn take_report(&mut self, report: &CheckReport) {
        let now = self.clock.now();
        if !self.own_checks.note(report, now) {
            return;
        }
        self.keep_verdicts_later();
        let CheckReport { id, health, output, .. } = report;
        let id: &str = &id.instance;
        match health {
            Health::Passing => tracing::info!(id, output, "the instance is healthy"),
            Health::Failing => tracing::warn!(id, output, "the instance is unhealthy"),
            Health::Unknown => tracing::warn!(id, output, "the instance's check is overdue"),
        }
        let records = registering::set_health(&id.into(), *health);
        // A registration reserves the room for its health; whatever refuses it is told.
        if let Err(error) = self.node.write(records, now) {
            tracing::error!(id, ?health, %error, "the health of the instance could not be written: clients see the former one");
        }
    }

    /// Makes a check the only one that decides the health of an instance; with `None`, no check does.
    pub(super) fn set_check(&mut self, instance: Arc<str>, check: Option<OwnCheck>) {
        self.own_checks.set(instance, check);
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
