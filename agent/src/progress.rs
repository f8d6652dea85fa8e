//! Whether each part of the agent makes progress, so that one that is stuck is noticed although the process lives.
//!
//! A part that always has something to do beats: the driver at each turn of its loop, the doors at each look after their
//! socket. A part that waits for work says when it begins and ends a piece of it: the registrar, which waits for the disk, and
//! each probe of a check.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::checks::oldest_late_probe;

/// The driver and the doors beat at least once a second. One that is silent for this long is stuck.
pub const LOOP_PATIENCE: Duration = Duration::from_secs(10);
/// A change of the data directory that takes this long is stuck. A disk may stall for some time and recover, and an agent without
/// its disk still answers.
pub const STORAGE_PATIENCE: Duration = Duration::from_secs(120);

/// A part of an agent whose progress is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The loop that owns the state machine of the protocol.
    Driver,
    /// The loop that accepts the connections of clients.
    Doors,
    /// The probes of health checks.
    Checks,
    /// The task that owns the data directory.
    Storage,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 4] = [Self::Driver, Self::Doors, Self::Checks, Self::Storage];

    /// Its name in metrics and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Doors => "doors",
            Self::Checks => "checks",
            Self::Storage => "storage",
        }
    }

    fn patience(self) -> Duration {
        match self {
            Self::Driver | Self::Doors | Self::Checks => LOOP_PATIENCE,
            Self::Storage => STORAGE_PATIENCE,
        }
    }
}

/// The progress of one part at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartProgress {
    /// The part.
    pub part: Part,
    /// Time since it last made progress; zero for one that has nothing to do.
    pub age: Duration,
}

impl PartProgress {
    /// Whether the part is stuck.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.age > self.part.patience()
    }
}

/// The progress of the parts of one agent. Clones share it.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    start: Instant,
    /// Microseconds from the start to the last beat.
    driver: AtomicU64,
    doors: AtomicU64,
    /// The begin of the piece of work that storage is at.
    storage: Mutex<Option<Instant>>,
    leaving: AtomicBool,
}

impl Default for Progress {
    fn default() -> Self {
        Self(Arc::new(Inner {
            start: Instant::now(),
            driver: AtomicU64::new(0),
            doors: AtomicU64::new(0),
            storage: Mutex::default(),
            leaving: AtomicBool::new(false),
        }))
    }
}

impl Progress {
    /// The driver made a turn.
    pub(crate) fn beat_driver(&self) {
        self.beat(&self.0.driver, Instant::now());
    }

    /// The doors made a turn.
    pub(crate) fn beat_doors(&self) {
        self.beat(&self.0.doors, Instant::now());
    }

    /// Storage begins a piece of work, which ends when the returned value is dropped.
    pub(crate) fn begin_storage(&self) -> StorageWork {
        self.set_storage(Some(Instant::now()));
        StorageWork(self.clone())
    }

    /// The agent is about to stop.
    pub(crate) fn begin_leaving(&self) {
        self.0.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether the agent is about to stop.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.0.leaving.load(Ordering::Relaxed)
    }

    fn beat(&self, beats: &AtomicU64, now: Instant) {
        let since = now.saturating_duration_since(self.0.start).as_micros();
        beats.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn set_storage(&self, begin: Option<Instant>) {
        // One value: whoever panicked while it was set left it whole.
        *self.0.storage.lock().unwrap_or_else(PoisonError::into_inner) = begin;
    }

    /// The progress of each part.
    #[must_use]
    pub fn of_parts(&self, now: Instant) -> [PartProgress; 4] {
        let since = |beats: &AtomicU64| {
            let beat = self.0.start + Duration::from_micros(beats.load(Ordering::Relaxed));
            now.saturating_duration_since(beat)
        };
        let begun = *self.0.storage.lock().unwrap_or_else(PoisonError::into_inner);
        Part::ALL.map(|part| PartProgress {
            part,
            age: match part {
                Part::Driver => since(&self.0.driver),
                Part::Doors => since(&self.0.doors),
                Part::Checks => oldest_late_probe(now).unwrap_or_default(),
                Part::Storage => {
                    begun.map_or(Duration::ZERO, |begun| now.saturating_duration_since(begun))
                }
            },
        })
    }

    /// The first part that is stuck.
    #[must_use]
    pub fn stuck(&self, now: Instant) -> Option<PartProgress> {
        self.of_parts(now).into_iter().find(PartProgress::is_stuck)
    }
}

/// A piece of work of storage.
#[derive(Debug)]
pub(crate) struct StorageWork(Progress);

impl Drop for StorageWork {
    fn drop(&mut self) {
        self.0.set_storage(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn stuck(progress: &Progress, now: Instant) -> Option<Part> {
        // Probes are those of the whole process, other tests included.
        let mut parts = progress.of_parts(now).into_iter();
        parts.find(|of| of.part != Part::Checks && of.is_stuck()).map(|stuck| stuck.part)
    }

    #[test]
    fn a_loop_that_stops_beating_is_stuck_after_its_patience() {
        let progress = Progress::default();
        let start = progress.0.start;
        progress.beat(&progress.0.driver, start + SECOND);
        progress.beat(&progress.0.doors, start + 20 * SECOND);
        assert_eq!(stuck(&progress, start + SECOND + LOOP_PATIENCE), None);
        let late = start + 2 * SECOND + LOOP_PATIENCE;
        assert_eq!(stuck(&progress, late), Some(Part::Driver), "the other goes on");
        progress.beat(&progress.0.driver, late);
        assert_eq!(stuck(&progress, late), None, "it recovered");
        assert_eq!(stuck(&progress, late + 20 * SECOND), Some(Part::Driver));
    }

    #[test]
    fn storage_is_stuck_in_a_piece_of_work_and_never_between_two() {
        let progress = Progress::default();
        let work = progress.begin_storage();
        let later = Instant::now() + STORAGE_PATIENCE + SECOND;
        progress.beat(&progress.0.driver, later);
        progress.beat(&progress.0.doors, later);
        assert_eq!(stuck(&progress, later), Some(Part::Storage));
        assert_eq!(stuck(&progress, later - 2 * SECOND), None);
        drop(work);
        assert_eq!(stuck(&progress, later), None);
    }
}
