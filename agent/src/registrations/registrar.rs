//! The registrar: one task that owns the data directory and the health checks of this agent's instances.
//!
//! A registration is checked, made durable, then written to the catalog, in this order and one at a time, so that what
//! was acknowledged survives a crash and what was refused leaves no trace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hobnob_membership::record::{self, Health, Key, ServiceRecord, Value};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::handle::{Command, RegistrationsHandle};
use crate::checks::{self, CheckReport, Checker, Outcome, Thresholds, Verdict};
use crate::clock::millis;
use crate::driver::{DriverHandle, Persist, RecordChanges};
use crate::services::Registry;
use crate::storage::{self, DataDir};
use hobnob_api::address;
use hobnob_api::names::{self, NameError};
use hobnob_api::{
    ApiError, Check, CheckExplained, ErrorCode, Probe, RegisterOutcome, Registration,
};

/// Check reports that wait for the registrar; a checker waits when they are full.
const MAX_REPORTS: usize = 1_024;
/// Checks of one instance that run.
const MAX_CHECKS: usize = 1;
/// A restarting agent waits at most this long for the first round of its checks before it shows itself.
const RESTORE_WITHIN: Duration = Duration::from_secs(1);

/// What a data directory held at the start.
pub(crate) struct Restored {
    /// The records to start with.
    pub(crate) records: Vec<(Key, Value)>,
    registrations: Vec<(Registration, Option<Outcome>)>,
}

/// Reads the registrations and runs each of their checks once, so that the agent starts with what it would have found.
pub(crate) async fn restore(data_dir: &DataDir, default_address: &str) -> Restored {
    let mut tries = JoinSet::new();
    let mut registrations = BTreeMap::new();
    for registration in data_dir.registrations() {
        let id = registration.instance_id().to_owned();
        if let Some(check) = registration.check().cloned() {
            let id = id.clone();
            tries.spawn(async move {
                (id, checks::probe(&check.probe, Duration::from_millis(check.timeout_ms)).await)
            });
        }
        registrations.insert(id, (registration.clone(), None));
    }
    let deadline = tokio::time::Instant::now() + RESTORE_WITHIN;
    while let Ok(Some(tried)) = tokio::time::timeout_at(deadline, tries.join_next()).await {
        if let Ok((id, outcome)) = tried
            && let Some((_, first)) = registrations.get_mut(&id)
        {
            *first = Some(outcome);
        }
    }
    let mut records = Vec::new();
    for (id, (registration, first)) in &registrations {
        records.push((
            Key::Service(id.into()),
            Value::Service(service_record(registration, default_address).into()),
        ));
        if let Some((check, first)) = registration.check().zip(first.clone()) {
            let health = Verdict::restored(Thresholds::from(check), first).health();
            records.push((Key::Health(id.into()), Value::Health(health)));
        }
    }
    Restored { records, registrations: registrations.into_values().collect() }
}

fn service_record(registration: &Registration, default_address: &str) -> ServiceRecord {
    ServiceRecord {
        service: registration.service.as_str().into(),
        namespace: registration.namespace.as_str().into(),
        address: registration.address.as_deref().unwrap_or(default_address).into(),
        port: registration.port,
        tags: registration.tags.iter().collect(),
        meta: registration.meta.iter().collect(),
        weight: registration.weight,
        checked: registration.check().is_some(),
        balancing: balancing(&registration.balancing),
    }
}

fn balancing(settings: &hobnob_api::Balancing) -> record::Balancing {
    record::Balancing {
        strategy: settings.strategy.map(|strategy| strategy.name().into()),
        failure_threshold: settings.failure_threshold,
        recovery_timeout_ms: settings.recovery_timeout_ms,
    }
}

/// The task. See the module.
pub(crate) struct Registrar {
    /// Gone only if its thread panicked; then every change is refused.
    data_dir: Option<DataDir>,
    default_address: String,
    registry: Arc<Registry>,
    driver: DriverHandle,
    commands: mpsc::Receiver<Command>,
    checks: BTreeMap<String, RunningCheck>,
    next_check: u64,
    reports: (mpsc::Sender<CheckReport>, mpsc::Receiver<CheckReport>),
}

struct RunningCheck {
    _checker: Checker,
    /// Which of the checks that ever ran; a report of an earlier one is stale.
    number: u64,
    check: Check,
    /// What it said when its verdict last changed, and when that was.
    latest: Option<(String, Instant)>,
}

