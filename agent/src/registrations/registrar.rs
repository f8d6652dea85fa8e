//! The registrar: one task that owns the data directory and starts the health checks of this agent's instances.
//!
//! A registration is checked, made durable, then written to the catalog, in this order and one at a time. So an
//! acknowledged one survives a crash, and a refused one leaves no trace. Verdicts do not come through here: they go from
//! the checks straight to the driver, however long the disk takes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hobnob_api::{ApiError, Check, ErrorCode, RegisterOutcome, Registration};
use hobnob_membership::registering::{self, InitialHealth, RecordChanges};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, interval_at, sleep};

use super::handle::{Command, RegistrationsHandle};
use super::records;
use super::registrants::Registrants;
use super::restore::{Restored, running_check};
use crate::caller::Caller;
use crate::checks::{CheckId, Checker, ListenerWatch, Start};
use crate::clock::wall_clock_ms;
use crate::driver::{DriverHandle, OwnCheck, Persist, Refused};
use crate::progress::Progress;
use crate::services::Registry;
use crate::storage::{
    DataDir, KeptKeys, KeptVerdict, StoredRegistrant, StoredRegistration, WriteError,
};
use crate::translate::api_node_id;

/// Verdicts and keys that the disk refused are offered to it again after this time.
const KEEP_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// A disk that takes longer than this for a change does not answer.
const DISK_STALLS_AFTER: Duration = Duration::from_secs(1);
/// The time from one warning of that to the next.
const TELL_STALL_EVERY: Duration = Duration::from_secs(10);

