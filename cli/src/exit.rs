//! The exit codes of commands.

use std::io;
use std::process::ExitCode;

use hobnob_agent::StartError;
use hobnob_agent::access_keys::AccessKeyError;
use hobnob_api::client::ClientError;
use hobnob_api::{ErrorCode, ErrorKind};

use crate::args::{HalfOfTls, NoDns, NoQuerySocket, TooManyAgents, TwoTokens};
use crate::commands::{KeysError, NothingToOffer};
use crate::template::OneDestination;

/// The result of a command. The number is the exit code of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// The command is done.
    Done = 0,
    /// The command failed.
    Failed = 1,
    /// The request can never succeed as it is.
    Usage = 2,
    /// Nothing has the given name, or nothing can be offered.
    NothingMatched = 3,
    /// An order is handed out, and not all living members have confirmed it in time; or a majority of the voters has not confirmed a
    /// strong write.
    Unconfirmed = 4,
}

impl Exit {
    /// The result of a command that ended with this error. A reader that closes our output early is no error.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        for cause in error.chain() {
            if let Some(ClientError::Api(refusal)) = cause.downcast_ref() {
                match refusal.code {
                    ErrorCode::AnswerTooOld => return Self::NothingMatched,
                    ErrorCode::Unconfirmed => return Self::Unconfirmed,
                    _ => {}
                }
                return match refusal.kind {
                    ErrorKind::Invalid => Self::Usage,
                    ErrorKind::NotFound => Self::NothingMatched,
                    ErrorKind::Failed => Self::Failed,
                };
            }
            if cause.downcast_ref().is_some_and(StartError::is_usage)
                || cause.downcast_ref().is_some_and(KeysError::is_usage)
                || matches!(cause.downcast_ref(), Some(AccessKeyError::BadName))
                || cause.is::<TwoTokens>()
                || cause.is::<NoQuerySocket>()
                || cause.is::<NoDns>()
                || cause.is::<HalfOfTls>()
                || cause.is::<TooManyAgents>()
                || cause.is::<NothingToOffer>()
                || cause.is::<OneDestination>()
            {
                return Self::Usage;
            }
            if let Some(error) = cause.downcast_ref::<io::Error>()
                && error.kind() == io::ErrorKind::BrokenPipe
            {
                return Self::Done;
            }
        }
        Self::Failed
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error and its causes on one line. A cause that an outer message contains is left out.
pub(crate) fn describe(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| {
        if told.is_empty() {
            cause
        } else if told.contains(&cause) {
            told
        } else {
            format!("{told}: {cause}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};
    use hobnob_api::ApiError;

    fn refusal(code: ErrorCode) -> anyhow::Error {
        ClientError::Api(ApiError::new(code, "no")).into()
    }

    #[test]
    fn an_error_decides_the_exit_code() {
        assert_eq!(Exit::of(&refusal(ErrorCode::NameInvalid)), Exit::Usage);
        assert_eq!(Exit::of(&refusal(ErrorCode::InstanceNotFound)), Exit::NothingMatched);
        assert_eq!(Exit::of(&refusal(ErrorCode::AgentStopping)), Exit::Failed);
        assert_eq!(Exit::of(&refusal(ErrorCode::AnswerTooOld)), Exit::NothingMatched);
        assert_eq!(Exit::of(&refusal(ErrorCode::Unconfirmed)), Exit::Unconfirmed);
        assert_eq!(Exit::of(&refusal(ErrorCode::NoQuorum)), Exit::Failed);
        assert_eq!(Exit::of(&anyhow!("else")), Exit::Failed);
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow!("disk full").context("cannot write: disk full").context("no start");
        assert_eq!(describe(&error), "no start: cannot write: disk full");
    }

    #[test]
    fn a_broken_pipe_is_no_error_however_deep() {
        let error = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(Exit::of(&error), Exit::Done);
        let wrapped = Err::<(), _>(io::Error::from(io::ErrorKind::BrokenPipe)).context("printing");
        assert_eq!(Exit::of(&wrapped.unwrap_err()), Exit::Done);
    }
}
