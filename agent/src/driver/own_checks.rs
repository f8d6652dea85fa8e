//! The checks of this agent's instances, as the driver knows them: the current check of each, and its latest output.

use std::collections::BTreeMap;
use std::sync::Arc;

use hobnob_api::{Check, CheckExplained, Probe};
use hobnob_membership::record::Health;
use hobnob_membership::registering;
use tokio::time::Instant;

use super::Driver;
use crate::checks::{CheckId, CheckReport};
use crate::clock::millis;

/// The check that decides the health of an instance of this agent.
#[derive(Clone, Debug)]
pub(crate) struct OwnCheck {
    id: CheckId,
    check: Check,
    /// The output when the verdict last changed, and the time of that change.
    latest: Option<(String, Instant)>,
}

impl OwnCheck {
    pub(crate) fn new(id: CheckId, check: Check) -> Self {
        Self { id, check, latest: None }
    }

    fn explain(&self) -> CheckExplained {
        let target = match &self.check.probe {
            Probe::Http { url } => url.clone(),
            Probe::Tcp { address } => address.clone(),
        };
        let (output, since) = self.latest.clone().unzip();
        CheckExplained {
            name: self.check.name.clone(),
            target,
            interval_ms: self.check.interval_ms,
            output,
            changed_ago_ms: since.map(|at| millis(at.elapsed())),
        }
    }
}

/// The one check that decides the health of each instance, by the id of the instance.
#[derive(Debug, Default)]
pub(crate) struct OwnChecks(BTreeMap<Arc<str>, OwnCheck>);

impl OwnChecks {
    /// Makes this check the only one that decides the health of the instance; with `None`, no check does.
    pub(super) fn set(&mut self, instance: Arc<str>, check: Option<OwnCheck>) {
        match check {
            Some(check) => drop(self.0.insert(instance, check)),
            None => drop(self.0.remove(&instance)),
        }
    }

    pub(super) fn explain(&self, instance: &str) -> Option<CheckExplained> {
        self.0.get(instance).map(OwnCheck::explain)
    }

    /// Notes a report. Returns whether its check is the one that decides the health of the instance.
    fn note(&mut self, report: &CheckReport) -> bool {
        let own = self.0.get_mut(&report.id.instance).filter(|own| own.id == report.id);
        let is_current = own.is_some();
        if let Some(own) = own {
            own.latest = Some((report.output.clone(), Instant::now()));
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
        if !self.own_checks.note(report) {
            return;
        }
        let CheckReport { id, health, output } = report;
        let id: &str = &id.instance;
        match health {
            Health::Passing => tracing::info!(id, output, "the instance is healthy"),
            Health::Failing => tracing::warn!(id, output, "the instance is unhealthy"),
            Health::Unknown => tracing::warn!(id, output, "the instance's check is overdue"),
        }
        let records = registering::set_health(&id.into(), *health);
        // A registration reserves the room for its health; whatever refuses it is told.
        if let Err(error) = self.node.write(records, self.clock.now()) {
            tracing::error!(id, ?health, %error, "the health of the instance could not be written: clients see the former one");
        }
    }
}
