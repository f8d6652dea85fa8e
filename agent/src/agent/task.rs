//! Tasks that end with their handle.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// A task that does not outlive its handle.
pub(super) struct Task<T>(JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    pub(super) fn spawn(task: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }

    /// Spawns the task on other threads than those of the caller.
    pub(super) fn spawn_on(
        threads: &Handle,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        Self(threads.spawn(task))
    }

    /// Ends the task and waits until it is gone, with everything that it held.
    pub(super) async fn stop(mut self) {
        self.0.abort();
        // The error is the cancellation that we asked for.
        let _ = (&mut self.0).await;
    }

    /// Whether the task ends by itself in time; if not, it is ended.
    pub(super) async fn ends_within(mut self, limit: Duration) -> bool {
        tokio::time::timeout(limit, &mut self.0).await.is_ok()
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
