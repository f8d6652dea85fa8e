//! Questions between tasks: a command with a place for its answer, over a channel that waits when it is full.

use hobnob_api::{ApiError, ErrorCode};
use tokio::sync::{mpsc, oneshot};

/// The task that was asked has ended, because the agent is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent is stopping")]
pub(crate) struct Stopping;

impl From<Stopping> for ApiError {
    fn from(stopping: Stopping) -> Self {
        Self::new(ErrorCode::AgentStopping, stopping.to_string())
    }
}

/// The way back for the answer to a command. The asker may have gone away since; the answer is then dropped.
#[derive(Debug)]
pub(crate) struct Reply<T>(oneshot::Sender<T>);

impl<T> Reply<T> {
    /// A place for an answer, and the answer's way back.
    pub(crate) fn channel() -> (Self, oneshot::Receiver<T>) {
        let (reply, answer) = oneshot::channel();
        (Self(reply), answer)
    }

    /// A reply for an asker that does not wait for the answer.
    pub(crate) fn unread() -> Self {
        Self::channel().0
    }

    pub(crate) fn send(self, answer: T) {
        drop(self.0.send(answer));
    }

    /// Whether the asker has gone away.
    pub(crate) fn is_unread(&self) -> bool {
        self.0.is_closed()
    }
}

/// Sends a command and waits for its answer.
pub(crate) async fn ask<C, T>(
    commands: &mpsc::Sender<C>,
    command: impl FnOnce(Reply<T>) -> C,
) -> Result<T, Stopping> {
    let (reply, answer) = Reply::channel();
    tell(commands, command(reply)).await?;
    answer.await.map_err(|_| Stopping)
}

/// Sends a command that has no answer.
pub(crate) async fn tell<C>(commands: &mpsc::Sender<C>, command: C) -> Result<(), Stopping> {
    commands.send(command).await.map_err(|_| Stopping)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_with_a_command_unanswered_is_stopping() {
        let (commands, mut received) = mpsc::channel(1);
        let asked = tokio::spawn(async move { ask(&commands, |reply| reply).await });
        let reply: Reply<u8> = received.recv().await.expect("asked");
        drop(reply);
        assert_eq!(asked.await.expect("no panic"), Err(Stopping));
    }

    #[tokio::test]
    async fn an_asker_that_is_gone_is_seen_and_harms_nobody() {
        let (reply, answer) = Reply::channel();
        assert!(!reply.is_unread());
        drop(answer);
        assert!(reply.is_unread());
        reply.send(1);
        Reply::unread().send(1);
    }
}
