//! Tasks that end with their handle, and whose unexpected end is noticed.

use std::future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};

/// A part of the agent ended although the agent goes on. The agent cannot do its work without it, and should be ended and
/// started again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {part} of the agent ended unexpectedly: {reason}")]
pub struct PartEnded {
    part: &'static str,
    reason: String,
}

/// A task that does not outlive its handle.
pub(super) struct Task<T> {
    part: &'static str,
    /// None once it has ended.
    handle: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Task<T> {
    /// Starts the task of a part of the agent, which its name stands for in messages.
    pub(super) fn spawn(
        part: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        Self::spawn_on(&Handle::current(), part, task)
    }

    /// The same on other threads than those of the caller.
    pub(super) fn spawn_on(
        threads: &Handle,
        part: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        Self { part, handle: Some(threads.spawn(task)) }
    }

    /// Resolves when the task ends, by itself or by a panic.
    pub(super) async fn ended(&mut self) -> PartEnded {
        let part = self.part;
        let reason = match self.wait().await {
            Some(Ok(_)) => "it returned".to_owned(),
            Some(Err(error)) => error.to_string(),
            None => "it had ended before".to_owned(),
        };
        PartEnded { part, reason }
    }

    /// Resolves when the task panics. That it ends by itself is as it should be.
    pub(super) async fn failed(&mut self) -> PartEnded {
        match self.wait().await {
            Some(Err(error)) => PartEnded { part: self.part, reason: error.to_string() },
            _ => future::pending().await,
        }
    }

    /// Ends the task and waits until it is gone, with everything that it held.
    pub(super) async fn stop(mut self) {
        if let Some(handle) = &self.handle {
            handle.abort();
        }
        // The error is the cancellation that we asked for.
        let _ = self.wait().await;
    }

    /// Whether the task ends by itself in time; if not, it is ended.
    pub(super) async fn ends_within(mut self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.wait()).await.is_ok()
    }

    /// The end of the task; `None` when it was told before. Cancelling this loses nothing.
    async fn wait(&mut self) -> Option<Result<T, JoinError>> {
        let ended = self.handle.as_mut()?.await;
        self.handle = None;
        Some(ended)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_is_told_with_the_part_and_the_reason() {
        let mut returned = Task::spawn("clock", async {});
        let told = returned.ended().await.to_string();
        assert_eq!(told, "the clock of the agent ended unexpectedly: it returned");
        returned.stop().await;
        let mut panicked: Task<()> = Task::spawn("driver", async { panic!("no more") });
        let told = panicked.failed().await.to_string();
        assert!(told.contains("driver") && told.contains("no more"), "{told}");
        assert!(panicked.ends_within(Duration::from_secs(60)).await);
    }
}
