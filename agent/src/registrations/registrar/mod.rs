//! The registrar: one task that owns the data directory and starts the health checks of this agent's instances.
//!
//! A registration is checked, made durable, then written to the catalog, in this order and one at a time. So an
//! acknowledged one survives a crash, and a refused one leaves no trace. Verdicts do not come through here: they go from
//! the checks straight to the driver, however long the disk takes.

mod checking;
mod keeping;
mod reporting;
pub(super) mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hobnob_api::{ApiError, Dropped, ErrorCode, EventKind, RegisterOutcome, Registration};
use hobnob_membership::registering::{self, InitialHealth, RecordChanges};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::check_ids::{CheckIds, with_ids};
use super::dropped::dropped;
use super::handle::{Command, RegistrationsHandle};
use super::hearings::Hearings;
use super::registrants::Registrants;
use super::restore::{Restored, RestoredCheck};
use crate::caller::Caller;
use crate::checks::{CheckContext, CheckId, Checker, LatestOutcomes, ListenerWatch, Prober};
use crate::clock::wall_clock_ms;
use crate::driver::{DriverHandle, OwnChange, Persist, Refused};
use crate::history::{By, Event, History};
use crate::progress::Progress;
use crate::services::Registry;
use crate::storage::{
    DataDir, KeptKeys, KeptVerdict, StoredRegistrant, StoredRegistration, StoredUpkeep,
};
use crate::translate::api_node_id;

use checking::is_checked_alike;
use keeping::KEEP_AGAIN_AFTER;
pub(super) use upkeep::Draining;

/// Checks that were critical for too long, and wait for the registrar; others are told again.
const MAX_EXPIRED: usize = 64;

/// The task. See the module.
pub(crate) struct Registrar {
    /// Gone only if its thread panicked; then the registrar ends.
    data_dir: Option<DataDir>,
    default_address: String,
    registry: Arc<Registry>,
    driver: DriverHandle,
    commands: mpsc::Receiver<Command>,
    pub(super) registrants: Arc<Registrants>,
    hearings: Arc<Hearings>,
    check_ids: Arc<CheckIds>,
    /// The running checks, by the id of their instance.
    checkers: BTreeMap<Arc<str>, Vec<Checker>>,
    context: CheckContext,
    /// What operators did to the instances.
    upkeep: StoredUpkeep,
    /// The drains that go on.
    draining: BTreeMap<Arc<str>, Draining>,
    /// The checks that were critical for too long.
    expired: mpsc::Receiver<CheckId>,
    /// The number of the next check.
    next_check: u64,
    /// The latest verdicts, while the disk has not taken them.
    unkept: Option<BTreeMap<Arc<str>, KeptVerdict>>,
    /// The keys of a sealed cluster, while the disk has not taken them.
    unkept_keys: Option<(Box<KeptKeys>, u64)>,
    progress: Progress,
    pub(super) history: History,
    /// The maintenance and the drains, as others read them.
    upkeep_shown: Arc<ArcSwap<StoredUpkeep>>,
}

impl Registrar {
    /// The registrar, with the checks of its restored registrations running, and the way to ask it.
    pub(crate) fn new(
        data_dir: DataDir,
        default_address: String,
        registry: Arc<Registry>,
        driver: DriverHandle,
        restored: Restored,
        listeners: ListenerWatch,
        mut prober: Prober,
    ) -> (Self, RegistrationsHandle) {
        let registrants = Arc::new(Registrants::of(&data_dir, &restored.defined));
        let hearings = Arc::<Hearings>::default();
        let check_ids = Arc::new(CheckIds::of(data_dir.registrations()));
        let upkeep_shown = Arc::new(ArcSwap::from_pointee(restored.upkeep.clone()));
        let latest = Arc::<LatestOutcomes>::default();
        let (handle, commands) = RegistrationsHandle::channel(
            registrants.clone(),
            hearings.clone(),
            check_ids.clone(),
            upkeep_shown.clone(),
            latest.clone(),
            prober.script_checks,
        );
        let (expiring, expired) = mpsc::channel(MAX_EXPIRED);
        prober.neighbours = Some(Arc::new(driver.clone()));
        let reports = driver.reports();
        let context = CheckContext { prober, listeners, reports, expired: expiring, latest };
        let mut this = Self {
            data_dir: Some(data_dir),
            default_address,
            registry,
            driver,
            commands,
            registrants,
            hearings,
            check_ids,
            checkers: BTreeMap::new(),
            context,
            upkeep: StoredUpkeep::default(),
            draining: BTreeMap::new(),
            expired,
            next_check: restored.checks.len() as u64,
            unkept: None,
            unkept_keys: None,
            progress: Progress::default(),
            history: History::silent(),
            upkeep_shown,
        };
        this.draining = restored.draining();
        this.upkeep = restored.upkeep;
        for restored in restored.checks {
            let RestoredCheck { id, check, start, subject, .. } = restored;
            this.start_check(id, check, start, subject);
        }
        (this, handle)
    }

