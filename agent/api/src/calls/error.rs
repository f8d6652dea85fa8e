//! Why a call got no answer.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hobnob_balancer::{GaveUp, Outcome};
use rustix::io::Errno;

use super::caller::CallPick;
use crate::types::Instance;

/// The errors of a connection that say nothing about its other end.
const SHORTAGES: [Errno; 5] =
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];

/// Why a call got no answer. An answer with a status of failure is an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No agent has told the instances yet. Nothing was sent.
    #[error("no agent has told the instances of `{service}` within {waited:?}")]
    AgentAway {
        /// The service.
        service: Arc<str>,
        /// The time of the call.
        waited: Duration,
    },
    /// The service has no instance. Nothing was sent.
    #[error("`{service}` has no instance")]
    NoInstance {
        /// The service.
        service: Arc<str>,
    },
    /// The service has instances, and none of them is offered: their checks fail, or their agents are lost and the caller is
    /// strict, or they are outside the selector or the datacenters. Nothing was sent.
    #[error("none of the {known} instances of `{service}` is offered")]
    NothingOffered {
        /// The service.
        service: Arc<str>,
        /// The number of its instances.
        known: usize,
    },
    /// Every instance that is offered has an open circuit or is ejected. Nothing was sent.
    #[error(
        "all {offered} instances of `{service}` that are offered failed before: their circuits are open"
    )]
    CircuitsOpen {
        /// The service.
        service: Arc<str>,
        /// The number of instances that are offered.
        offered: usize,
    },
    /// The last try failed.
    #[error("`{service}` did not answer, {tries} tried, last {id} at {address}: {reason}{gave_up}", id = instance.id, address = endpoint(instance), gave_up = GaveUpWords(Some(*gave_up).filter(|_| !reason.is_own())))]
    Failed {
        /// The service.
        service: Arc<str>,
        /// The instance of the last try.
        instance: Arc<Instance>,
        /// Why the last try failed.
        #[source]
        reason: Reason,
        /// The tries.
        tries: u32,
        /// Why there was no further try.
        gave_up: GaveUp,
    },
    /// The request cannot be sent to anybody.
    #[error("the request to `{service}` cannot be sent: {reason}")]
    Invalid {
        /// The service.
        service: Arc<str>,
        /// What is wrong with it.
        reason: String,
    },
    /// The body of the answer broke off.
    #[error("the answer of `{service}` broke off, from {id} at {address}: {source}", id = instance.id, address = endpoint(instance))]
    BrokeOff {
        /// The service.
        service: Arc<str>,
        /// The instance that answered.
        instance: Arc<Instance>,
        /// How it broke off.
        source: hyper::Error,
    },
    /// The body of the answer is longer than the caller takes.
    #[error("the answer of `{service}` is longer than {max} bytes")]
    TooLong {
        /// The service.
        service: Arc<str>,
        /// The most bytes that the caller takes.
        max: usize,
    },
}

/// Why a try failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// No connection came about. Nothing was sent.
    #[error("no connection: {0}")]
    Connect(io::Error),
    /// No connection stood in time. Nothing was sent.
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    /// The connection broke before an answer.
    #[error("the connection broke: {0}")]
    Broken(hyper::Error),
    /// The instance says that it did not process the request: it is about to end, or takes no more.
    #[error("the instance refused it: {0}")]
    Refused(hyper::Error),
    /// The call asked for HTTP/2, and the instance does not speak it.
    #[error("the instance does not speak HTTP/2")]
    NotHttp2,
    /// As many calls are in flight as the instance takes over so many connections of HTTP/2. Nothing was sent.
    #[error("the instance takes no more calls over {0} connections")]
    Busy(usize),
    /// There was no answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The time of this call was over, or what was left of it, before that of an answer.
    #[error("no answer before the time of the call was over, {0:?}")]
    Deadline(Duration),
    /// The body of the request failed at its source.
    #[error("the body of the request failed: {0}")]
    Body(Arc<dyn Error + Send + Sync>),
    /// The instance waited for the body of the request.
    #[error("the body of the request did not come within {0:?}")]
    BodyTimeout(Duration),
}

impl Reason {
    /// Whether this process caused it: the body of the request failed or did not come, or there was no descriptor, port or memory
    /// for a connection. It says nothing about the instance, and another one would do no better.
    #[must_use]
    pub fn is_own(&self) -> bool {
        match self {
            Self::Body(_) | Self::BodyTimeout(_) => true,
            Self::Connect(error) => is_shortage(error),
            _ => false,
        }
    }

    /// Whether it counts as a failure of the instance. A limit that one call sets for itself does not, nor does an instance that
    /// says that it takes no more.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Refused(_) | Self::NotHttp2 | Self::Busy(_) | Self::Deadline(_) => false,
            reason => !reason.is_own(),
        }
    }

    /// Ends the pick of the try.
    pub(super) fn report(&self, pick: CallPick, latency: Duration) {
        match self {
            Self::Deadline(_) => pick.give_up(latency),
            reason if reason.is_failure() => pick.complete(Outcome::Failure, latency),
            _ => drop(pick),
        }
    }
}

/// Whether the system had nothing left to make a connection with.
fn is_shortage(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    code.is_some_and(|code| SHORTAGES.contains(&code))
}

impl CallError {
    /// The service that was called.
    #[must_use]
    pub fn service(&self) -> &str {
        match self {
            Self::AgentAway { service, .. }
            | Self::NoInstance { service }
            | Self::NothingOffered { service, .. }
            | Self::CircuitsOpen { service, .. }
            | Self::Failed { service, .. }
            | Self::Invalid { service, .. }
            | Self::BrokeOff { service, .. }
            | Self::TooLong { service, .. } => service,
        }
    }

    /// The instance that was called last; `None` when nothing was sent.
    #[must_use]
    pub fn instance(&self) -> Option<&Arc<Instance>> {
        match self {
            Self::Failed { instance, .. } | Self::BrokeOff { instance, .. } => Some(instance),
            _ => None,
        }
    }

    /// The tries; 0 when nothing was sent.
    #[must_use]
    pub fn tries(&self) -> u32 {
        match self {
            Self::Failed { tries, .. } => *tries,
            _ => 0,
        }
    }
}

/// `address:port`, with brackets around an IPv6 address.
pub(super) fn endpoint(instance: &Instance) -> String {
    match instance.address.contains(':') {
        true => format!("[{}]:{}", instance.address, instance.port),
        false => format!("{}:{}", instance.address, instance.port),
    }
}

/// Why there was no further try, unless the reason says it.
struct GaveUpWords(Option<GaveUp>);

impl fmt::Display for GaveUpWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some(GaveUp::NotIdempotent) => "; it may have arrived, and is not idempotent",
            Some(GaveUp::NotReplayable) => "; part of its body is sent and gone",
            Some(GaveUp::NoTarget) => "; no other instance takes it",
            Some(GaveUp::BudgetSpent) => "; the budget of retries is spent",
            Some(GaveUp::DeadlinePassed) => "; its time is over",
            _ => "",
        })
    }
}
