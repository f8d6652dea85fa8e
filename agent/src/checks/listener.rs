//! The listener at the target of one check.

use std::time::SystemTime;

use hobnob_api::Check;

use super::listeners::{ListenerState, ListenerWatch, Look, Signal, Watching};
use super::probes::Target;

/// The listener of a check, with what was last seen of it.
pub(super) struct Listener {
    watching: Option<Watching>,
    address: String,
    pub(super) state: ListenerState,
    pub(super) look: Option<Look>,
}

impl Listener {
    pub(super) fn of(check: &Check, listeners: &ListenerWatch) -> Self {
        // A check with a malformed target fails at each probe.
        let target = Target::parse(&check.probe).ok().flatten();
        let target = target.filter(|target| check.listener_watch && target.is_listener);
        let watching = target.as_ref().and_then(|at| listeners.watch(&at.host, at.port));
        Self { watching, ..Self::at(target.map_or(String::new(), |at| at.to_string())) }
    }

    /// A listener that nobody watches.
    pub(super) fn at(address: String) -> Self {
        Self { watching: None, address, state: ListenerState::default(), look: None }
    }

    pub(super) async fn changed(&mut self) -> Look {
        match &mut self.watching {
            Some(watching) => watching.changed().await,
            None => std::future::pending().await,
        }
    }

    /// The words for a verdict by this sign, of which `output` tells the outcome.
    pub(super) fn words(&self, signal: Signal, output: &str) -> String {
        let address = &self.address;
        let since = self.look.map_or_else(SystemTime::now, |look| look.since);
        match signal {
            Signal::ListenerGone => {
                format!("nobody listens on {address} since {}", time_of_day(since))
            }
            Signal::Refused => format!("{output}; all probes of the last 100 ms were refused"),
            Signal::ListenerBack if self.look.is_some_and(|look| look.listening == Some(true)) => {
                format!("{output}; there is a listener on {address} since {}", time_of_day(since))
            }
            Signal::ListenerBack => output.to_owned(),
        }
    }
}

/// Text such as `14:03:07.120 UTC`.
fn time_of_day(at: SystemTime) -> String {
    let at = ::time::OffsetDateTime::from(at);
    let (hour, minute, second, milli) = (at.hour(), at.minute(), at.second(), at.millisecond());
    format!("{hour:02}:{minute:02}:{second:02}.{milli:03} UTC")
}
