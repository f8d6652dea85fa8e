//! The rest of the agent's side of the registrar.

use hobnob_api::{ApiError, RegisterOutcome, Registration};
use tokio::sync::mpsc;

use super::rules;
use crate::actor::{Reply, ask};

/// Commands that wait for the registrar; further ones wait with their sender.
const MAX_WAITING_COMMANDS: usize = 256;

/// Asks the registrar. Cheap to clone; the registrar ends when the last one is dropped.
#[derive(Clone, Debug)]
pub(crate) struct RegistrationsHandle {
    commands: mpsc::Sender<Command>,
}

/// A command of the registrar.
#[derive(Debug)]
pub(super) enum Command {
    Register { registration: Box<Registration>, reply: Reply<Result<RegisterOutcome, ApiError>> },
    Deregister { id: String, reply: Reply<Result<(), ApiError>> },
}

impl RegistrationsHandle {
    /// A handle, and the commands that it and its clones send.
    pub(super) fn channel() -> (Self, mpsc::Receiver<Command>) {
        let (commands, received) = mpsc::channel(MAX_WAITING_COMMANDS);
        (Self { commands }, received)
    }

    /// A handle without a registrar, to test what needs none.
    #[cfg(test)]
    pub(crate) fn stopped() -> Self {
        Self::channel().0
    }

    /// Registers an instance, or replaces the one with its id. It is durable and visible here when this returns.
    pub(crate) async fn register(
        &self,
        registration: Registration,
    ) -> Result<RegisterOutcome, ApiError> {
        // Before it waits for others, so that nothing waits that is larger than a registration may be.
        rules::validate(&registration)?;
        let registration = Box::new(registration);
        ask(&self.commands, |reply| Command::Register { registration, reply }).await?
    }

    /// Removes the instance with this id. That is durable and visible here when this returns.
    pub(crate) async fn deregister(&self, id: String) -> Result<(), ApiError> {
        ask(&self.commands, |reply| Command::Deregister { id, reply }).await?
    }
}
