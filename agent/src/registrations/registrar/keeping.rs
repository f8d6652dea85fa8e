//! The registrar and the disk: what is kept for the next start, and work on the data directory.

use std::io;
use std::time::Duration;

use hobnob_api::{ApiError, ErrorCode};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, interval_at};

use super::{Registrar, lost};
use crate::driver::Persist;
use crate::storage::{DataDir, WriteError};

/// Verdicts and keys that the disk refused are offered to it again after this time.
pub(super) const KEEP_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// A disk that takes longer than this for a change does not answer.
const DISK_STALLS_AFTER: Duration = Duration::from_secs(1);
/// The time from one warning of that to the next.
const TELL_STALL_EVERY: Duration = Duration::from_secs(10);

impl Registrar {
    pub(super) fn has_unkept(&self) -> bool {
        self.unkept.is_some() || self.unkept_keys.is_some()
    }

    pub(super) async fn keep_again(&mut self) {
        if let Some(verdicts) = self.unkept.clone() {
            self.persist(Persist::Verdicts(verdicts)).await;
        }
        if let Some((keys, change)) = self.unkept_keys.clone() {
            self.persist(Persist::Keys(keys, change)).await;
        }
    }

    pub(super) async fn persist(&mut self, persist: Persist) {
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

    /// Works on the data directory on a thread that may block.
    pub(super) async fn with_data_dir<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut DataDir) -> Result<T, WriteError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let mut data_dir = self.data_dir.take().ok_or_else(lost)?;
        let _work = self.progress.begin_storage();
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
