//! The rest of the agent's side of the registrar.

use hobnob_api::{ApiError, CheckExplained, Registration};
use tokio::sync::mpsc;

use crate::actor::{Reply, Stopping, ask};

/// Commands that wait for the registrar; further ones wait with their sender.
const MAX_WAITING_COMMANDS: usize = 256;

/// Asks the registrar. Cheap to clone; the registrar ends when the last one is dropped.
#[derive(Clone, Debug)]
pub(crate) struct RegistrationsHandle {
    commands: mpsc::Sender<Command>,
}

/// What is asked of the registrar.
#[derive(Debug)]
pub(super) enum Command {
    Register { registration: Box<Registration>, reply: Reply<Result<Registered, ApiError>> },
    Deregister { id: String, reply: Reply<Result<(), ApiError>> },
    Check { id: String, reply: Reply<Option<CheckExplained>> },
}

/// What a registration came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registered {
    /// There is one more instance.
    New,
    /// It took the place of another one with its id.
    Replaced,
    /// It was registered in just this way.
    Unchanged,
}

impl RegistrationsHandle {
    /// A handle, and the commands that it and its clones send.
    pub(super) fn channel() -> (Self, mpsc::Receiver<Command>) {
        let (commands, received) = mpsc::channel(MAX_WAITING_COMMANDS);
        (Self { commands }, received)
    }

    /// Registers an instance, or replaces the one with its id. It is durable and visible here when this returns.
    pub(crate) async fn register(
        &self,
        registration: Registration,
    ) -> Result<Registered, ApiError> {
        let registration = Box::new(registration);
        ask(&self.commands, |reply| Command::Register { registration, reply }).await?
    }

    /// Removes the instance with this id. That is durable and visible here when this returns.
    pub(crate) async fn deregister(&self, id: String) -> Result<(), ApiError> {
        ask(&self.commands, |reply| Command::Deregister { id, reply }).await?
    }

    /// What is known of the check of an instance of this agent.
    pub(crate) async fn check(&self, id: String) -> Result<Option<CheckExplained>, Stopping> {
        ask(&self.commands, |reply| Command::Check { id, reply }).await
    }
}