/// The task. See the module.
pub(crate) struct Registrar {
    /// Gone only if its thread panicked; then the registrar ends.
    data_dir: Option<DataDir>,
    default_address: String,
    registry: Arc<Registry>,
    driver: DriverHandle,
    commands: mpsc::Receiver<Command>,
    registrants: Arc<Registrants>,
    /// The running checks, by the id of their instance.
    checkers: BTreeMap<Arc<str>, Checker>,
    listeners: ListenerWatch,
    /// The number of the next check.
    next_check: u64,
    /// The latest verdicts, while the disk has not taken them.
    unkept: Option<BTreeMap<Arc<str>, KeptVerdict>>,
    /// The keys of a sealed cluster, while the disk has not taken them.
    unkept_keys: Option<(Box<KeptKeys>, u64)>,
    progress: Progress,
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
    ) -> (Self, RegistrationsHandle) {
        let registrants = Arc::new(Registrants::of(&data_dir));
        let (handle, commands) = RegistrationsHandle::channel(registrants.clone());
        let mut this = Self {
            data_dir: Some(data_dir),
            default_address,
            registry,
            driver,
            commands,
            registrants,
            checkers: BTreeMap::new(),
            listeners,
            next_check: restored.checks.len() as u64,
            unkept: None,
            unkept_keys: None,
            progress: Progress::default(),
        };
        for restored in restored.checks {
            this.start_check(restored.id, restored.check, restored.start);
        }
        (this, handle)
    }

    /// The same, showing there that it makes progress.
    pub(crate) fn showing(self, progress: Progress) -> Self {
        Self { progress, ..self }
    }

    /// Runs until all handles are gone. Ends early if the data directory is lost to a panic.
    pub(crate) async fn run(mut self, mut persist: mpsc::Receiver<Persist>) {
        while self.data_dir.is_some() {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.take_command(command).await,
                    None => break,
                },
                Some(persisted) = persist.recv() => self.persist(persisted).await,
                () = sleep(KEEP_AGAIN_AFTER), if self.has_unkept() => self.keep_again().await,
            }
        }
        while let Ok(persisted) = persist.try_recv() {
            self.persist(persisted).await;
        }
    }

    async fn take_command(&mut self, command: Command) {
        let _work = self.progress.begin_storage();
        match command {
            Command::Register { registration, caller, reply } => {
                reply.send(self.register(&registration, caller).await);
            }
            Command::Deregister { id, caller, reply } => {
                reply.send(self.deregister(&id, caller).await);
            }
        }
    }

    async fn register(
        &mut self,
        registration: &Registration,
        caller: Caller,
    ) -> Result<RegisterOutcome, ApiError> {
        let after = StoredRegistration::from(registration);
        let service = records::service(&after, &self.default_address);
        let instance = after.id.as_str().into();
        let records = registering::register(&instance, service.clone(), InitialHealth::Kept);
        self.check_write(&after.id, records.clone()).await?;
        let data_dir = self.data_dir.as_ref().ok_or_else(lost)?;
        let before = data_dir.registration(&after.id).cloned();
        // Many services register whenever they start, or whenever their host is set up.
        if before.as_ref() == Some(&after) {
            return Ok(RegisterOutcome::Unchanged);
        }
        let Caller { uid, pid, agent } = caller;
        let agent = agent.map(api_node_id);
        let by = StoredRegistrant { uid, pid, at_ms: wall_clock_ms(), agent };
        let stored = after.clone();
        self.with_data_dir(move |data_dir| data_dir.put_registration(&stored, Some(by))).await?;
        self.registrants.set(&after.id, by);
        if before.as_ref().is_some_and(|before| is_checked_alike(before, &after)) {
            let written = self.driver.write(records).await;
            written.map_err(|refused| not_written(&after.id, refused))?;
        } else {
            // A verdict on the earlier registration says nothing about this one.
            let records = registering::register(&instance, service, InitialHealth::Unknown);
            self.write_with_new_check(records, &after).await?;
        }
        let replaced = before.is_some();
        let agent = agent.map(tracing::field::display);
        tracing::info!(
            id = after.id,
            service = after.service,
            replaced,
            uid,
            pid,
            agent,
            "registered"
        );
        Ok(if replaced { RegisterOutcome::Replaced } else { RegisterOutcome::Added })
    }

    async fn deregister(&mut self, id: &str, caller: Caller) -> Result<(), ApiError> {
        let owned = id.to_owned();
        let known =
            self.with_data_dir(move |data_dir| data_dir.remove_registration(&owned)).await?;
        if !known {
            return Err(self.not_found(id));
        }
        self.registrants.remove(id);
        self.checkers.remove(id);
        let records = registering::deregister(&id.into());
        let written = self.driver.write_with_check(records, id.into(), None).await;
        written.map_err(|refused| not_written(id, refused))?;
        let agent = caller.agent.map(tracing::field::display);
        tracing::info!(id, uid = caller.uid, pid = caller.pid, agent, "deregistered");
        Ok(())
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

    /// Writes a registration and, in the same step, gives the right to speak for its instance to the check that begins
    /// with it.
    async fn write_with_new_check(
        &mut self,
        records: RecordChanges,
        registration: &StoredRegistration,
    ) -> Result<(), ApiError> {
        let instance: Arc<str> = registration.id.as_str().into();
        self.checkers.remove(&instance);
        let check = running_check(registration).map(|check| {
            let id = CheckId { instance: instance.clone(), number: self.next_check };
            self.next_check += 1;
            (id, check)
        });
        let own = check.clone().map(|(id, check)| OwnCheck::new(id, check));
        let written = self.driver.write_with_check(records, instance, own).await;
        written.map_err(|refused| not_written(&registration.id, refused))?;
        if let Some((id, check)) = check {
            self.start_check(id, check, Start::New);
        }
        Ok(())
    }

    fn start_check(&mut self, id: CheckId, check: Check, start: Start) {
        let instance = id.instance.clone();
        let checker = Checker::spawn(id, check, start, &self.listeners, self.driver.reports());
        self.checkers.insert(instance, checker);
    }

    fn has_unkept(&self) -> bool {
        self.unkept.is_some() || self.unkept_keys.is_some()
    }

    async fn keep_again(&mut self) {
        if let Some(verdicts) = self.unkept.clone() {
            self.persist(Persist::Verdicts(verdicts)).await;
        }
        if let Some((keys, change)) = self.unkept_keys.clone() {
            self.persist(Persist::Keys(keys, change)).await;
        }
    }

    async fn persist(&mut self, persist: Persist) {
        let _work = self.progress.begin_storage();
        match persist {
            Persist::Epoch(epoch) => {
                self.keep(move |data_dir| data_dir.save_epoch(epoch), false).await;
            }
            Persist::Peers(peers) => {
                self.keep(move |data_dir| data_dir.save_peers(&peers), false).await;
            }
            Persist::Verdicts(verdicts) => {
                let (was_unkept, kept) = (self.unkept.take().is_some(), verdicts.clone());
                let is_kept = self.keep(move |data_dir| data_dir.save_verdicts(&kept), was_unkept);
                self.unkept = (!is_kept.await).then_some(verdicts);
            }
            Persist::Keys(keys, change) => {
                let (was_unkept, kept) = (self.unkept_keys.take().is_some(), keys.clone());
                let outcome = self.try_keep(move |data_dir| data_dir.save_keys(&kept), was_unkept);
                let outcome = outcome.await.map_err(|error| error.message);
                if outcome.is_err() {
                    self.driver.count_unkept_keys();
                    self.unkept_keys = Some((keys, change));
                }
                self.driver.keys_kept().note_outcome(change, outcome);
            }
        }
    }

    /// Keeps something for the next start. Returns whether the disk took it. A failure that was told before is not told again.
    async fn keep(
        &mut self,
        work: impl FnOnce(&mut DataDir) -> Result<(), WriteError> + Send + 'static,
        is_told: bool,
    ) -> bool {
        self.try_keep(work, is_told).await.is_ok()
    }

    /// The same, with the error.
    async fn try_keep(
        &mut self,
        work: impl FnOnce(&mut DataDir) -> Result<(), WriteError> + Send + 'static,
        is_told: bool,
    ) -> Result<(), ApiError> {
        let kept = self.with_data_dir(work).await;
        if let Err(error) = &kept
            && !is_told
        {
            tracing::warn!(%error, "the epoch, the peers, the verdicts or the keys could not be kept for the next start");
        }
        kept
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
        work: impl FnOnce(&mut DataDir) -> Result<T, WriteError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let mut data_dir = self.data_dir.take().ok_or_else(lost)?;
        let worked = tokio::task::spawn_blocking(move || {
            let result = work(&mut data_dir);
            (data_dir, result)
        });
        let (data_dir, result) = self.wait_for_disk(worked).await.map_err(|_| lost())?;
        self.data_dir = Some(data_dir);
        result.map_err(|error| ApiError::new(code_of(&error), error.to_string()))
    }

    /// Waits for the disk, and tells when it does not answer. Only changes wait for it: checks go on, and so do answers.
    async fn wait_for_disk<T>(&self, mut work: JoinHandle<T>) -> Result<T, JoinError> {
        let began = Instant::now();
        let mut told = interval_at(began + DISK_STALLS_AFTER, TELL_STALL_EVERY);
        let mut is_stalled = false;
        loop {
            tokio::select! {
                worked = &mut work => {
                    if is_stalled {
                        let seconds = began.elapsed().as_secs_f64();
                        tracing::warn!(seconds, "the disk of the data directory answers again");
                    }
                    return worked;
                }
                _ = told.tick() => {
                    if !std::mem::replace(&mut is_stalled, true) {
                        self.driver.count_disk_stall();
                    }
                    let seconds = began.elapsed().as_secs_f64();
                    tracing::warn!(
                        seconds,
                        "the disk of the data directory does not answer: registrations and deregistrations wait for it"
                    );
                }
            }
        }
    }
}

/// Whether a verdict on one registration holds for the other.
fn is_checked_alike(before: &StoredRegistration, after: &StoredRegistration) -> bool {
    let place = |of: &StoredRegistration| (of.address.clone(), of.port);
    before.checks == after.checks && place(before) == place(after)
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

fn code_of(error: &WriteError) -> ErrorCode {
    match error {
        WriteError::InDoubt { error, .. } => code_of(error),
        WriteError::Io { source, .. } => match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::DiskFull,
            _ => ErrorCode::StorageFailed,
        },
        WriteError::TooMany => ErrorCode::TooManyRegistrations,
        WriteError::TooLarge { .. } => ErrorCode::RegistrationInvalid,
    }
}