impl RunningCheck {
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

impl Registrar {
    pub(crate) fn new(
        data_dir: DataDir,
        default_address: String,
        registry: Arc<Registry>,
        driver: DriverHandle,
        restored: Restored,
    ) -> (Self, RegistrationsHandle) {
        let (handle, commands) = RegistrationsHandle::channel();
        let mut this = Self {
            data_dir: Some(data_dir),
            default_address,
            registry,
            driver,
            commands,
            checks: BTreeMap::new(),
            next_check: 0,
            reports: mpsc::channel(MAX_REPORTS),
        };
        for (registration, first) in restored.registrations {
            this.start_check(&registration, first);
        }
        (this, handle)
    }

    /// Runs until nobody can ask any more.
    pub(crate) async fn run(mut self, mut persist: mpsc::Receiver<Persist>) {
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.take_command(command).await,
                    None => break,
                },
                Some(report) = self.reports.1.recv() => self.report(report).await,
                Some(persisted) = persist.recv() => self.persist(persisted).await,
            }
        }
        while let Ok(persisted) = persist.try_recv() {
            self.persist(persisted).await;
        }
    }

    async fn take_command(&mut self, command: Command) {
        match command {
            Command::Register { registration, reply } => {
                reply.send(self.register(*registration).await);
            }
            Command::Deregister { id, reply } => reply.send(self.deregister(&id).await),
            Command::Check { id, reply } => {
                reply.send(self.checks.get(&id).map(RunningCheck::explain));
            }
        }
    }

    async fn register(&mut self, registration: Registration) -> Result<RegisterOutcome, ApiError> {
        check_names(&registration)
            .map_err(|error| ApiError::new(ErrorCode::NameInvalid, error.to_string()))?;
        let id = registration.instance_id().to_owned();
        if let Some(address) =
            registration.address.as_deref().filter(|host| address::is_mistyped_ip(host))
        {
            return Err(ApiError::new(
                ErrorCode::AddressInvalid,
                format!("`{address}` is neither an IP address nor a host name"),
            ));
        }
        if registration.checks.len() > MAX_CHECKS {
            let message = format!(
                "`{id}` has {} checks, and this version runs {MAX_CHECKS}",
                registration.checks.len()
            );
            return Err(ApiError::new(ErrorCode::TooManyChecks, message));
        }
        if let Some(check) = registration.check() {
            checks::validate(check).map_err(|error| {
                let message = format!("the check `{}` of `{id}`: {error}", check.name);
                ApiError::new(ErrorCode::CheckInvalid, message)
            })?;
        }
        let service = Value::Service(service_record(&registration, &self.default_address).into());
        let mut records = vec![(Key::Service((&id).into()), Some(service))];
        self.check_write(&id, records.clone()).await?;
        let before = self.data_dir.as_ref().and_then(|data_dir| {
            data_dir.registrations().find(|known| known.instance_id() == id).cloned()
        });
        // Many services register whenever they start, or whenever their host is set up.
        if before.as_ref() == Some(&registration) {
            return Ok(RegisterOutcome::Unchanged);
        }
        let stored = registration.clone();
        self.with_data_dir(move |data_dir| data_dir.put_registration(&stored)).await?;
        // What a check found of something else says nothing about it.
        let anew = !before.as_ref().is_some_and(|before| is_checked_alike(before, &registration));
        if anew {
            self.checks.remove(&id);
            records.push((Key::Health((&id).into()), None));
        }
        self.driver.write(records).await?;
        if anew {
            self.start_check(&registration, None);
        }
        let replaced = before.is_some();
        tracing::info!(id, service = registration.service, replaced, "registered");
        Ok(if replaced { RegisterOutcome::Replaced } else { RegisterOutcome::Added })
    }

    async fn deregister(&mut self, id: &str) -> Result<(), ApiError> {
        let owned = id.to_owned();
        let known =
            self.with_data_dir(move |data_dir| data_dir.remove_registration(&owned)).await?;
        if !known {
            return Err(self.not_found(id));
        }
        self.checks.remove(id);
        let records = vec![(Key::Service(id.into()), None), (Key::Health(id.into()), None)];
        self.driver.write(records).await?;
        tracing::info!(id, "deregistered");
        Ok(())
    }

    fn not_found(&self, id: &str) -> ApiError {
        let services = self.registry.services();
        let elsewhere = services.values().find_map(|service| {
            service
                .instances()
                .iter()
                .find(|instance| instance.id == id)
                .map(|instance| instance.node.name.clone())
        });
        match elsewhere {
            Some(node) => ApiError::new(
                ErrorCode::InstanceElsewhere,
                format!("`{id}` is registered with the agent `{node}`, not with this one"),
            ),
            None => ApiError::new(
                ErrorCode::InstanceNotFound,
                format!("no instance `{id}` is registered with this agent"),
            ),
        }
    }

    fn start_check(&mut self, registration: &Registration, first: Option<Outcome>) {
        let Some(check) = registration.check() else { return };
        self.next_check += 1;
        let number = self.next_check;
        let id = registration.instance_id().to_owned();
        let checker =
            Checker::spawn(format!("{number}/{id}"), check.clone(), first, self.reports.0.clone());
        let check = check.clone();
        self.checks.insert(id, RunningCheck { _checker: checker, number, check, latest: None });
    }

    async fn report(&mut self, report: CheckReport) {
        let Some((number, id)) = report.id.split_once('/') else { return };
        let running = self.checks.get_mut(id);
        let Some(check) = running.filter(|check| check.number.to_string() == number) else {
            return;
        };
        check.latest = Some((report.output.clone(), Instant::now()));
        match report.health {
            Health::Passing => {
                tracing::info!(id, output = report.output, "the instance is healthy");
            }
            Health::Failing => {
                tracing::warn!(id, output = report.output, "the instance is unhealthy");
            }
            Health::Unknown => {
                tracing::warn!(id, output = report.output, "the instance's check is overdue");
            }
        }
        let record = (Key::Health(id.into()), Some(Value::Health(report.health)));
        if let Err(error) = self.driver.write(vec![record]).await {
            tracing::error!(id, %error, "the instance's health could not be written");
        }
    }

    async fn persist(&mut self, persist: Persist) {
        let persisted = self
            .with_data_dir(move |data_dir| match persist {
                Persist::Epoch(epoch) => data_dir.save_epoch(epoch),
                Persist::Peers(peers) => data_dir.save_peers(&peers),
            })
            .await;
        if let Err(error) = persisted {
            tracing::warn!(%error, "what the next start would use could not be kept");
        }
    }

    async fn check_write(&self, id: &str, records: RecordChanges) -> Result<(), ApiError> {
        let checked = self.driver.check_write(records).await;
        checked.map_err(|refused| {
            let error = ApiError::from(refused);
            ApiError { message: format!("`{id}` cannot be registered: {error}"), ..error }
        })
    }

    /// Works on the data directory on a thread that may block.
    async fn with_data_dir<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut DataDir) -> Result<T, storage::WriteError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let gone = || {
            ApiError::new(
                ErrorCode::StorageFailed,
                "the data directory was lost to an earlier failure of the agent",
            )
        };
        let mut data_dir = self.data_dir.take().ok_or_else(gone)?;
        let worked = tokio::task::spawn_blocking(move || {
            let result = work(&mut data_dir);
            (data_dir, result)
        });
        let (data_dir, result) = worked.await.map_err(|_| gone())?;
        self.data_dir = Some(data_dir);
        result.map_err(|error| ApiError::new(code_of(&error), error.to_string()))
    }
}

/// Whether what the check found of one holds of the other.
fn is_checked_alike(before: &Registration, after: &Registration) -> bool {
    let place = |of: &Registration| (of.address.clone(), of.port);
    before.checks == after.checks && place(before) == place(after)
}

/// Of what was registered before, and elsewhere, the catalog takes more.
fn check_names(registration: &Registration) -> Result<(), NameError> {
    let Registration { service, id, namespace, tags, meta, checks, .. } = registration;
    names::check("service", service)?;
    id.iter().try_for_each(|id| names::check("id", id))?;
    names::check("namespace", namespace)?;
    tags.iter().try_for_each(|tag| names::check("tag", tag))?;
    meta.keys().try_for_each(|key| names::check("metadata key", key))?;
    checks.iter().try_for_each(|check| names::check("check", &check.name))
}

fn code_of(error: &storage::WriteError) -> ErrorCode {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    match error {
        storage::WriteError::Io { source, .. } => match source.kind() {
            StorageFull | QuotaExceeded => ErrorCode::DiskFull,
            _ => ErrorCode::StorageFailed,
        },
        storage::WriteError::TooMany => ErrorCode::TooManyRegistrations,
        storage::WriteError::TooLarge { .. } => ErrorCode::RegistrationInvalid,
    }
}
