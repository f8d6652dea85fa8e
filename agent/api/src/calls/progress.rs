//! How far a call has come, for those who look on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::types::Instance;

/// How far a call has come: what [`CallOptions::progress`](super::CallOptions::progress) is told while it is made. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct CallProgress(Arc<Mutex<Option<LastTry>>>);

#[derive(Debug)]
struct LastTry {
    instance: Arc<Instance>,
    tries: u32,
}

impl CallProgress {
    /// The instance of the last try; `None` before the first.
    #[must_use]
    pub fn instance(&self) -> Option<Arc<Instance>> {
        self.lock().as_ref().map(|last| last.instance.clone())
    }

    /// The number of instances that were tried.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.lock().as_ref().map_or(0, |last| last.tries)
    }

    /// An instance is tried, or has answered.
    pub(super) fn set(&self, instance: &Arc<Instance>, tries: u32) {
        *self.lock() = Some(LastTry { instance: instance.clone(), tries });
    }

    fn lock(&self) -> MutexGuard<'_, Option<LastTry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