    /// The same, showing there that it makes progress.
    pub(crate) fn showing(self, progress: Progress) -> Self {
        Self { progress, ..self }
    }

    /// The same, recording there what it changes.
    pub(crate) fn recording(self, history: History) -> Self {
        Self { history, ..self }
    }

    /// Runs until all handles are gone. Ends early if the data directory is lost to a panic.
    pub(crate) async fn run(mut self, mut persist: mpsc::Receiver<Persist>) {
        while self.data_dir.is_some() {
            let drain_due = self.drain_due();
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.take_command(command).await,
                    None => break,
                },
                Some(persisted) = persist.recv() => self.persist(persisted).await,
                () = upkeep::wait_until(drain_due) => self.continue_drains().await,
                Some(expired) = self.expired.recv() => self.expire(&expired).await,
                () = sleep(KEEP_AGAIN_AFTER), if self.has_unkept() => self.keep_again().await,
            }
        }
        while let Ok(persisted) = persist.try_recv() {
            self.persist(persisted).await;
        }
    }

    async fn take_command(&mut self, command: Command) {
        match command {
            Command::Register { registration, caller, reply } => {
                reply.send(self.register(&registration, caller).await);
            }
            Command::Deregister { id, caller, reply } => {
                reply.send(self.deregister(&id, caller).await);
            }
            Command::PutCheck { id, check, caller, reply } => {
                reply.send(self.put_check(&id, &check, caller).await);
            }
            Command::RemoveCheck { namespace, check_id, caller, reply } => {
                reply.send(self.remove_check(&namespace, &check_id, caller).await);
            }
            Command::Define { definitions, reply } => reply.send(self.define(&definitions).await),
            Command::Maintain { id, reason, caller, reply } => {
                reply.send(self.maintain(id.as_deref(), reason, caller).await);
            }
            Command::Drain { id, over, caller, reply } => {
                reply.send(self.drain(&id, over, caller).await);
            }
            Command::AwaitDrained { id, reply } => self.await_drained(&id, reply),
            Command::Report { id, check, report, reply } => {
                reply.send(self.report(&id, check.as_deref(), report).await);
            }
        }
    }

    async fn register(
        &mut self,
        registration: &Registration,
        caller: Caller,
    ) -> Result<(RegisterOutcome, Option<Dropped>), ApiError> {
        let after = StoredRegistration::from(registration);
        self.check_undefined(&after.id)?;
        self.check_write(&after.id, self.records_of(&after)).await?;
        self.put(after, caller, None).await
    }

    async fn deregister(&mut self, id: &str, caller: Caller) -> Result<(), ApiError> {
        self.check_undefined(id)?;
        self.remove(id, caller).await
    }

    /// An instance that a file defines is changed by that file alone.
    fn check_undefined(&self, id: &str) -> Result<(), ApiError> {
        let registration = self.data_dir()?.registration(id);
        match registration.and_then(|registration| registration.source.as_ref()) {
            None => Ok(()),
            Some(source) => Err(ApiError::new(
                ErrorCode::InstanceDefinedByFile,
                format!(
                    "`{id}` is defined by the file {source} of this agent, and is changed there alone"
                ),
            )),
        }
    }

    pub(super) fn data_dir(&self) -> Result<&DataDir, ApiError> {
        self.data_dir.as_ref().ok_or_else(lost)
    }

    pub(super) fn records_of(&self, registration: &StoredRegistration) -> RecordChanges {
        let (service, _) = self.definition(registration);
        registering::register(&registration.id.as_str().into(), service, InitialHealth::Kept)
    }

    /// Makes a registration that was checked durable, and writes it. `about` is the check that the change is about, and what becomes of
    /// it; `None` when it is about the whole instance.
    pub(super) async fn put(
        &mut self,
        after: StoredRegistration,
        caller: Caller,
        about: Option<(&str, &str)>,
    ) -> Result<(RegisterOutcome, Option<Dropped>), ApiError> {
        let before = self.data_dir()?.registration(&after.id).map(with_ids);
        let after = self.check_ids.known().assign(before.as_ref(), after);
        let dropped = before.as_ref().and_then(|before| dropped(before, &after));
        // Many services register whenever they start, or whenever their host is set up.
        if before.as_ref() == Some(&after) {
            return Ok((RegisterOutcome::Unchanged, None));
        }
        let Caller { uid, pid, agent, .. } = caller;
        let agent = agent.map(api_node_id);
        let by = StoredRegistrant { uid, pid, at_ms: wall_clock_ms(), agent };
        let stored = after.clone();
        self.with_data_dir(move |data_dir| data_dir.put_registration(&stored, Some(by))).await?;
        self.registrants.set(&after, by);
        self.check_ids.set(&after);
        let records = self.records_of(&after);
        if before.as_ref().is_some_and(|before| is_checked_alike(before, &after)) {
            let written = self.driver.write(records).await;
            written.map_err(|refused| not_written(&after.id, refused))?;
        } else {
            self.write_with_checks(records, before.as_ref(), &after).await?;
        }
        let replaced = before.is_some();
        let kind = if replaced { EventKind::Changed } else { EventKind::Registered };
        let event = Event::new(kind, by_of(after.source.as_deref(), caller)).instance(&after.id);
        let event = event.service(Some(&after.service));
        self.history.record(match (about, &dropped) {
            (Some((check, what)), _) => event.check(check).why(what),
            (None, Some(Dropped { service: Some(service), .. })) => {
                event.why(&format!("it was an instance of the service {service} before"))
            }
            (None, _) => event,
        });
        let agent = agent.map(tracing::field::display);
        let file = after.source.as_deref();
        // A file has no process that registers: this one only reads it.
        let (uid, pid) = (file.is_none().then_some(uid), pid.filter(|_| file.is_none()));
        tracing::info!(
            id = after.id,
            service = after.service,
            replaced,
            check = about.map(|(check, _)| check),
            what = about.map(|(_, what)| what),
            was = dropped.as_ref().and_then(|dropped| dropped.service.as_deref()),
            uid,
            pid,
            agent,
            file,
            "registered"
        );
        Ok((if replaced { RegisterOutcome::Replaced } else { RegisterOutcome::Added }, dropped))
    }

    /// Removes a registration from the disk and the catalog, and ends its check.
    pub(super) async fn remove(&mut self, id: &str, caller: Caller) -> Result<(), ApiError> {
        let owned = id.to_owned();
        let before = self.data_dir()?.registration(id);
        let service = before.map(|before| before.service.clone());
        let source = before.and_then(|before| before.source.clone());
        let known =
            self.with_data_dir(move |data_dir| data_dir.remove_registration(&owned)).await?;
        if !known {
            return Err(self.not_found(id));
        }
        self.withdraw(id).await?;
        let by = by_of(source.as_deref(), caller);
        let event = Event::new(EventKind::Deregistered, by).instance(id);
        self.history.record(event.service(service.as_deref()));
        let agent = caller.agent.map(tracing::field::display);
        tracing::info!(id, uid = caller.uid, pid = caller.pid, agent, "deregistered");
        Ok(())
    }

    /// Takes an instance out of the catalog whose registration is no longer on the disk.
    async fn withdraw(&mut self, id: &str) -> Result<(), ApiError> {
        self.registrants.remove(id);
        self.check_ids.remove(id);
        self.end_checks(&id.into());
        if let Err(error) = self.forget_upkeep(id).await {
            tracing::warn!(id, %error, "the maintenance or the drain of an instance that is gone could not be forgotten");
        }
        let records = registering::deregister(&id.into());
        let change = OwnChange::Checks(None);
        let written = self.driver.write_with_checks(records, id.into(), change).await;
        written.map_err(|refused| not_written(id, refused))
    }

    fn not_found(&self, id: &str) -> ApiError {
        let services = self.registry.services();
        let elsewhere = services.values().find_map(|service| {
            service
                .instances()
                .values()
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

    pub(super) async fn check_write(
        &self,
        id: &str,
        records: RecordChanges,
    ) -> Result<(), ApiError> {
        let checked = self.driver.check_write(records).await;
        checked.map_err(|refused| {
            let error = ApiError::from(refused);
            ApiError { message: format!("`{id}` cannot be registered: {error}"), ..error }
        })
    }
}

/// The file that defines an instance, or the process that asked.
fn by_of(source: Option<&str>, caller: Caller) -> By {
    source.map_or_else(|| By::client(caller), By::file)
}

/// The answer when a change is on the disk, and the node does not take it. It was checked, and the room of every
/// registration is reserved, so only an agent that stops meanwhile does that.
fn not_written(id: &str, refused: Refused) -> ApiError {
    tracing::error!(id, error = %refused, "a change is on the disk and not in the catalog: it takes effect at the next start");
    let error = ApiError::from(refused);
    let message = format!("the change of `{id}` takes effect at the next start: {error}");
    ApiError { message, ..error }
}

fn lost() -> ApiError {
    ApiError::new(
        ErrorCode::StorageFailed,
        "the data directory was lost to an earlier failure of the agent",
    )
}
